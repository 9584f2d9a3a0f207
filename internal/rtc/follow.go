package rtc

import (
	"net/netip"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

// A NAT that forgets a mapping gives the remote another address in the middle of the call. The remote does not know, and
// goes on with its checks on the pair that was agreed on. This end follows it, without a restart, once two things are
// so: the new address has answered a check of this end, and the newest authentic media came from there. The first keeps
// a repeated check from leading this end to somebody else (RFC 8445, section 7.3.1.4), the second keeps a remote that
// tries several ways from being followed to and fro.

// hears notes where authentic media came from. It runs for each packet, and writes only when that changes.
func (t *Transport) hears(from udp.Addr) {
	if from == (udp.Addr{}) {
		return // TCP: the connection is the address
	}
	if last := t.heard.Load(); last == nil || *last != from {
		t.heard.Store(new(from))
	}
}

// follows says whether to go over to the pair on which the remote has just asked.
func (t *Transport) follows(_ *stun.Message, _, remote ice.Candidate, pair *ice.CandidatePair) bool {
	selected, err := t.agent.GetSelectedCandidatePair()
	if err != nil || selected == nil || selected == pair || pair.ResponsesReceived() == 0 || remote.NetworkType().IsTCP() {
		return false
	}
	heard := t.heard.Load()
	addr, err := netip.ParseAddr(remote.Address())
	return heard != nil && err == nil && *heard == udp.AddrFrom(netip.AddrPortFrom(addr.Unmap(), uint16(remote.Port())))
}

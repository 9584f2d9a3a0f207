package rtc

import (
	"net/netip"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

// A NAT that forgets a mapping gives the remote another address in the middle of the call, and the remote does not know. A
// browser that has restarted ICE sends over its new path up to 2.5 s before it says so. This end follows both once two things
// are so: the new address has answered a check of this end, and the newest authentic media came from there. The first keeps a
// repeated check from leading this end to somebody else (RFC 8445, section 7.3.1.4), the second keeps a remote that tries
// several ways from being followed to and fro.

const (
	followTries = 10                    // to see an answer to this end's check of the address
	followPause = 20 * time.Millisecond // between them
	checksRest  = 3 * time.Second       // the most that a remote waits between two checks of a path that it uses
)

// hears notes where authentic media came from. It runs for each packet, and does something only when that changes.
func (t *Transport) hears(from udp.Addr) {
	if from == (udp.Addr{}) {
		return // TCP: the connection is the address
	}
	if last := t.heard.Load(); last != nil && *last == from {
		return
	}
	t.heard.Store(new(from))
	remote := t.remote.Load()
	if t.converse != nil || remote == nil || remote.addr == from || !t.following.CompareAndSwap(false, true) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.followers.Go(func() {
			defer t.following.Store(false)
			t.follow()
		})
	}
}

// follow sends to where media comes from as soon as that address is proven.
func (t *Transport) follow() {
	for range followTries {
		from, remote := *t.heard.Load(), t.remote.Load()
		switch {
		case remote == nil || remote.addr == from && remote.tcp == nil:
			return
		case t.proven(from):
			t.goTo(destination{addr: from})
			return
		}
		select {
		case <-time.After(followPause):
		case <-t.done:
			return
		}
	}
}

// proven reports whether an address has answered a check of this end.
func (t *Transport) proven(address udp.Addr) bool {
	answered := map[string]bool{}
	for _, pair := range t.agent.GetCandidatePairsStats() {
		if pair.ResponsesReceived > 0 {
			answered[pair.RemoteCandidateID] = true
		}
	}
	for _, c := range t.agent.GetRemoteCandidatesStats() {
		if answered[c.ID] && !c.NetworkType.IsTCP() && isAt(address, c.IP, c.Port) {
			return true
		}
	}
	return false
}

func isAt(address udp.Addr, ip string, port int) bool {
	addr, err := netip.ParseAddr(ip)
	return err == nil && address == udp.AddrFrom(netip.AddrPortFrom(addr.Unmap(), uint16(port)))
}

// follows has the agent go over too, to the pair on which the remote has just asked: its checks keep the path open and tell
// when it is silent. A remote that sends no media at all is followed when it has stopped to check the path before.
func (t *Transport) follows(_ *stun.Message, _, remote ice.Candidate, pair *ice.CandidatePair) bool {
	selected, err := t.agent.GetSelectedCandidatePair()
	if err != nil || selected == pair || pair.ResponsesReceived() == 0 || remote.NetworkType().IsTCP() {
		return false
	}
	if heard := t.heard.Load(); heard != nil {
		return isAt(*heard, remote.Address(), remote.Port())
	}
	return selected != nil && time.Since(selected.LastRequestReceivedAt()) > checksRest
}

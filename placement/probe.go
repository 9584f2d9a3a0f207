package placement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/hashicorp/memberlist"
)

// probeTries is how often a node is asked before it counts as silent.
const probeTries = 3

// Probe asks the node at an address (host:port) whether it gossips with the key of cfg, without becoming known to the
// cluster. One that has another key says nothing, as gossip does to strangers.
func Probe(ctx context.Context, cfg Config, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("gossip is not reached at %s over TCP: %w", address, err)
	}
	local, fault := netip.ParseAddrPort(conn.LocalAddr().String())
	conn.Close()
	if fault != nil {
		return fmt.Errorf("gossip: %w", fault)
	}
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	// Answers go to the address that the question names.
	cfg.NodeID, cfg.Listen, cfg.Advertise, cfg.timing = "doctor", netip.AddrPortFrom(local.Addr(), 0).String(), "", wanTiming()
	m, err := cfg.memberlist()
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	m.LogOutput = io.Discard
	asker, err := memberlist.Create(m) // it joins nobody
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	defer asker.Shutdown() //nolint:errcheck // it has nothing that could be lost
	for range probeTries {
		if _, err = asker.Ping("", at); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return errors.New("gossip: " + address + " is reached over TCP and does not answer gossip: cluster key mismatch, or UDP blocked")
}

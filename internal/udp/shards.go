package udp

import (
	"errors"
	"net/netip"
	"time"
)

// Shards are sockets of one port, at least one.
type Shards []*Conn

// ListenShards opens up to n sockets on one port, for as many goroutines to read. The kernel spreads remotes over them by
// address and port: all datagrams of one come on the same socket, in order. Each of them sends from the shared port. The
// caller closes them, and reads none before all are open.
//
// A port that any other socket has is refused, as by Listen. Where the system cannot spread, there is one socket, and nothing is set aside.
func ListenShards(cfg Config, n int) (Shards, error) {
	cfg.ReusePort = false // for the first, or it would join the sockets of another process
	first, err := Listen(cfg)
	if err != nil {
		return nil, err
	}
	all := Shards{first}
	if n <= 1 && cfg.Aside.Wait == 0 || !first.sock.share() {
		return all, nil
	}
	cfg.ReusePort, cfg.Listen = true, first.LocalAddr()
	for len(all) < n {
		c, err := Listen(cfg)
		if err != nil {
			break // fewer serve as well
		}
		all = append(all, c)
	}
	if cfg.Aside.Wait > 0 {
		all.setAside(cfg)
	}
	return all, nil
}

// LocalAddr is the address that all are bound to.
func (s Shards) LocalAddr() netip.AddrPort { return s[0].LocalAddr() }

// Stats is the sum over all.
func (s Shards) Stats() (sum Stats) {
	for _, c := range s {
		sum.add(c.Stats())
	}
	return sum
}

// Behind is how far behind the slowest reader is: see Conn.Behind.
func (s Shards) Behind() (longest time.Duration) {
	for _, c := range s {
		longest = max(longest, c.Behind())
	}
	return longest
}

// Close closes all.
func (s Shards) Close() error {
	var faults []error
	for _, c := range s {
		faults = append(faults, c.Close())
	}
	return errors.Join(faults...)
}

package placement

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// attempts is how many nodes are asked at the same time.
const attempts = 8

// keepJoined asks the configured nodes at once, then as long as this node is alone, and now and then for ever; and it asks
// lost nodes again and again, for gossip itself forgets the dead: without it the halves of a partition would never meet.
func (c *Cluster) keepJoined(ctx context.Context, list *memberlist.Memberlist) {
	var wg sync.WaitGroup
	defer wg.Wait()
	busy := &attempt{under: map[netip.AddrPort]bool{}}
	busy.all(&wg, c.absent(ctx, true), func(to netip.AddrPort) { c.join(list, to) })
	wg.Wait()
	close(c.ready)
	tick := time.NewTicker(c.cfg.timing.rejoinEvery)
	defer tick.Stop()
	for round := 1; ; round++ {
		select {
		case <-tick.C:
			targets := c.absent(ctx, c.size() == 1 || round%c.cfg.timing.seedsEvery == 0)
			busy.all(&wg, targets, func(to netip.AddrPort) { c.join(list, to) })
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cluster) join(list *memberlist.Memberlist, to netip.AddrPort) {
	if _, err := list.Join([]string{to.String()}); err != nil {
		c.log.Warn("a node cannot be reached or does not share the key; it is tried again", "address", to.String(), "error", err)
	}
}

// absent returns the addresses of lost nodes and, if asked, of configured ones, of which none is among the living.
func (c *Cluster) absent(ctx context.Context, seeds bool) []netip.AddrPort {
	var targets []netip.AddrPort
	if seeds {
		targets = c.resolve(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, l := range c.lost {
		if time.Since(l.since) > c.cfg.timing.rememberLost {
			delete(c.lost, id)
			continue
		}
		targets = append(targets, l.addr)
	}
	here := map[netip.AddrPort]bool{c.addr: true}
	for _, m := range c.members {
		here[m.addr] = true
	}
	missing := targets[:0]
	for _, to := range targets {
		if !here[to] {
			here[to] = true
			missing = append(missing, to)
		}
	}
	return missing
}

// resolve returns all addresses of the configured nodes.
func (c *Cluster) resolve(ctx context.Context) (targets []netip.AddrPort) {
	for _, to := range c.cfg.Join {
		host, port, err := splitHostPort(to)
		if err != nil {
			continue // Validate has seen to it
		}
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			c.log.Warn("a node to join has no address; it is tried again", "host", host, "error", err)
		}
		for _, ip := range ips {
			targets = append(targets, netip.AddrPortFrom(ip.Unmap(), port))
		}
	}
	return targets
}

func splitHostPort(s string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("%q is not host:port", s)
	}
	return host, uint16(n), nil
}

// attempt knows who is being asked, so that a silent address holds up no other and is asked once at a time.
type attempt struct {
	mu    sync.Mutex
	under map[netip.AddrPort]bool
}

func (a *attempt) all(wg *sync.WaitGroup, targets []netip.AddrPort, ask func(netip.AddrPort)) {
	for _, to := range targets {
		if !a.begin(to) {
			continue
		}
		wg.Go(func() {
			defer a.end(to)
			ask(to)
		})
	}
}

func (a *attempt) begin(to netip.AddrPort) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.under[to] || len(a.under) >= attempts {
		return false
	}
	a.under[to] = true
	return true
}

func (a *attempt) end(to netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.under, to)
}

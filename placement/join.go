package placement

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// attempts is how many nodes are asked at the same time.
const attempts = 8

// keepJoined asks the configured nodes at once, and then again and again for ever whichever of them is absent; and it looks
// for lost nodes, for gossip itself forgets the dead: without it the halves of a partition would never meet.
func (c *Cluster) keepJoined(ctx context.Context, list *memberlist.Memberlist) {
	var wg sync.WaitGroup
	defer wg.Wait()
	busy, knocking := newAttempt(), newAttempt()
	join := func(to netip.AddrPort) { c.join(list, busy, to) }
	busy.all(&wg, c.absent(c.resolve(ctx, busy)), join)
	wg.Wait()
	close(c.ready)
	wg.Go(func() { c.seekSeeds(ctx, &wg, busy, join) })
	tick := time.NewTicker(c.cfg.timing.rejoinEvery)
	defer tick.Stop()
	for round := 1; ; round++ {
		select {
		case <-tick.C:
			knocking.all(&wg, c.absent(c.missed(false)), func(to netip.AddrPort) { c.knock(list, to, join) })
			if round%c.cfg.timing.patientEvery == 0 {
				busy.all(&wg, c.absent(c.missed(true)), join)
			}
		case <-ctx.Done():
			return
		}
	}
}

// seekSeeds asks absent configured nodes: often while this node is new or alone, for then two parts of one cluster may not
// know of each other, and every few seconds later. Names are resolved each time. One that answers, and is absent because it
// gossips at another address than the configured one, is asked less often.
func (c *Cluster) seekSeeds(ctx context.Context, wg *sync.WaitGroup, busy *attempt, join func(netip.AddrPort)) {
	began := time.Now()
	for {
		pause := c.cfg.timing.seedsEvery
		if c.size() == 1 || time.Since(began) < c.cfg.timing.seedsEager {
			pause = c.cfg.timing.seedsSoon
		}
		select {
		case <-time.After(pause):
			busy.all(wg, busy.notSince(time.Now().Add(-c.cfg.timing.seedsAgain), c.absent(c.resolve(ctx, busy))), join)
		case <-ctx.Done():
			return
		}
	}
}

// knock sends a lost node a packet, and joins it when it answers. A connection to a silent address waits longer and longer
// between its own attempts, and would be made seconds after the network has healed.
func (c *Cluster) knock(list *memberlist.Memberlist, to netip.AddrPort, join func(netip.AddrPort)) {
	id, ok := c.lostAt(to)
	if !ok {
		return
	}
	if _, err := list.Ping(id, net.UDPAddrFromAddrPort(to)); err == nil {
		join(to)
	}
}

func (c *Cluster) lostAt(at netip.AddrPort) (id string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, l := range c.lost {
		if l.addr == at {
			return id, true
		}
	}
	return "", false
}

func (c *Cluster) join(list *memberlist.Memberlist, busy *attempt, to netip.AddrPort) {
	_, err := list.Join([]string{to.String()})
	if err == nil {
		busy.reach(to, time.Now())
	}
	if busy.news(to.String(), err) {
		c.log.Warn("a node cannot be reached or does not share the key; it is tried again", "address", to.String(), "error", err)
	}
}

// missed returns the addresses of lost nodes, those that were lost of late or all.
func (c *Cluster) missed(all bool) (targets []netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, l := range c.lost {
		switch since := time.Since(l.since); {
		case since > c.cfg.timing.rememberLost:
			delete(c.lost, id)
		case all || since < c.cfg.timing.rejoinEager:
			targets = append(targets, l.addr)
		}
	}
	return targets
}

// absent returns those addresses at which nobody lives, each once.
func (c *Cluster) absent(targets []netip.AddrPort) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
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
func (c *Cluster) resolve(ctx context.Context, busy *attempt) (targets []netip.AddrPort) {
	for _, to := range c.cfg.Join {
		host, port, err := splitHostPort(to)
		if err != nil {
			continue // Validate has seen to it
		}
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if busy.news(host, err) {
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

// attempt knows who is being asked, so that a silent address holds up no other and is asked once at a time, and who could
// not be asked last time, so that one trouble is told once.
type attempt struct {
	mu      sync.Mutex // guards what follows
	under   map[netip.AddrPort]bool
	failed  map[string]bool // an address or a name
	reached map[netip.AddrPort]time.Time
}

// maxKept bounds what is remembered of addresses that are long gone.
const maxKept = 256

func newAttempt() *attempt {
	return &attempt{under: map[netip.AddrPort]bool{}, failed: map[string]bool{}, reached: map[netip.AddrPort]time.Time{}}
}

// news notes how it went with an address or a name, and says whether it is trouble that was not there before.
func (a *attempt) news(name string, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		delete(a.failed, name)
		return false
	}
	known := a.failed[name]
	if len(a.failed) >= maxKept {
		clear(a.failed)
	}
	a.failed[name] = true
	return !known
}

// reach notes that an address has answered.
func (a *attempt) reach(to netip.AddrPort, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.reached) >= maxKept {
		clear(a.reached)
	}
	a.reached[to] = now
}

// notSince returns those addresses that have not answered since a moment.
func (a *attempt) notSince(moment time.Time, targets []netip.AddrPort) []netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(targets, func(to netip.AddrPort) bool { return a.reached[to].After(moment) })
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

package turn

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// allowList is who may be relayed to: SFUs, by address and port, to the bit. Nothing is reached because of the range that it lies
// in, so every special-purpose range is closed, and so is every other way to write an address (IPv4-mapped, 6to4, NAT64 and the
// like), unless just that stands in the list. It is safe for concurrent use.
type allowList struct {
	now   func() time.Time
	grace time.Duration
	peers atomic.Pointer[map[netip.AddrPort]struct{}] // never changed

	mu   sync.Mutex
	last map[netip.AddrPort]time.Time // when each was named last
	all  map[netip.AddrPort]struct{}  // named the last time
}

func newAllowList(now func() time.Time, grace time.Duration) *allowList {
	a := &allowList{now: now, grace: grace, last: map[netip.AddrPort]time.Time{}}
	a.peers.Store(&map[netip.AddrPort]struct{}{})
	return a
}

// allows says whether a peer may be relayed to.
func (a *allowList) allows(peer netip.AddrPort) bool {
	_, ok := (*a.peers.Load())[peer]
	return ok
}

// set names all peers. Those that are no longer named stay for the time of grace.
func (a *allowList) set(peers []netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = make(map[netip.AddrPort]struct{}, len(peers))
	for _, p := range peers {
		p = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
		if p.IsValid() && p.Port() != 0 && !p.Addr().IsUnspecified() && !p.Addr().IsMulticast() {
			a.all[p] = struct{}{}
		}
	}
	a.ageLocked()
}

// age takes out those whose time of grace is over.
func (a *allowList) age() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ageLocked()
}

func (a *allowList) ageLocked() {
	now := a.now()
	for p := range a.all {
		a.last[p] = now
	}
	peers := make(map[netip.AddrPort]struct{}, len(a.last))
	for p, at := range a.last {
		if now.Sub(at) > a.grace {
			delete(a.last, p)
			continue
		}
		peers[p] = struct{}{}
	}
	a.peers.Store(&peers)
}

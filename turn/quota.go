package turn

import (
	"net/netip"
	"sync"
	"time"
)

// quota counts what each client has, under two names and in all.
type quota struct {
	max, perName, perAddress int

	mu        sync.Mutex
	all       int
	names     map[string]int
	addresses map[netip.Addr]int
}

func newQuota(limit, perName, perAddress int) *quota {
	return &quota{max: limit, perName: perName, perAddress: perAddress, names: map[string]int{}, addresses: map[netip.Addr]int{}}
}

// take counts one more, or says that it is too many.
func (q *quota) take(name string, from netip.Addr) bool {
	from = addressKey(from)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all >= q.max || name != "" && q.names[name] >= q.perName || q.addresses[from] >= q.perAddress {
		return false
	}
	q.all++
	q.addresses[from]++
	if name != "" {
		q.names[name]++
	}
	return true
}

// give counts one less.
func (q *quota) give(name string, from netip.Addr) {
	from = addressKey(from)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all--
	if q.addresses[from]--; q.addresses[from] <= 0 {
		delete(q.addresses, from)
	}
	if name == "" {
		return
	}
	if q.names[name]--; q.names[name] <= 0 {
		delete(q.names, name)
	}
}

func (q *quota) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all
}

// addressKey counts an IPv6 /64 as one: whoever has one address of it has them all.
func addressKey(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}

// pace bounds requests by the second: those of each address, and those of all together, for a forged sender address costs its
// sender nothing. It is safe for concurrent use.
type pace struct {
	now        func() time.Time
	all        int // requests a second
	perAddress int

	mu     sync.Mutex
	second int64
	total  int
	counts map[netip.Addr]int
}

func newPace(now func() time.Time, all, perAddress int) *pace {
	return &pace{now: now, all: all, perAddress: perAddress, counts: map[netip.Addr]int{}}
}

// allow counts a request, or says that it is too many.
func (p *pace) allow(from netip.Addr) bool {
	from = addressKey(from)
	second := p.now().Unix()
	p.mu.Lock()
	defer p.mu.Unlock()
	if second != p.second {
		p.second, p.total = second, 0
		clear(p.counts)
	}
	if p.total >= p.all || p.counts[from] >= p.perAddress {
		return false
	}
	p.total++
	p.counts[from]++
	return true
}

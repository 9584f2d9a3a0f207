package api

import (
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxTracked bounds every table that strangers fill: who was not seen for longest is forgotten first.
const maxTracked = 1 << 16

// limiter is a token bucket for each key. Safe for concurrent use.
type limiter struct {
	rate Rate

	mu    sync.Mutex // protects following
	table *simplelru.LRU[string, *rate.Limiter]
}

func newLimiter(r Rate) (*limiter, error) {
	table, err := simplelru.NewLRU[string, *rate.Limiter](maxTracked, nil)
	return &limiter{rate: r, table: table}, err
}

// wait takes one from the key's bucket and returns 0, or returns how long until there is one.
func (l *limiter) wait(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.table.Get(key)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.table.Add(key, bucket)
	}
	r := bucket.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if delay > 0 {
		r.CancelAt(now)
	}
	return delay
}

func (s *Server) limitCaller(who caller) error {
	if wait := s.callers.wait(who.id, time.Now()); wait > 0 {
		return errTooMany(wait)
	}
	return nil
}

// limitAddress comes before everything that costs more than a look-up.
func (s *Server) limitAddress(c *gin.Context) error {
	if wait := s.addresses.wait(addressKey(remoteIP(c)), time.Now()); wait > 0 {
		return errTooMany(wait)
	}
	return nil
}

// remoteIP is the client's address as far as trusted proxies tell, or an invalid one.
func remoteIP(c *gin.Context) netip.Addr {
	addr, err := netip.ParseAddr(c.ClientIP())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// addressKey is what one client can hardly have many of: an IPv4 address, or an IPv6 network of 64 bits.
func addressKey(addr netip.Addr) string {
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

package api

import (
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// backoff makes those who guess wait: after free failures each further one doubles the wait, up to most. A key that was
// quiet for forget starts anew. Safe for concurrent use.
type backoff struct {
	free   int
	most   time.Duration
	forget time.Duration

	mu    sync.Mutex // protects following
	table *simplelru.LRU[string, failures]
}

type failures struct {
	count int
	last  time.Time
}

func newBackoff(free int, most, forget time.Duration) (*backoff, error) {
	table, err := simplelru.NewLRU[string, failures](maxTracked, nil)
	return &backoff{free: free, most: most, forget: forget, table: table}, err
}

// wait returns how long the key must still wait before its next attempt, 0 when it need not.
func (b *backoff) wait(key string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, _ := b.table.Peek(key)
	if now.Sub(f.last) >= b.forget {
		return 0
	}
	return max(0, f.last.Add(b.pause(f.count)).Sub(now))
}

// fail counts one failure.
func (b *backoff) fail(key string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, _ := b.table.Get(key)
	if now.Sub(f.last) >= b.forget {
		f.count = 0
	}
	b.table.Add(key, failures{count: f.count + 1, last: now})
}

// pause is the wait after that many failures.
func (b *backoff) pause(count int) time.Duration {
	if count < b.free {
		return 0
	}
	const maxDoublings = 20 // far above most, far below an overflow
	return min(b.most, time.Second<<min(count-b.free, maxDoublings))
}

// hostKeys checks host keys. An address that fails often is kept out for minutes. A meeting whose key is guessed from
// many addresses is held for seconds only, since its true host waits as well.
type hostKeys struct {
	byAddress, byMeeting *backoff
}

func newHostKeys() (*hostKeys, error) {
	const forget = 15 * time.Minute
	byAddress, err := newBackoff(5, 5*time.Minute, forget)
	if err != nil {
		return nil, err
	}
	byMeeting, err := newBackoff(10, 30*time.Second, forget)
	return &hostKeys{byAddress: byAddress, byMeeting: byMeeting}, err
}

// check returns nil when key is m's host key. While a wait lasts no key is looked at, not even the right one.
func (h *hostKeys) check(m *meeting, key, address string, now time.Time) error {
	if wait := max(h.byAddress.wait(address, now), h.byMeeting.wait(m.ID, now)); wait > 0 {
		return fail(http.StatusTooManyRequests, "host_key_backoff", "Too many wrong host keys; try again later.").after(wait)
	}
	if m.isHostKey(key) {
		return nil
	}
	h.byAddress.fail(address, now)
	h.byMeeting.fail(m.ID, now)
	return fail(http.StatusForbidden, "host_key_invalid", "The host key is wrong.")
}

// meetingFor reads the meeting named in the path for a caller who has one of the rights, or shows the meeting's host
// key.
func (s *Server) meetingFor(c *gin.Context, rights ...string) (*meeting, error) {
	key := c.GetHeader(HostKeyHeader)
	lacking := callerOf(c).need(rights...)
	if lacking != nil && key == "" {
		return nil, lacking
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	m, err := s.store.meeting(ctx, c.Param("id"))
	if err != nil || lacking == nil {
		return m, err
	}
	return m, s.hostKeys.check(m, key, addressKey(remoteIP(c)), time.Now())
}

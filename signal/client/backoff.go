package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is exponential with full jitter: the n-th wait is anything from nothing up to base·2ⁿ, at most limit. Clients
// that lost the same server come back spread out.
type backoff struct {
	base, limit time.Duration
	tries       int
	random      func(n int64) int64 // from [0, n); nil is rand.Int64N
}

// next returns how long to wait before the next try.
func (b *backoff) next() time.Duration {
	ceiling := b.limit
	if b.tries < 32 && b.base<<b.tries < b.limit {
		ceiling = b.base << b.tries
	}
	b.tries++
	random := b.random
	if random == nil {
		random = rand.Int64N
	}
	return time.Duration(random(int64(ceiling) + 1))
}

// wait sleeps until the next try, and is false when ctx ends or changed is closed first.
func (b *backoff) wait(ctx context.Context, changed <-chan struct{}) bool {
	timer := time.NewTimer(b.next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-changed:
		return false
	case <-ctx.Done():
		return false
	}
}

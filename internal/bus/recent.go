package bus

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	recentFor  = 10 * time.Second // the most that a read may be old
	recentBar  = time.Second      // after a write nothing is remembered for so long: copies follow one another
	recentKeys = 4096             // remembered at a time, and some megabytes
)

// GetRecent reads like Get, but may return what Get returned up to ten seconds ago if no write of the key has been heard of
// since: then it asks nobody. Another node's write is heard of a network delay after it. While NATS is away it returns
// ErrUnavailable like Get.
func (k *Bucket) GetRecent(ctx context.Context, key string) (Entry, error) {
	if _, err := k.bus.current(); err != nil {
		return Entry{}, fail("bucket "+k.cfg.Bucket+": get "+key, err)
	}
	if err := k.listen(); err != nil {
		return Entry{}, err
	}
	began := time.Now()
	if e, ok := k.recent.find(key, began, k.bus.Relinked()); ok {
		return e, nil
	}
	e, err := k.Get(ctx, key)
	if err == nil {
		k.recent.keep(e, began)
	}
	return e, err
}

// listen subscribes to the writes of the bucket, once, for as long as the Bus lives.
func (k *Bucket) listen() error {
	k.recent.mu.Lock()
	defer k.recent.mu.Unlock()
	if k.recent.listens {
		return nil
	}
	prefix := k.subjectOf("")
	_, err := k.bus.Subscribe(prefix+">", func(subject string, _ []byte) {
		k.recent.bar(strings.TrimPrefix(subject, prefix), time.Now())
	})
	k.recent.listens = err == nil
	return err
}

// recent is what was read of a bucket a short while ago.
type recent struct {
	mu       sync.Mutex // protects following
	listens  bool
	relinked <-chan struct{} // of the connection over which writes were heard of
	reads    map[string]read
}

// read is an entry, or that none is to be kept because the key was written.
type read struct {
	entry Entry // without a key: barred
	at    time.Time
}

// find returns what is known of a key. When the connection has broken since, nothing is: writes may have been missed.
func (r *recent) find(key string, now time.Time, relinked <-chan struct{}) (Entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.relinked != relinked {
		r.relinked, r.reads = relinked, make(map[string]read)
	}
	known, ok := r.reads[key]
	if !ok || known.entry.Key == "" || now.Sub(known.at) >= recentFor {
		return Entry{}, false
	}
	e := known.entry
	e.Value = slices.Clone(e.Value)
	return e, true
}

// keep remembers what a read that began at a moment returned.
func (r *recent) keep(e Entry, began time.Time) {
	e.Value = slices.Clone(e.Value)
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.reads[e.Key]; ok && known.entry.Key == "" && began.Before(known.at.Add(recentBar)) {
		return
	}
	r.putLocked(e.Key, read{entry: e, at: began})
}

// bar notes that a key is being written.
func (r *recent) bar(key string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.listens {
		return
	}
	r.putLocked(key, read{at: now})
}

// putLocked makes room by forgetting what has grown old.
func (r *recent) putLocked(key string, known read) {
	if _, ok := r.reads[key]; !ok && len(r.reads) >= recentKeys {
		for old, was := range r.reads {
			if known.at.Sub(was.at) >= recentFor {
				delete(r.reads, old)
			}
		}
		if len(r.reads) >= recentKeys {
			clear(r.reads)
		}
	}
	if r.reads == nil {
		r.reads = make(map[string]read)
	}
	r.reads[key] = known
}

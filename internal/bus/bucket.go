package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MaxList is the most that one List returns.
	MaxList = 1000

	// tombstoneAge is how long the mark of a deleted key is kept. Watchers that were away for longer notice all the
	// same, because they compare what they knew with what there is.
	tombstoneAge = time.Hour

	// openPatience is how long NATS has at first to open a bucket before it is asked again.
	openPatience = time.Second
)

// BucketConfig describes a bucket. Nodes that share one must agree on it.
type BucketConfig struct {
	Name     string        // letters, digits, _ and -
	TTL      time.Duration // a key disappears this long after it was last written; 0: never
	History  int           // values kept of each key; 0 means 1, 64 is the most
	MaxBytes int64         // of all keys and values; 0 means no limit of its own
	Replicas int           // servers of an external cluster that keep a copy; 0 means what Config.Replicas says
}

// Entry is one value of a key.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64    // grows with each write to the bucket
	Created  time.Time // when this value was written, by the server's clock
}

// Bucket is a durable set of keys, replicated by NATS. Keys are letters, digits and any of - / _ = . but neither begin
// nor end with a dot. A write that was acknowledged with a nil error is on disk. All methods but Watch return within
// five seconds, with ErrUnavailable when NATS does not answer.
type Bucket struct {
	bus *Bus
	cfg jetstream.KeyValueConfig

	recent recent // what GetRecent knows

	mu sync.Mutex         // protects following
	kv jetstream.KeyValue // nil until opened, and again after a failure
}

// Bucket returns a handle of the bucket, which is made when it is missing. While NATS is away the handle is returned
// all the same and the bucket opened when it is first used, so that a node can be put together meanwhile. An error
// means that the configuration is invalid or that NATS refuses it.
func (b *Bus) Bucket(ctx context.Context, cfg BucketConfig) (*Bucket, error) {
	if cfg.History < 0 || cfg.History > jetstream.KeyValueMaxHistory || cfg.TTL < 0 {
		return nil, fmt.Errorf("bus: bucket %s: %w history or ttl", cfg.Name, ErrInvalid)
	}
	k := &Bucket{bus: b, cfg: jetstream.KeyValueConfig{
		Bucket:         cfg.Name,
		TTL:            cfg.TTL,
		History:        uint8(max(cfg.History, 1)),
		MaxBytes:       cfg.MaxBytes,
		Replicas:       cmp.Or(cfg.Replicas, b.cfg.Replicas),
		Storage:        jetstream.FileStorage,
		LimitMarkerTTL: tombstoneAge,
	}}
	err := k.do(ctx, "open", func(context.Context, jetstream.KeyValue) error { return nil })
	if err != nil && !errors.Is(err, ErrUnavailable) {
		return nil, err
	}
	return k, nil
}

// Get reads the latest value of key, from any server that has a copy. ErrNotFound: there is none, or there cannot be one. A copy
// may not have a key yet that was just made: where there are several, the leader has the last word on that.
func (k *Bucket) Get(ctx context.Context, key string) (Entry, error) {
	found, err := k.get(ctx, key)
	if errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInvalid) && k.cfg.Replicas > 1 {
		return k.askLeader(ctx, key)
	}
	return found, err
}

func (k *Bucket) get(ctx context.Context, key string) (Entry, error) {
	var found Entry
	err := k.do(ctx, "get "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		e, err := kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrInvalidKey) {
			return fmt.Errorf("%w: %w", jetstream.ErrKeyNotFound, ErrInvalid)
		}
		if err == nil {
			found = entry(e)
		}
		return err
	})
	return found, err
}

// Create writes a key that does not exist and returns its revision. ErrExists: it does.
func (k *Bucket) Create(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	defer k.wrote(key)
	err = k.do(ctx, "create "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		revision, err = kv.Create(ctx, key, value)
		return err
	})
	return revision, err
}

// Update writes a key whose latest revision is the given one, and returns its new revision. ErrConflict: it is another.
func (k *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	defer k.wrote(key)
	err = k.do(ctx, "update "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		next, err = kv.Update(ctx, key, value, revision)
		return err
	})
	return next, err
}

// Put writes a key whatever it was, and returns its revision.
func (k *Bucket) Put(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	defer k.wrote(key)
	err = k.do(ctx, "put "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		revision, err = kv.Put(ctx, key, value)
		return err
	})
	return revision, err
}

// Delete removes a key and its history. To delete what is not there is no error.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	defer k.wrote(key)
	return k.do(ctx, "delete "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, key, jetstream.PurgeTTL(tombstoneAge))
	})
}

// DeleteAt removes a key whose latest revision is the given one, and its history. ErrConflict: it is another.
func (k *Bucket) DeleteAt(ctx context.Context, key string, revision uint64) error {
	defer k.wrote(key)
	return k.do(ctx, "delete "+key, func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, key, jetstream.PurgeTTL(tombstoneAge), jetstream.LastRevision(revision))
	})
}

// wrote makes this node's own writes known to GetRecent before they return.
func (k *Bucket) wrote(key string) { k.recent.bar(key, time.Now()) }

// List returns, sorted by key, up to limit (at most MaxList) entries whose keys come after the given one. The key of
// the last entry is the cursor of the next page. It reads every key of the bucket, and the values of one page.
func (k *Bucket) List(ctx context.Context, after string, limit int) ([]Entry, error) {
	var page []Entry
	err := k.do(ctx, "list", func(ctx context.Context, kv jetstream.KeyValue) error {
		keys, err := keysAfter(ctx, kv, after)
		if err != nil {
			return err
		}
		keys = keys[:min(len(keys), max(limit, 0), MaxList)]
		page = make([]Entry, 0, len(keys))
		for _, key := range keys {
			e, err := kv.Get(ctx, key)
			switch {
			case err == nil:
				page = append(page, entry(e))
			case !errors.Is(err, jetstream.ErrKeyNotFound): // else it was deleted just now
				return err
			}
		}
		return nil
	})
	return page, err
}

// keysAfter returns the keys of the bucket that sort behind after.
func keysAfter(ctx context.Context, kv jetstream.KeyValue, after string) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes(), jetstream.MetaOnly())
	if err != nil {
		return nil, err
	}
	defer drain(w)
	var keys []string
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return nil, ErrUnavailable // the connection broke
			case e == nil:
				slices.Sort(keys)
				return slices.Compact(keys), nil
			case e.Key() > after:
				keys = append(keys, e.Key())
			}
		}
	}
}

// do makes one bounded call to the bucket and translates its error. After a failure the bucket is opened anew, which
// makes it again should it be gone.
func (k *Bucket) do(ctx context.Context, op string, call func(context.Context, jetstream.KeyValue) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	kv, err := k.open(ctx)
	if err == nil {
		err = call(ctx, kv)
	}
	err = fail("bucket "+k.cfg.Bucket+": "+op, err)
	if errors.Is(err, ErrUnavailable) {
		k.mu.Lock()
		k.kv = nil
		k.mu.Unlock()
	}
	return err
}

// open returns the bucket, which it makes when it is missing. Two calls at once do the same thing twice: no harm. A NATS cluster
// leaves unanswered what it is asked while nodes make the same bucket at the same moment, or while it has no leader: so it
// is asked again soon, and with more patience each time.
func (k *Bucket) open(ctx context.Context) (jetstream.KeyValue, error) {
	l, err := k.bus.current()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	kv := k.kv
	k.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	for patience := openPatience; ; patience *= 2 {
		attempt, cancel := context.WithTimeout(ctx, patience)
		kv, err = l.js.CreateOrUpdateKeyValue(attempt, k.cfg)
		unanswered := attempt.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if !unanswered || ctx.Err() != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
	}
	k.mu.Lock()
	k.kv = kv
	k.mu.Unlock()
	return kv, nil
}

func entry(e jetstream.KeyValueEntry) Entry {
	return Entry{Key: e.Key(), Value: e.Value(), Revision: e.Revision(), Created: e.Created()}
}

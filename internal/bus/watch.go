package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Watch calls f for every entry of the bucket, then caughtUp (which may be nil), then f for each change as it comes,
// until ctx ends, when it returns nil. Of a deleted key, and of one that grew too old, f gets the key alone and deleted.
// Calls come one at a time, from Watch's own goroutine.
//
// It survives outages: after each reconnect the bucket is read again and compared with what f was told, so that f hears
// every difference and nothing twice. Changes that undid each other meanwhile are not seen. An error means that NATS
// refuses the bucket.
func (k *Bucket) Watch(ctx context.Context, f func(e Entry, deleted bool), caughtUp func()) error {
	v := &view{known: make(map[string]version), tell: f, caughtUp: caughtUp}
	for ctx.Err() == nil {
		again := k.bus.Relinked()
		err := k.watch(ctx, again, v)
		if ctx.Err() != nil {
			break
		}
		if err != nil && !errors.Is(err, ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-time.After(retryDelay):
		}
	}
	return nil
}

// WatchValues is Watch for those who want no revisions, in plain types, so that they need not import this package.
func (k *Bucket) WatchValues(ctx context.Context, f func(key string, value []byte, deleted bool), caughtUp func()) error {
	return k.Watch(ctx, func(e Entry, deleted bool) { f(e.Key, e.Value, deleted) }, caughtUp)
}

// watch reads the bucket and follows it until the connection breaks or again is closed.
func (k *Bucket) watch(ctx context.Context, again <-chan struct{}, v *view) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var updates jetstream.KeyWatcher
	err := k.do(ctx, "watch", func(_ context.Context, kv jetstream.KeyValue) error {
		late := time.AfterFunc(callTimeout, cancel) // bounds the start only: the watcher lives as long as ctx
		var err error
		updates, err = kv.WatchAll(ctx)
		if !late.Stop() {
			return errors.Join(ErrUnavailable, err)
		}
		return err
	})
	if updates != nil {
		defer drain(updates)
	}
	if err != nil {
		return err
	}
	v.begin()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again:
			return nil
		case e, ok := <-updates.Updates():
			switch {
			case !ok:
				return ErrUnavailable
			case e == nil:
				v.complete()
			default:
				v.apply(e)
			}
		}
	}
}

// drain stops w and takes what it still has, because its callback blocks on what nobody takes.
func drain(w jetstream.KeyWatcher) {
	go func() {
		for range w.Updates() { //nolint:revive // emptied on purpose; closed by Stop
		}
	}()
	_ = w.Stop() // fails only when the subscription or the connection is gone, and then there is nothing to stop
}

// version tells two values of a key apart, also when the bucket was made anew in between.
type version struct {
	revision uint64
	created  int64
}

// view is what a watcher's owner was told.
type view struct {
	tell     func(e Entry, deleted bool)
	caughtUp func()
	known    map[string]version
	seen     map[string]struct{} // in this reading; nil once it is complete
}

// begin starts a reading of the whole bucket.
func (v *view) begin() { v.seen = make(map[string]struct{}) }

// apply tells one change, unless it is known.
func (v *view) apply(e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		v.forget(e.Key())
		return
	}
	if v.seen != nil {
		v.seen[e.Key()] = struct{}{}
	}
	now := version{revision: e.Revision(), created: e.Created().UnixNano()}
	if v.known[e.Key()] == now {
		return
	}
	v.known[e.Key()] = now
	v.tell(entry(e), false)
}

// complete ends a reading: what was known and not seen is gone.
func (v *view) complete() {
	for key := range v.known {
		if _, ok := v.seen[key]; !ok {
			v.forget(key)
		}
	}
	v.seen = nil
	if v.caughtUp != nil {
		v.caughtUp()
		v.caughtUp = nil
	}
}

func (v *view) forget(key string) {
	if _, ok := v.known[key]; ok {
		delete(v.known, key)
		v.tell(Entry{Key: key}, true)
	}
}

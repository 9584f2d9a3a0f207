package bus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// watcher is what a Watch told.
type watcher struct {
	changes  chan string
	caughtUp chan struct{}
}

// watch follows k until the test ends.
func watch(t *testing.T, k *Bucket) watcher {
	t.Helper()
	w := watcher{changes: make(chan string, 1000), caughtUp: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- k.WatchValues(ctx, func(key string, value []byte, deleted bool) {
			if deleted {
				w.changes <- key + " gone"
				return
			}
			w.changes <- key + "=" + string(value)
		}, func() { close(w.caughtUp) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := await(t, done); err != nil {
			t.Errorf("Watch = %v, want nil", err)
		}
	})
	return w
}

// expect wants exactly these changes, in any order.
func (w watcher) expect(t *testing.T, want ...string) {
	t.Helper()
	left := make(map[string]bool)
	for _, c := range want {
		left[c] = true
	}
	for range want {
		c := await(t, w.changes)
		if !left[c] {
			t.Errorf("heard %q, which is not among %v", c, want)
		}
		delete(left, c)
	}
}

func TestWatchTellsWhatIsThenWhatChanges(t *testing.T) {
	k := bucket(t, startEmbeddedBus(t), BucketConfig{Name: "w"})
	put(t, k, "a", "1")
	put(t, k, "b", "1")
	put(t, k, "c", "1")
	if err := k.Delete(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	w := watch(t, k)
	await(t, w.caughtUp)
	w.expect(t, "a=1", "b=1")
	put(t, k, "a", "2")
	if err := k.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	put(t, k, "d", "1")
	for _, want := range []string{"a=2", "b gone", "d=1"} {
		if c := await(t, w.changes); c != want {
			t.Errorf("heard %q, want %q", c, want)
		}
	}
}

func TestWatchMoreThanItsBuffers(t *testing.T) {
	k := bucket(t, startEmbeddedBus(t), BucketConfig{Name: "w"})
	for i := range 600 {
		put(t, k, fmt.Sprintf("k%d", i), "v")
	}
	w := watch(t, k)
	await(t, w.caughtUp)
	if len(w.changes) != 600 {
		t.Errorf("heard %d, want 600", len(w.changes))
	}
}

func TestWatchSurvivesRestartsOfTheServer(t *testing.T) {
	ext := startExternal(t)
	b, _ := start(t, ext.config())
	await(t, b.Ready())
	other, _ := start(t, ext.config())
	await(t, other.Ready())
	k, writer := bucket(t, b, BucketConfig{Name: "w"}), bucket(t, other, BucketConfig{Name: "w"})
	w := watch(t, k)
	put(t, k, "kept", "1")
	put(t, k, "goes", "1")
	put(t, k, "turns", "1")
	w.expect(t, "kept=1", "goes=1", "turns=1")

	for round := range 3 {
		ext.down()
		awaitConnected(t, b, false)
		awaitConnected(t, other, false)
		expectUnavailable(t, b)
		ext.up()
		awaitConnected(t, other, true)
		put(t, writer, "new", fmt.Sprint(round))
		w.expect(t, fmt.Sprintf("new=%d", round))
	}
	put(t, writer, "turns", "2")
	if err := writer.Delete(t.Context(), "goes"); err != nil {
		t.Fatal(err)
	}
	w.expect(t, "turns=2", "goes gone")
	if len(w.changes) != 0 {
		t.Errorf("heard %q as well", <-w.changes)
	}
}

// The differences of a watcher that was away: another client writes while it is cut off, and the store is lost.
func TestWatchHearsWhatItMissed(t *testing.T) {
	ext := startExternal(t)
	b, _ := start(t, ext.config())
	await(t, b.Ready())
	k := bucket(t, b, BucketConfig{Name: "w"})
	w := watch(t, k)
	put(t, k, "lost", "1")
	put(t, k, "again", "1")
	w.expect(t, "lost=1", "again=1")

	ext.down()
	awaitConnected(t, b, false)
	if err := os.RemoveAll(ext.opts.StoreDir); err != nil {
		t.Fatal(err)
	}
	ext.up()
	awaitConnected(t, b, true)
	w.expect(t, "lost gone", "again gone") // the bucket was made anew by the watch itself
	put(t, k, "again", "2")
	w.expect(t, "again=2")
}

func TestStartWhileNATSIsAway(t *testing.T) {
	ext := startExternal(t)
	cfg := ext.config()
	ext.down()
	b, _ := start(t, cfg)
	k := bucket(t, b, BucketConfig{Name: "early"})
	w := watch(t, k)
	if _, err := k.Put(t.Context(), "a", nil); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("Put = %v, want ErrUnavailable", err)
	}
	ext.up()
	await(t, b.Ready())
	await(t, w.caughtUp)
	put(t, k, "a", "1")
	w.expect(t, "a=1")
	if len(w.changes) != 0 {
		t.Errorf("heard %q: a failed write happened later", <-w.changes)
	}
}

func TestServersAndSubscribersSurviveARestart(t *testing.T) {
	ext := startExternal(t)
	b, _ := start(t, ext.config())
	await(t, b.Ready())
	stop, err := b.Serve("ask", func(context.Context, []byte) ([]byte, error) { return []byte("yes"), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	got := make(chan string, 10)
	unsubscribe, err := b.Subscribe("say", func(_ string, data []byte) { got <- string(data) })
	if err != nil {
		t.Fatal(err)
	}
	defer unsubscribe()
	ext.down()
	awaitConnected(t, b, false)
	if err := b.Publish("say", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	ext.up()
	if m := await(t, got); m != "kept" {
		t.Errorf("heard %q", m)
	}
	if data, err := b.Request(t.Context(), "ask", nil); err != nil || string(data) != "yes" {
		t.Errorf("Request = %q, %v", data, err)
	}
}

func TestBackoffIsBoundedAndSpread(t *testing.T) {
	for attempts, most := range map[int]time.Duration{0: 50 * time.Millisecond, 3: 400 * time.Millisecond, 1000: maxBackoff} {
		for range 100 {
			if d := backoff(attempts); d < most/2 || d > most {
				t.Fatalf("backoff(%d) = %v, want between %v and %v", attempts, d, most/2, most)
			}
		}
	}
}

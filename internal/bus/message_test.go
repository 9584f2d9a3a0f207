package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPublishReachesSubscribersInOrder(t *testing.T) {
	b, err := New(embeddedConfig(t), discard())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	hear := func(subject string, data []byte) { got <- subject + "=" + string(data) }
	stop, err := b.Subscribe("room.*.n1", hear) // before Run
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish("room.early.n1", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	run(t, b)
	if first := await(t, got); first != "room.early.n1=kept" {
		t.Fatalf("first = %q", first)
	}
	for i := range 50 {
		if err := b.Publish("room.a.n1", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		if m, want := await(t, got), fmt.Sprintf("room.a.n1=%d", i); m != want {
			t.Fatalf("message = %q, want %q", m, want)
		}
	}
	stop()
	stop() // again: no harm
	last := make(chan struct{})
	stopLast, err := b.Subscribe("room.a.n1", func(string, []byte) { close(last) })
	if err != nil {
		t.Fatal(err)
	}
	defer stopLast()
	if err := b.Publish("room.a.n1", []byte("unheard")); err != nil {
		t.Fatal(err)
	}
	await(t, last)
	if len(got) != 0 {
		t.Errorf("heard %q after unsubscribing", <-got)
	}
}

func TestSubjects(t *testing.T) {
	tests := map[string]struct{ publish, subscribe bool }{
		"a.b":       {true, true},
		"a.*":       {false, true},
		"a.>":       {false, true},
		"a.>.b":     {false, false},
		"a.b*":      {false, false},
		"":          {false, false},
		".a":        {false, false},
		"a..b":      {false, false},
		"a b":       {false, false},
		"a\r\nPUB ": {false, false},
	}
	b := startEmbeddedBus(t)
	for subject, want := range tests {
		t.Run(subject, func(t *testing.T) {
			if err := b.Publish(subject, nil); errors.Is(err, ErrInvalid) == want.publish {
				t.Errorf("Publish = %v, want accepted %v", err, want.publish)
			}
			stop, err := b.Subscribe(subject, func(string, []byte) {})
			stop()
			if errors.Is(err, ErrInvalid) == want.subscribe {
				t.Errorf("Subscribe = %v, want accepted %v", err, want.subscribe)
			}
		})
	}
	if err := b.Publish("a", make([]byte, MaxMessage+1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("Publish of too much = %v, want ErrInvalid", err)
	}
}

func TestOutboxKeepsTheNewest(t *testing.T) {
	m := func(s string) message { return message{subject: "s", data: []byte(s)} }
	o := newOutbox(3 * m("x").cost())
	for s := range strings.SplitSeq("abcde", "") {
		o.push(m(s))
	}
	all := o.take()
	o.push(m("f"))
	o.putBack(all) // c d e, of which f pushes out the first
	var got string
	for _, kept := range o.take() {
		got += string(kept.data)
	}
	if got != "def" || o.dropped.Load() != 3 {
		t.Errorf("kept %q and dropped %d, want \"def\" and 3", got, o.dropped.Load())
	}
	if o.cost != 0 {
		t.Errorf("cost = %d when empty", o.cost)
	}
}

func TestRequests(t *testing.T) {
	b := startEmbeddedBus(t)
	stop, err := b.Serve("ask", func(ctx context.Context, data []byte) ([]byte, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the server's context has no deadline")
		}
		if string(data) == "fail" {
			return nil, errors.New("no such room")
		}
		return append([]byte("re: "), data...), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("answer", func(t *testing.T) {
		got, err := b.Request(t.Context(), "ask", []byte("hi"))
		if err != nil || string(got) != "re: hi" {
			t.Errorf("Request = %q, %v", got, err)
		}
	})
	t.Run("error of the other side", func(t *testing.T) {
		_, err := b.Request(t.Context(), "ask", []byte("fail"))
		if !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "no such room") {
			t.Errorf("Request = %v, want ErrRemote with the reason", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Request(ctx, "ask", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Request = %v, want context.Canceled", err)
		}
	})
	t.Run("a publication is served without an answer", func(t *testing.T) {
		if err := b.Publish("ask", []byte("one way")); err != nil {
			t.Error(err)
		}
	})
	t.Run("nobody serves", func(t *testing.T) {
		stop()
		if _, err := b.Request(t.Context(), "ask", nil); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Request = %v, want ErrUnavailable", err)
		}
	})
}

func TestABusyServerSaysSo(t *testing.T) {
	b := startEmbeddedBus(t)
	release := make(chan struct{})
	stop, err := b.Serve("slow", func(ctx context.Context, _ []byte) ([]byte, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return []byte("done"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	const asked = workers + maxRequests + 50
	busy := make(chan error, asked)
	var wg sync.WaitGroup
	for range asked {
		wg.Go(func() {
			_, err := b.Request(context.Background(), "slow", nil)
			busy <- err
		})
	}
	if err := await(t, busy); !errors.Is(err, ErrRemote) || !strings.Contains(err.Error(), "too many") {
		t.Errorf("Request = %v, want a refusal", err)
	}
	close(release)
	wg.Wait()
}

func TestPublishDoesNotWaitForTheNetwork(t *testing.T) {
	ext := startExternal(t)
	cfg := ext.config()
	cfg.OutboxBytes = 64 << 10
	b, _ := start(t, cfg)
	await(t, b.Ready())
	ext.down()
	awaitConnected(t, b, false)
	data := make([]byte, 1024)
	began := time.Now()
	for range 10_000 {
		if err := b.Publish("s", data); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("10,000 publications took %v", took)
	}
	if d := b.Dropped(); d < 9_900 || d >= 10_000 {
		t.Errorf("dropped %d of 10,000, want all but what fits in 64 KiB", d)
	}
	got := make(chan struct{}, 100)
	stop, err := b.Subscribe("s", func(string, []byte) { got <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ext.up()
	await(t, got) // what was kept arrives
}

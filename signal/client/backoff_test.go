package client

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffCeilings(t *testing.T) {
	largest := func(n int64) int64 { return n - 1 }
	b := backoff{base: 250 * time.Millisecond, limit: 10 * time.Second, random: largest}
	want := []time.Duration{250, 500, 1000, 2000, 4000, 8000, 10000, 10000}
	for i, ms := range want {
		if got := b.next(); got != ms*time.Millisecond {
			t.Errorf("ceiling of wait %d = %s, want %s", i, got, ms*time.Millisecond)
		}
	}
	b.tries = 1000
	if got := b.next(); got != b.limit {
		t.Errorf("ceiling after a thousand tries = %s, want %s", got, b.limit)
	}
}

func TestBackoffJitterIsFull(t *testing.T) {
	var low, high int
	for range 1000 {
		b := backoff{base: time.Second, limit: time.Minute}
		switch d := b.next(); {
		case d < 0 || d > time.Second:
			t.Fatalf("wait = %s, want between 0 and 1s", d)
		case d < 100*time.Millisecond:
			low++
		case d > 900*time.Millisecond:
			high++
		}
	}
	if low < 50 || high < 50 {
		t.Errorf("of 1000 waits %d are short and %d long, want about 100 each", low, high)
	}
}

func TestBackoffWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff{base: time.Second, limit: time.Minute, random: func(n int64) int64 { return n - 1 }}
		start := time.Now()
		for range 2 {
			if !b.wait(t.Context(), nil) {
				t.Fatal("wait gave up")
			}
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("two waits took %s, want 3s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b.wait(ctx, nil) {
			t.Error("wait of 4 s outlived a context of 1 s")
		}
	})
}

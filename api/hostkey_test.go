package api

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	b, err := newBackoff(3, 30*time.Second, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	for i, want := range []time.Duration{0, 0, 1, 2, 4, 8, 16, 30, 30} {
		b.fail("a", now)
		if got := b.wait("a", now); got != want*time.Second {
			t.Errorf("after %d failures: wait = %s, want %s", i+1, got, want*time.Second)
		}
	}
	if got := b.wait("a", now.Add(20*time.Second)); got != 10*time.Second {
		t.Errorf("wait later = %s, want 10s", got)
	}
	if got := b.wait("a", now.Add(31*time.Second)); got != 0 {
		t.Errorf("wait after the pause = %s, want 0", got)
	}
	if got := b.wait("b", now); got != 0 {
		t.Errorf("another key waits %s", got)
	}
	now = now.Add(10 * time.Minute)
	b.fail("a", now)
	if got := b.wait("a", now); got != 0 {
		t.Errorf("wait after a long quiet = %s, want 0", got)
	}
}

func TestBackoffDoesNotOverflow(t *testing.T) {
	b, err := newBackoff(1, time.Hour, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.pause(1 << 30); got != time.Hour {
		t.Errorf("pause = %s, want 1h", got)
	}
}

func TestGuessingHostKeysIsSlow(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.TrustedProxies = []string{"127.0.0.1"} })
	m := r.create(object{"title": "x"})
	other := r.create(object{"title": "y"})
	from := func(addr string) with { return header("X-Forwarded-For", addr) }
	guess := func(m createdView, key, addr string) answer {
		t.Helper()
		return r.post("/v1/meetings/"+m.ID+"/join", object{"role": "host", "host_key": key}, from(addr))
	}
	for range 5 {
		guess(m, "wrong", "192.0.2.1").wantProblem(http.StatusForbidden, "host_key_invalid")
	}
	got := guess(m, m.HostKey, "192.0.2.1")
	got.wantProblem(http.StatusTooManyRequests, "host_key_backoff")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After = %q, want 1", got.header.Get("Retry-After"))
	}
	guess(other, other.HostKey, "192.0.2.1").wantProblem(http.StatusTooManyRequests, "host_key_backoff")
	r.get("/v1/meetings/"+m.ID, header(HostKeyHeader, m.HostKey), from("192.0.2.1")).wantProblem(http.StatusTooManyRequests, "host_key_backoff")
	guess(m, m.HostKey, "192.0.2.2").want(http.StatusOK)

	// From many addresses the meeting itself is held.
	for i := range 5 {
		guess(m, "wrong", fmt.Sprint("198.51.100.", i)).wantProblem(http.StatusForbidden, "host_key_invalid")
	}
	guess(m, "wrong", "198.51.100.99").wantProblem(http.StatusTooManyRequests, "host_key_backoff")
	guess(other, other.HostKey, "198.51.100.99").want(http.StatusOK)
	r.join(m.ID, nil, bearer(r.token(rightJoin)), from("198.51.100.99"))
}

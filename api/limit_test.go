package api

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	start := time.Unix(0, 0)
	for _, tc := range []struct {
		name string
		at   []time.Duration
		want []time.Duration
	}{
		{"burst", []time.Duration{0, 0, 0}, []time.Duration{0, 0, 500 * time.Millisecond}},
		{"waiting costs nothing", []time.Duration{0, 0, 0, 0}, []time.Duration{0, 0, 500 * time.Millisecond, 500 * time.Millisecond}},
		{"refill", []time.Duration{0, 0, time.Second, time.Second, time.Second}, []time.Duration{0, 0, 0, 0, 500 * time.Millisecond}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := newLimiter(Rate{PerSecond: 2, Burst: 2})
			if err != nil {
				t.Fatal(err)
			}
			for i, at := range tc.at {
				if got := l.wait("a", start.Add(at)); got != tc.want[i] {
					t.Errorf("call %d: wait = %s, want %s", i, got, tc.want[i])
				}
			}
			if got := l.wait("b", start); got != 0 {
				t.Errorf("another key waits %s", got)
			}
		})
	}
}

func TestTablesAreBounded(t *testing.T) {
	l, err := newLimiter(Rate{PerSecond: 1, Burst: 1})
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBackoff(1, time.Minute, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxTracked + 100 {
		l.wait(strconv.Itoa(i), time.Unix(0, 0))
		b.fail(strconv.Itoa(i), time.Unix(0, 0))
	}
	if l.table.Len() != maxTracked || b.table.Len() != maxTracked {
		t.Errorf("tables have %d and %d, want %d", l.table.Len(), b.table.Len(), maxTracked)
	}
}

func TestAddressKey(t *testing.T) {
	for _, tc := range []struct{ addr, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2::9", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
	} {
		if got := addressKey(netip.MustParseAddr(tc.addr)); got != tc.want {
			t.Errorf("addressKey(%s) = %s, want %s", tc.addr, got, tc.want)
		}
	}
}

func TestCallersAreLimited(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.CallerRate = Rate{PerSecond: 0.01, Burst: 3} })
	for range 3 {
		r.get("/v1/meetings", bearer(r.tokenOf("greedy", rightRead))).want(http.StatusOK)
	}
	got := r.get("/v1/meetings", bearer(r.tokenOf("greedy", rightRead)))
	got.wantProblem(http.StatusTooManyRequests, "rate_limited")
	if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 90 || after > 100 {
		t.Errorf("Retry-After = %q, want about 100", got.header.Get("Retry-After"))
	}
	r.get("/v1/meetings", bearer(r.tokenOf("modest", rightRead))).want(http.StatusOK)
}

func TestAddressesAreLimited(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) {
		c.AddressRate = Rate{PerSecond: 0.01, Burst: 2}
		c.TrustedProxies = []string{"127.0.0.1"}
	})
	from := func(addr string) with { return header("X-Forwarded-For", addr) }
	for range 2 {
		r.get("/v1/regions", from("192.0.2.1")).want(http.StatusOK)
	}
	for _, path := range []string{"/v1/regions", "/v1/meetings", "/v1/signal"} {
		r.get(path, from("192.0.2.1")).wantProblem(http.StatusTooManyRequests, "rate_limited")
	}
	r.get("/v1/regions", from("192.0.2.2")).want(http.StatusOK)
	r.get("/livez", from("192.0.2.1")).want(http.StatusOK)
}

// Without trusted proxies nobody chooses an address by a header.
func TestForwardedForIsNotBelieved(t *testing.T) {
	r := newRig(t, func(c *Config, _ *Deps) { c.AddressRate = Rate{PerSecond: 0.01, Burst: 2} })
	for i := range 2 {
		r.get("/v1/regions", header("X-Forwarded-For", fmt.Sprint("192.0.2.", i))).want(http.StatusOK)
	}
	r.get("/v1/regions", header("X-Forwarded-For", "192.0.2.9")).wantProblem(http.StatusTooManyRequests, "rate_limited")
}

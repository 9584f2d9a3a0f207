package cert

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestTheNameAndTheKeyDecide(t *testing.T) {
	s := newShelf(t)
	later := time.Now().Add(time.Hour)
	source, err := New(Config{Certificates: []Pair{
		s.putContent("rsa", s.content(1, s.rsa(), later, "meet.example.org", "example.org")),
		s.put("ecdsa", 2, "meet.example.org"),
		s.put("other", 3, "*.example.net"),
	}}, 443, discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, asks string
		onlyRSA    bool
		want       int64
	}{
		{"the name, ECDSA before RSA", "meet.example.org", false, 2},
		{"the name, for a client that knows RSA only", "meet.example.org", true, 1},
		{"a name that only one has", "example.org", false, 1},
		{"a wildcard", "a.example.net", false, 3},
		{"no name", "", false, 2},
		{"a name that none has", "elsewhere.test", false, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := serial(t, source, hello(tc.asks, tc.onlyRSA)); got != tc.want {
				t.Errorf("certificate %d, want %d", got, tc.want)
			}
		})
	}
	if got := source.TLSConfig().NextProtos; len(got) > 0 {
		t.Errorf("application protocols %q, want none", got)
	}
}

// A step changes the files; then some time passes.
type step struct {
	name     string
	change   func(s shelf, p Pair)
	asked    bool // to read them at once
	pass     time.Duration
	want     int64 // the certificate in use
	failures uint64
}

func TestFilesAreReadAgain(t *testing.T) {
	whole := func(serial int64) func(shelf, Pair) {
		return func(s shelf, _ Pair) { s.put("a", serial, "meet.test") }
	}
	broken := func(s shelf, p Pair) { s.write(p.CertFile, []byte("broken")) }
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"nothing changes", []step{{"wait", nil, false, time.Minute, 1, 0}}},
		{"a new pair", []step{{"replace", whole(2), false, lookEvery, 2, 0}, {"wait", nil, false, time.Minute, 2, 0}}},
		{"a new pair, and told so", []step{{"replace", whole(2), true, 0, 2, 0}}},
		{"a broken one", []step{
			{"break", broken, false, lookEvery, 1, 0}, // it may be half written
			{"wait", nil, false, lookEvery, 1, 1},
			{"wait for long", nil, false, time.Hour, 1, 1},
			{"mend", whole(3), false, lookEvery, 3, 1},
		}},
		{"a broken one, and told so", []step{{"break", broken, true, 0, 1, 1}, {"wait", nil, false, time.Hour, 1, 1}}},
		{"one that is gone", []step{
			{"remove", func(_ shelf, p Pair) { _ = os.Remove(p.KeyFile) }, false, 2 * lookEvery, 1, 1},
			{"back", whole(4), false, lookEvery, 4, 1},
		}},
		{"the key of another", []step{{"mix up", func(s shelf, p Pair) {
			s.write(p.KeyFile, s.content(9, s.ecdsa(), time.Now().Add(time.Hour)).key)
		}, false, 2 * lookEvery, 1, 1}}},
		{"looked at between its two files", []step{
			{"the certificate first", func(s shelf, p Pair) { s.write(p.CertFile, next(s).cert) }, false, lookEvery, 1, 0},
			{"then the key", func(s shelf, _ Pair) { s.putContent("a", next(s)) }, false, lookEvery, 5, 0},
		}},
		{"broken, mended, broken", []step{
			{"break", broken, true, 0, 1, 1}, {"mend", whole(2), true, 0, 2, 1}, {"break", broken, true, 0, 2, 2},
		}},
		{"a huge file", []step{{"grow", func(s shelf, p Pair) { s.write(p.CertFile, make([]byte, 2<<20)) }, true, 0, 1, 1}}},
	} {
		t.Run(tc.name, func(t *testing.T) { replay(t, tc.steps) })
	}
}

// next is always the same certificate, number 5.
func next(s shelf) content {
	path := s.pair("next")
	if now, err := readPair(path); err == nil {
		return now
	}
	s.put("next", 5, "meet.test")
	now, _ := readPair(path)
	return now
}

func replay(t *testing.T, steps []step) {
	t.Helper()
	s := newShelf(t)
	synctest.Test(t, func(t *testing.T) {
		p := s.put("a", 1, "meet.test")
		source, err := New(Config{Certificates: []Pair{p}}, 443, discard())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- source.Run(ctx) }()
		failures := source.files.failures.Value()
		for _, step := range steps {
			if step.change != nil {
				step.change(s, p)
			}
			if step.asked {
				before := source.files.failures.Value()
				if err := source.Reload(); (err != nil) != (source.files.failures.Value() > before) {
					t.Errorf("%s: Reload = %v", step.name, err)
				}
			}
			time.Sleep(step.pass)
			synctest.Wait()
			if got := serial(t, source, hello("meet.test", false)); got != step.want {
				t.Errorf("%s: certificate %d, want %d", step.name, got, step.want)
			}
			if got := source.files.failures.Value() - failures; got != step.failures {
				t.Errorf("%s: %d failures, want %d", step.name, got, step.failures)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestExpiryIsTheFirstOfAll(t *testing.T) {
	s := newShelf(t)
	soon, later := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(2*time.Hour)
	source, err := New(Config{Certificates: []Pair{
		s.putContent("later", s.content(1, s.ecdsa(), later, "a.test")), s.putContent("soon", s.content(2, s.ecdsa(), soon, "b.test")),
	}}, 443, discard())
	if err != nil {
		t.Fatal(err)
	}
	if got := source.Expiry(); !got.Equal(soon) {
		t.Errorf("Expiry = %s, want %s", got, soon)
	}
	if left := source.left(); left < 3590 || left > 3600 {
		t.Errorf("%f seconds are left, want an hour", left)
	}
}

func TestNewNeedsGoodFiles(t *testing.T) {
	s := newShelf(t)
	good := s.put("good", 1, "a.test")
	s.write(s.pair("bad").CertFile, []byte("bad"))
	s.write(s.pair("bad").KeyFile, []byte("bad"))
	_, err := New(Config{Certificates: []Pair{good, s.pair("bad"), s.pair("missing")}}, 443, discard())
	if err == nil || !strings.Contains(err.Error(), "certificates[1]") || !strings.Contains(err.Error(), "certificates[2]") {
		t.Errorf("err = %v, want both faults named", err)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	old := s.putContent("old", s.content(1, s.ecdsa(), time.Now().Add(-time.Minute), "a.test"))
	if _, err := New(Config{Certificates: []Pair{old}}, 443, log); err != nil {
		t.Errorf("an expired certificate: %v; it is better than none", err)
	}
	if !strings.Contains(said.String(), "has expired") {
		t.Errorf("the log does not say that it has expired: %s", said.String())
	}
}

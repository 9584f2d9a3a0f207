package cert

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestValidateNamesEveryFault(t *testing.T) {
	acme := func(change func(*ACME)) Config {
		c := Defaults()
		c.ACME.Domains, c.ACME.AgreeTerms, c.ACME.Storage = []string{"meet.example.org"}, true, "acme"
		change(&c.ACME)
		return c
	}
	files := []Pair{{CertFile: "a", KeyFile: "b"}}
	for _, tc := range []struct {
		name   string
		config Config
		faults []string
	}{
		{"nothing", Defaults(), nil},
		{"files", Config{Certificates: files}, nil},
		{"half a pair", Config{Certificates: []Pair{{CertFile: "a"}, {KeyFile: "b"}}}, []string{"certificates[0]", "certificates[1]"}},
		{"ACME", acme(func(*ACME) {}), nil},
		{"another authority", acme(func(a *ACME) { a.CA = "https://ca.example.org/dir" }), nil},
		{"both", func() Config { c := acme(func(*ACME) {}); c.Certificates = files; return c }(), []string{"acme.domains"}},
		{"not agreed", acme(func(a *ACME) { a.AgreeTerms = false }), []string{"acme.agree_terms"}},
		{"all wrong", acme(func(a *ACME) {
			a.Domains, a.CA, a.Storage, a.CheckEvery = []string{"*.example.org", "", "http://x"}, "http://ca", "", 0
		}), []string{"acme.domains[0]", "acme.domains[1]", "acme.domains[2]", "acme.ca:", "acme.storage", "acme.check_every"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.config.Validate()
			if (err == nil) != (len(tc.faults) == 0) {
				t.Fatalf("err = %v, want %q", err, tc.faults)
			}
			for _, fault := range tc.faults {
				if !strings.Contains(err.Error(), fault) {
					t.Errorf("err = %v, want %s in it", err, fault)
				}
			}
		})
	}
}

// An authority that cannot be reached keeps nothing from starting and stopping; there is just no certificate.
func TestAuthorityOutOfReach(t *testing.T) {
	s := newShelf(t)
	cfg := Defaults()
	cfg.ACME.Domains, cfg.ACME.AgreeTerms, cfg.ACME.Storage = []string{"meet.test"}, true, s.dir
	cfg.ACME.CA = "https://127.0.0.1:1/dir"
	source, err := New(cfg, 443, discard())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.TLSConfig().GetCertificate(hello("meet.test", false)); !errors.Is(err, errNoCertificate) {
		t.Errorf("before it runs: %v, want %v", err, errNoCertificate)
	}
	if got := source.TLSConfig().NextProtos; !slices.Equal(got, []string{challengeProtocol}) {
		t.Errorf("application protocols %q, want %q", got, challengeProtocol)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := source.Run(ctx); err != nil {
		t.Errorf("Run = %v", err)
	}
	if at, left := source.Expiry(), source.left(); !at.IsZero() || !math.IsNaN(left) {
		t.Errorf("it expires at %s, in %f s; want never", at, left)
	}
	if err := source.Reload(); err != nil {
		t.Errorf("Reload = %v", err)
	}
}

func TestAuthorityFile(t *testing.T) {
	s := newShelf(t)
	cfg := Defaults()
	cfg.ACME.Domains, cfg.ACME.AgreeTerms, cfg.ACME.Storage = []string{"meet.test"}, true, s.dir
	pair := s.put("ca", 1, "ca.test")
	for path, good := range map[string]bool{pair.CertFile: true, pair.KeyFile: false, s.dir + "/none": false} {
		cfg.ACME.CAFile = path
		if _, err := New(cfg, 443, discard()); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := New(Config{}, 443, discard()); err == nil {
		t.Error("a source without certificates is good")
	}
}

func TestCertmagicLogsAsWeDo(t *testing.T) {
	var said bytes.Buffer
	log := zap.New(slogCore{slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelInfo}))})
	log.Debug("too low")
	log.With(zap.String("name", "meet.test")).Warn("slow", zap.Duration("took", time.Second), zap.Error(errors.New("boom")))
	log.Info("fine")
	log.Error("bad")
	got := said.String()
	for _, want := range []string{"level=WARN", `msg="acme: slow"`, "name=meet.test", "took=1s", "error=boom", "level=INFO", "level=ERROR"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q: %s", want, got)
		}
	}
	if strings.Contains(got, "too low") {
		t.Errorf("the log has what it should not: %s", got)
	}
}

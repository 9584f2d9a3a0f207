package grant

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRevocationsReachWhomTheyMean(t *testing.T) {
	another := func(change func(*Claims)) Claims { c := anna(); change(&c); return c }
	whom := map[string]Claims{
		"anna":                      anna(),
		"anna in another tab":       another(func(c *Claims) { c.ParticipantID = "pt_2" }),
		"anna elsewhere":            another(func(c *Claims) { c.MeetingID, c.ParticipantID = "mtg_2", "pt_3" }),
		"another user":              another(func(c *Claims) { c.ParticipantID, c.Subject = "pt_4", "bob" }),
		"a guest":                   another(func(c *Claims) { c.ParticipantID, c.Subject = "pt_5", "" }),
		"the same id elsewhere":     another(func(c *Claims) { c.MeetingID, c.Subject = "mtg_2", "" }),
		"an id made to look alike":  another(func(c *Claims) { c.MeetingID, c.ParticipantID, c.Subject = "mtg_1pt", "_1", "" }),
		"a caller before the token": {MeetingID: "mtg_1", Subject: "anna@example.org"},
	}
	tests := map[string]struct {
		revoke func(*testing.T, *Revocations) error
		want   string
	}{
		"nobody":      {func(*testing.T, *Revocations) error { return nil }, ""},
		"participant": {func(t *testing.T, r *Revocations) error { return r.Participant(t.Context(), "mtg_1", "pt_1") }, "anna"},
		"subject": {
			func(t *testing.T, r *Revocations) error { return r.Subject(t.Context(), "mtg_1", "anna@example.org") },
			"anna, anna in another tab, a caller before the token",
		},
		"meeting": {
			func(t *testing.T, r *Revocations) error { return r.Meeting(t.Context(), "mtg_1") },
			"anna, anna in another tab, another user, a guest, a caller before the token",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := NewRevocations(nil, discard())
			if err := tc.revoke(t, r); err != nil {
				t.Fatal(err)
			}
			hit := make(map[string]bool)
			for w := range strings.SplitSeq(tc.want, ", ") {
				hit[w] = true
			}
			for who, c := range whom {
				if got := r.Revoked(c); got != hit[who] {
					t.Errorf("Revoked(%s) = %v, want %v", who, got, hit[who])
				}
			}
		})
	}
	t.Run("guests have no subject", func(t *testing.T) {
		if err := NewRevocations(nil, discard()).Subject(t.Context(), "mtg_1", ""); err == nil {
			t.Error("all guests were revoked at once")
		}
	})
}

func TestRevocationsSpreadAndHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		here, there := NewRevocations(store, discard()), NewRevocations(store, discard())
		defer background(t, here.Run)()
		defer background(t, there.Run)()
		synctest.Wait()

		store.setAway(true)
		if err := here.Participant(t.Context(), "mtg_1", "pt_1"); !errors.Is(err, errAway) {
			t.Errorf("Participant = %v, want the store's error", err)
		}
		if !here.Revoked(anna()) || there.Revoked(anna()) {
			t.Error("during an outage a revocation holds here alone")
		}
		time.Sleep(time.Minute)
		store.setAway(false)
		time.Sleep(2 * time.Second)
		if !there.Revoked(anna()) {
			t.Error("after the outage it does not hold there")
		}

		late := NewRevocations(store, discard())
		defer background(t, late.Run)()
		synctest.Wait()
		if !late.Revoked(anna()) {
			t.Error("a node that starts later does not learn it")
		}
		if err := store.Delete(t.Context(), participantKey("mtg_1", "pt_1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !there.Revoked(anna()) {
			t.Error("a store that lost it brought the participant back")
		}
	})
}

func TestStoredRevocationsNameNobody(t *testing.T) {
	store := newMemory()
	r := NewRevocations(store, discard())
	if err := r.Subject(t.Context(), "mtg_1", "anna@example.org"); err != nil {
		t.Fatal(err)
	}
	for key, value := range store.values {
		if strings.Contains(key+string(value), "anna") {
			t.Errorf("stored %s = %s", key, value)
		}
	}
}

// A relay knows whose a credential is, and not of which meeting.
func TestARemovedParticipantIsRevokedEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		here, there := NewRevocations(store, discard()), NewRevocations(store, discard())
		go func() { _ = there.Run(t.Context()) }()
		synctest.Wait()
		if err := here.Participant(t.Context(), "mtg_1", "pt_1"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for name, r := range map[string]*Revocations{"here": here, "another node": there} {
			if !r.RevokedEverywhere("pt_1") || r.RevokedEverywhere("pt_2") || r.RevokedEverywhere("") {
				t.Errorf("%s: not pt_1 alone", name)
			}
			if r.Revoked(Claims{MeetingID: "mtg_2", ParticipantID: "pt_2"}) {
				t.Errorf("%s: somebody else is revoked", name)
			}
		}
	})
}

func BenchmarkRevoked(b *testing.B) {
	r := NewRevocations(nil, discard())
	if err := r.Meeting(b.Context(), "another"); err != nil {
		b.Fatal(err)
	}
	c := anna()
	b.ReportAllocs()
	for b.Loop() {
		if r.Revoked(c) {
			b.Fatal("revoked")
		}
	}
}

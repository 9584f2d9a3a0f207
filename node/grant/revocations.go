package grant

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Revocations remember whose tokens are good no longer. A revocation holds for as long as the process lives or the
// store keeps it, whichever is longer: losing the store brings nobody back. All methods are safe for concurrent use.
type Revocations struct {
	store Store
	log   *slog.Logger

	mu      sync.RWMutex // protects following
	revoked map[string]struct{}
	unsaved map[string]struct{} // those of ours that the store has not acknowledged
}

// NewRevocations returns Revocations that know nothing yet; Run learns what the store has. A nil store keeps them in
// this process alone.
func NewRevocations(store Store, log *slog.Logger) *Revocations {
	return &Revocations{
		store: store, log: log, revoked: make(map[string]struct{}), unsaved: make(map[string]struct{}),
	}
}

// Run hears the revocations of other nodes and tells ours, until ctx ends, when it returns nil. An error means that the
// store refuses to be watched.
func (r *Revocations) Run(ctx context.Context) error {
	if r.store == nil {
		<-ctx.Done()
		return nil
	}
	own, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.retry(own) })
	err := r.store.WatchValues(ctx, func(key string, _ []byte, deleted bool) {
		if !deleted {
			r.remember(key)
		}
	}, nil)
	stop()
	wg.Wait()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("grant: watch revocations: %w", err)
	}
	return nil
}

// Meeting revokes every token of a meeting. It holds on this node when it returns, whatever it returns; an error means
// that the other nodes do not know yet and that Run keeps telling them. So it is with the next two.
func (r *Revocations) Meeting(ctx context.Context, meetingID string) error {
	return r.revoke(ctx, meetingKey(meetingID))
}

// Participant revokes the tokens of one participant.
func (r *Revocations) Participant(ctx context.Context, meetingID, participantID string) error {
	here, everywhere := r.revoke(ctx, participantKey(meetingID, participantID)), r.revoke(ctx, participantKey("", participantID))
	return errors.Join(here, everywhere)
}

// Subject revokes the tokens, in one meeting, of everybody who joined with a user token of that sub. Whoever issues
// tokens asks Revoked first, with the meeting and the subject, so that there are no new ones either.
func (r *Revocations) Subject(ctx context.Context, meetingID, subject string) error {
	if subject == "" {
		return errors.New("grant: revoke a subject: guests have none")
	}
	return r.revoke(ctx, subjectKey(meetingID, subject))
}

// RevokedEverywhere says whether a participant was removed, for those who do not know from which meeting: its relay. It asks
// nobody.
func (r *Revocations) RevokedEverywhere(participantID string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.revoked) == 0 {
		return false
	}
	_, revoked := r.revoked[participantKey("", participantID)]
	return revoked
}

// Revoked says whether the meeting, the participant or the subject of c was revoked. It asks nobody.
func (r *Revocations) Revoked(c Claims) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.revoked) == 0 {
		return false
	}
	_, meeting := r.revoked[meetingKey(c.MeetingID)]
	_, participant := r.revoked[participantKey(c.MeetingID, c.ParticipantID)]
	subject := false
	if c.Subject != "" {
		_, subject = r.revoked[subjectKey(c.MeetingID, c.Subject)]
	}
	return meeting || participant || subject
}

func (r *Revocations) remember(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked[key] = struct{}{}
}

func (r *Revocations) revoke(ctx context.Context, key string) error {
	r.mu.Lock()
	r.revoked[key] = struct{}{}
	if r.store != nil {
		r.unsaved[key] = struct{}{}
	}
	r.mu.Unlock()
	if r.store == nil {
		return nil
	}
	return r.save(ctx, key)
}

func (r *Revocations) save(ctx context.Context, key string) error {
	if _, err := r.store.Put(ctx, key, []byte(time.Now().UTC().Format(time.RFC3339))); err != nil {
		return fmt.Errorf("grant: tell other nodes of a revocation: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.unsaved, key)
	return nil
}

// retry tells what could not be told at once.
func (r *Revocations) retry(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.RLock()
		left := slices.Collect(maps.Keys(r.unsaved))
		r.mu.RUnlock()
		for _, key := range left {
			if err := r.save(ctx, key); err != nil {
				r.log.Warn("grant: revocations wait for the store", "waiting", len(left), "err", err)
				break
			}
		}
	}
}

// The keys are digests, because ids and above all subjects may hold what a store's key must not, and because a subject
// is nobody else's business.
func meetingKey(meetingID string) string { return digest("meeting", meetingID, "") }

func participantKey(meetingID, participantID string) string {
	return digest("participant", meetingID, participantID)
}

func subjectKey(meetingID, subject string) string { return digest("subject", meetingID, subject) }

func digest(kind, meetingID, id string) string {
	inner := sha256.Sum256([]byte(id)) // of fixed length, so that no two pairs look the same
	sum := sha256.Sum256(append(inner[:], meetingID...))
	return kind + "." + base64.RawURLEncoding.EncodeToString(sum[:])
}

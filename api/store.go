package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/parley-sfu/parley/internal/bus"
)

// kv is what the API needs of a bucket; *bus.Bucket is one.
type kv interface {
	Get(ctx context.Context, key string) (bus.Entry, error)
	GetRecent(ctx context.Context, key string) (bus.Entry, error)
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, after string, limit int) ([]bus.Entry, error)
}

// The buckets' names.
const (
	meetingsBucket    = "meetings"
	idempotencyBucket = "idempotency"
)

// store holds meetings and idempotency keys. Until open has succeeded everything fails with bus.ErrUnavailable. What it
// says is written is on disk.
type store struct {
	keepKeys time.Duration
	opened   atomic.Pointer[buckets]
}

type buckets struct{ meetings, keys kv }

// open asks b for the buckets until it has them or ctx ends.
func (s *store) open(ctx context.Context, b Bus, timeout time.Duration, log *slog.Logger) {
	const pause = 250 * time.Millisecond
	timer := time.NewTicker(pause)
	defer timer.Stop()
	for said := false; ; {
		err := s.tryOpen(ctx, b, timeout)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !said && !errors.Is(err, bus.ErrUnavailable) {
			log.Warn("store not opened, trying on", "error", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

func (s *store) tryOpen(ctx context.Context, b Bus, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	meetings, err := b.Bucket(ctx, bus.BucketConfig{Name: meetingsBucket})
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", meetingsBucket, err)
	}
	keys, err := b.Bucket(ctx, bus.BucketConfig{Name: idempotencyBucket, TTL: s.keepKeys})
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", idempotencyBucket, err)
	}
	s.opened.Store(&buckets{meetings: meetings, keys: keys})
	return nil
}

func (s *store) buckets() (*buckets, error) {
	if b := s.opened.Load(); b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("buckets not open yet: %w", bus.ErrUnavailable)
}

// meeting reads one meeting with a single call to the store.
func (s *store) meeting(ctx context.Context, id string) (*meeting, error) {
	m, _, err := s.meetingAt(ctx, id)
	return m, err
}

// recentMeeting reads one meeting with at most one call to the store, and none when it was read a moment ago and not written since.
func (s *store) recentMeeting(ctx context.Context, id string) (*meeting, error) {
	m, _, err := s.read(ctx, id, kv.GetRecent)
	return m, err
}

func (s *store) meetingAt(ctx context.Context, id string) (*meeting, uint64, error) {
	return s.read(ctx, id, kv.Get)
}

func (s *store) read(ctx context.Context, id string, get func(kv, context.Context, string) (bus.Entry, error)) (*meeting, uint64, error) {
	if !isID(id, meetingPrefix) {
		return nil, 0, errMeetingNotFound()
	}
	b, err := s.buckets()
	if err != nil {
		return nil, 0, err
	}
	e, err := get(b.meetings, ctx, id)
	if errors.Is(err, bus.ErrNotFound) {
		return nil, 0, errMeetingNotFound()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read meeting %s: %w", id, err)
	}
	m, err := parseMeeting(e)
	return m, e.Revision, err
}

func parseMeeting(e bus.Entry) (*meeting, error) {
	m := new(meeting)
	if err := json.Unmarshal(e.Value, m); err != nil {
		return nil, fmt.Errorf("stored meeting %s: %w", e.Key, err)
	}
	return m, nil
}

// create writes a new meeting; bus.ErrConflict when there is or was one with its id.
func (s *store) create(ctx context.Context, m *meeting) error {
	b, err := s.buckets()
	if err != nil {
		return err
	}
	value, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode meeting %s: %w", m.ID, err)
	}
	if _, err := b.meetings.Update(ctx, m.ID, value, neverWritten); err != nil {
		return fmt.Errorf("create meeting %s: %w", m.ID, err)
	}
	return nil
}

// neverWritten is the revision of a key that was neither written nor, within the last hour, deleted.
const neverWritten = 0

// maxAttempts bounds how often a change is tried anew because somebody else's came first.
const maxAttempts = 8

// change applies f to the meeting and writes the outcome, anew when somebody else wrote in between. f returns false when
// nothing has to be written.
func (s *store) change(ctx context.Context, id string, f func(*meeting) (bool, error)) (*meeting, error) {
	for range maxAttempts {
		m, revision, err := s.meetingAt(ctx, id)
		if err != nil {
			return nil, err
		}
		if write, err := f(m); err != nil || !write {
			return m, err
		}
		m.Revision++
		err = s.update(ctx, m, revision)
		if !errors.Is(err, bus.ErrConflict) {
			return m, err
		}
	}
	return nil, fail(http.StatusConflict, "conflict", "The meeting is being changed by others; try again.").after(time.Second)
}

func (s *store) update(ctx context.Context, m *meeting, revision uint64) error {
	b, err := s.buckets()
	if err != nil {
		return err
	}
	value, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode meeting %s: %w", m.ID, err)
	}
	if _, err := b.meetings.Update(ctx, m.ID, value, revision); err != nil {
		return fmt.Errorf("update meeting %s: %w", m.ID, err)
	}
	return nil
}

func (s *store) delete(ctx context.Context, id string) error {
	b, err := s.buckets()
	if err != nil {
		return err
	}
	if err := b.meetings.Delete(ctx, id); err != nil {
		return fmt.Errorf("delete meeting %s: %w", id, err)
	}
	return nil
}

// list returns up to limit meetings after the given id, and whether there are more.
func (s *store) list(ctx context.Context, after string, limit int) ([]*meeting, bool, error) {
	b, err := s.buckets()
	if err != nil {
		return nil, false, err
	}
	entries, err := b.meetings.List(ctx, after, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("list meetings: %w", err)
	}
	more := len(entries) > limit
	meetings := make([]*meeting, 0, limit)
	for _, e := range entries[:min(limit, len(entries))] {
		m, err := parseMeeting(e)
		if err != nil {
			return nil, false, err
		}
		meetings = append(meetings, m)
	}
	return meetings, more, nil
}

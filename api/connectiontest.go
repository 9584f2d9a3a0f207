package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/parley-sfu/parley/node/grant"
)

// ConnectionTests are the rooms that strangers may test their connection in: the page /test and parley doctor use them.
// Such a room is in no store, takes the two it was made for, and is over after Lifetime.
type ConnectionTests struct {
	Rooms    int           `koanf:"rooms"`    // at once, on this node; 0: none, tests need a meeting
	Lifetime time.Duration `koanf:"lifetime"` // of a room
	Rate     Rate          `koanf:"rate"`     // of each client address
}

func (t ConnectionTests) validate(fault func(key, format string, args ...any)) {
	if t.Rooms < 0 {
		fault("connection_tests.rooms", "%d is below 0", t.Rooms)
	}
	if t.Lifetime < 10*time.Second || t.Lifetime > 10*time.Minute {
		fault("connection_tests.lifetime", "%s is not between 10s and 10m", t.Lifetime)
	}
	if t.Rate.PerSecond <= 0 || t.Rate.Burst < 1 {
		fault("connection_tests.rate", "per_second must be above 0 and burst at least 1")
	}
}

// testRooms counts the rooms and knows when each is over. Safe for concurrent use.
type testRooms struct {
	most int

	mu   sync.Mutex // protects following
	over map[string]time.Time
}

func newTestRooms(most int) *testRooms { return &testRooms{most: most, over: map[string]time.Time{}} }

// open notes a room, if there may be one more.
func (r *testRooms) open(id string, over time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.over) >= r.most {
		return false
	}
	r.over[id] = over
	return true
}

// due lists the rooms whose time is over. They count until close.
func (r *testRooms) due(now time.Time) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, over := range r.over {
		if !now.Before(over) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *testRooms) close(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.over, id)
}

// connectionTestView has the tickets of two participants: one who sends and one who receives.
type connectionTestView struct {
	EndsAt   time.Time `json:"ends_at"`
	Sender   *joinView `json:"sender"`
	Receiver *joinView `json:"receiver"`
}

// startConnectionTest is POST /v1/connection-tests. It asks no store and no token.
func (s *Server) startConnectionTest(c *gin.Context) error {
	if err := s.noBody(c); err != nil {
		return err
	}
	if s.cfg.ConnectionTests.Rooms == 0 {
		return fail(http.StatusForbidden, "connection_tests_off", "Here a connection is tested with a meeting of one's own.")
	}
	if wait := s.testers.wait(addressKey(remoteIP(c)), time.Now()); wait > 0 {
		return errTooMany(wait)
	}
	m := &meeting{
		ID: newID(meetingPrefix), Title: "Connection test", Revision: 1,
		Settings: settings{MaxParticipants: 2, MaxCameras: 1}, CreatedAt: now(),
	}
	over := now().Add(s.cfg.ConnectionTests.Lifetime)
	if !s.tests.open(m.ID, over) {
		return fail(http.StatusServiceUnavailable, "connection_tests_busy", "Others are testing; try again later.").after(s.cfg.ConnectionTests.Lifetime / 2)
	}
	view, err := s.issueTest(c, m, over)
	if err != nil {
		s.tests.close(m.ID)
		return err
	}
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusCreated, view)
	return nil
}

// issueTest issues both tickets of a room.
func (s *Server) issueTest(c *gin.Context, m *meeting, over time.Time) (*connectionTestView, error) {
	ctx, cancel := s.bounded(c)
	defer cancel()
	sender, err := s.admit(ctx, c, m, grant.Attendee, &joinInput{DisplayName: optional[string]{value: "Sender"}})
	if err != nil {
		return nil, err
	}
	receiver, err := s.admit(ctx, c, m, grant.Viewer, &joinInput{DisplayName: optional[string]{value: "Receiver"}})
	if err != nil {
		return nil, err
	}
	return &connectionTestView{EndsAt: over, Sender: sender, Receiver: receiver}, nil
}

// endConnectionTests ends rooms whose time is over, until ctx does.
func (s *Server) endConnectionTests(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, id := range s.tests.due(time.Now()) {
			s.endConnectionTest(ctx, id)
		}
	}
}

// endConnectionTest takes the room's tokens and its people away. What fails is over all the same: its tokens expire, and
// nobody is told of the room again.
func (s *Server) endConnectionTest(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.Store)
	defer cancel()
	if err := errors.Join(s.deps.Revoked.Meeting(ctx, id), s.deps.Signal.End(ctx, id)); err != nil {
		s.deps.Log.Warn("a connection test was not ended well", "meeting_id", id, slog.Any("error", err))
	}
	s.tests.close(id)
}

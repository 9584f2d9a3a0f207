package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// createdView is the one answer that has the host key.
type createdView struct {
	meetingView
	HostKey string `json:"host_key"`
}

// createMeeting is POST /v1/meetings.
func (s *Server) createMeeting(c *gin.Context) error {
	who := callerOf(c)
	if err := who.need(rightCreate); err != nil {
		return err
	}
	var in meetingInput
	body, err := s.decode(c, &in, false)
	if err != nil {
		return err
	}
	m := &meeting{Host: who.subject, Settings: defaultSettings(), Revision: 1}
	in.Title.set = true // so that a missing title is an empty one
	if err := in.apply(m); err != nil {
		return err
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	hostKey, err := s.createOnce(ctx, c, m, body)
	if err != nil {
		return err
	}
	c.Header("Location", "/v1/meetings/"+m.ID)
	c.JSON(http.StatusCreated, createdView{meetingView: s.view(m), HostKey: hostKey})
	return nil
}

// listView is one page of meetings.
type listView struct {
	Meetings   []meetingView `json:"meetings"`
	NextCursor string        `json:"next_cursor,omitempty"`
}

// The sizes of a page.
const (
	defaultPage = 50
	maxPage     = 100
)

// listMeetings is GET /v1/meetings.
func (s *Server) listMeetings(c *gin.Context) error {
	if err := callerOf(c).need(rightRead); err != nil {
		return err
	}
	after, limit, err := pageOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	meetings, more, err := s.store.list(ctx, after, limit)
	if err != nil {
		return err
	}
	view := listView{Meetings: make([]meetingView, 0, len(meetings))}
	for _, m := range meetings {
		view.Meetings = append(view.Meetings, s.view(m))
	}
	if more {
		view.NextCursor = cursorAfter(meetings[len(meetings)-1].ID)
	}
	c.JSON(http.StatusOK, view)
	return nil
}

// pageOf reads cursor and limit, and refuses any other parameter.
func pageOf(c *gin.Context) (after string, limit int, err error) {
	limit = defaultPage
	var faults []Fault
	for name, values := range c.Request.URL.Query() {
		ok := len(values) == 1
		switch {
		case ok && name == "limit":
			limit, err = strconv.Atoi(values[0])
			ok = err == nil && limit >= 1 && limit <= maxPage
		case ok && name == "cursor":
			after, ok = afterCursor(values[0])
		default:
			ok = false
		}
		if !ok {
			faults = append(faults, Fault{Parameter: name, Detail: parameterRule(name)})
		}
	}
	return after, limit, invalid(faults)
}

func parameterRule(name string) string {
	switch name {
	case "limit":
		return fmt.Sprintf("must be one integer between 1 and %d", maxPage)
	case "cursor":
		return "must be one next_cursor of an earlier answer"
	}
	return "is not a parameter of this request"
}

// cursorAfter hides the id, so that nobody builds cursors.
func cursorAfter(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func afterCursor(cursor string) (id string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	return string(raw), err == nil && isID(string(raw), meetingPrefix)
}

// readMeeting is GET /v1/meetings/{id}.
func (s *Server) readMeeting(c *gin.Context) error {
	m, err := s.meetingFor(c, rightRead)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, s.view(m))
	return nil
}

// changeMeeting is PATCH /v1/meetings/{id}. A live room hears of new settings at once; were that to fail, it learns
// them from the next join token, since the store has them.
func (s *Server) changeMeeting(c *gin.Context) error {
	if err := callerOf(c).need(rightUpdate); err != nil {
		return err
	}
	var in meetingInput
	if _, err := s.decode(c, &in, false); err != nil {
		return err
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	m, err := s.store.change(ctx, c.Param("id"), func(m *meeting) (bool, error) {
		if m.ended() {
			return false, errMeetingEnded()
		}
		return true, in.apply(m)
	})
	if err != nil {
		return err
	}
	if in.Settings.set {
		if err := s.deps.Signal.SetSettings(ctx, m.ID, m.granted()); err != nil {
			s.deps.Log.WarnContext(ctx, "room not told its settings", "meeting_id", m.ID, "request_id", telemetry.RequestID(ctx), "error", err)
		}
	}
	c.JSON(http.StatusOK, s.view(m))
	return nil
}

// endMeeting is POST /v1/meetings/{id}/end. Ending twice is ending once: a second call makes good what a first one that
// broke off left undone.
func (s *Server) endMeeting(c *gin.Context) error {
	if err := s.noBody(c); err != nil {
		return err
	}
	m, err := s.meetingFor(c, rightEnd)
	if err != nil {
		return err
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	_, err = s.store.change(ctx, m.ID, func(m *meeting) (bool, error) {
		if m.ended() {
			return false, nil
		}
		m.EndedAt = new(now())
		return true, nil
	})
	if err != nil {
		return err
	}
	return s.closeRoom(ctx, c, m.ID)
}

// deleteMeeting is DELETE /v1/meetings/{id}.
func (s *Server) deleteMeeting(c *gin.Context) error {
	if err := callerOf(c).need(rightDelete); err != nil {
		return err
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	m, err := s.store.meeting(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if err := s.store.delete(ctx, m.ID); err != nil {
		return err
	}
	return s.closeRoom(ctx, c, m.ID)
}

// closeRoom makes every token of the meeting worthless and throws everybody out, the one also when the other fails.
func (s *Server) closeRoom(ctx context.Context, c *gin.Context, id string) error {
	revoked, ended := s.deps.Revoked.Meeting(ctx, id), s.deps.Signal.End(ctx, id)
	if err := errors.Join(revoked, ended); err != nil {
		return fmt.Errorf("close room %s: %w", id, err)
	}
	c.Status(http.StatusNoContent)
	return nil
}

// now is the time as the API writes it: UTC, whole milliseconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

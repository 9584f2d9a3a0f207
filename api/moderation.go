package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/signal"
)

// participantView is a participant as moderators see it.
type participantView struct {
	ID            string       `json:"id"`
	DisplayName   string       `json:"display_name"`
	Role          string       `json:"role"`
	State         signal.State `json:"state"`
	AudioMuted    bool         `json:"audio_muted"`
	VideoMuted    bool         `json:"video_muted"`
	HandRaised    bool         `json:"hand_raised"`
	ScreenSharing bool         `json:"screen_sharing"`
	JoinedAt      time.Time    `json:"joined_at"`

	Bandwidth *bandwidthView `json:"bandwidth,omitempty"` // of who receives media from this node and says what comes of it
}

// bandwidthView is what is known of the way to a participant. Rates are bit/s of UDP and IP and all.
type bandwidthView struct {
	Estimate  int64   `json:"estimate"`   // what the way carries; 0 before anything has come back
	LimitedBy string  `json:"limited_by"` // what keeps the estimate from being higher; empty likewise
	Wanted    int64   `json:"wanted"`     // what there would be to send
	Allocated int64   `json:"allocated"`  // what is granted of it
	QueueMS   float64 `json:"queue_ms"`   // that packets wait on the way
	Lost      float64 `json:"lost"`       // part of the packets, lately
}

// bandwidth is what this node's SFU knows of the way to a participant; nil when that is nothing.
func (s *Server) bandwidth(meetingID, participantID string) *bandwidthView {
	if s.deps.Bandwidth == nil {
		return nil
	}
	b, ok := s.deps.Bandwidth(meetingID, participantID)
	if !ok {
		return nil
	}
	return &bandwidthView{
		Estimate: b.Estimate, LimitedBy: b.Limit, Wanted: b.Wanted, Allocated: b.Allocated, QueueMS: b.Queue, Lost: b.Lost,
	}
}

// participantsView is everybody in a room and its lobby.
type participantsView struct {
	Participants []participantView `json:"participants"`
	Locked       bool              `json:"locked"`
}

// listParticipants is GET /v1/meetings/{id}/participants.
func (s *Server) listParticipants(c *gin.Context) error {
	m, err := s.meetingFor(c, rightRead, rightModerate)
	if err != nil {
		return err
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	present, locked, err := s.deps.Signal.Presence(ctx, m.ID)
	if err != nil {
		return err
	}
	view := participantsView{Participants: make([]participantView, 0, len(present)), Locked: locked}
	for _, p := range present {
		view.Participants = append(view.Participants, participantView{
			ID: p.ID, DisplayName: p.DisplayName, Role: p.Role, State: p.State, AudioMuted: p.AudioMuted, VideoMuted: p.VideoMuted,
			HandRaised: p.HandRaised, ScreenSharing: p.ScreenSharing, JoinedAt: p.JoinedAt.UTC(),
			Bandwidth: s.bandwidth(m.ID, p.ID),
		})
	}
	c.JSON(http.StatusOK, view)
	return nil
}

// moderate makes the handler of something done to one participant, without a body.
func (s *Server) moderate(do func(ctx context.Context, meetingID, participantID string) error) handler {
	return func(c *gin.Context) error {
		if err := s.noBody(c); err != nil {
			return err
		}
		return s.onParticipant(c, do)
	}
}

// muteInput is the body of mute.
type muteInput struct {
	Source optional[string] `json:"source"`
}

// mute is POST /v1/meetings/{id}/participants/{pid}/mute.
func (s *Server) mute(c *gin.Context) error {
	in := muteInput{Source: optional[string]{value: string(node.Microphone)}}
	if _, err := s.decode(c, &in, true); err != nil {
		return err
	}
	if source := node.Source(in.Source.value); source != node.Microphone && source != node.Camera {
		return invalid([]Fault{{Pointer: "#/source", Detail: "must be microphone or camera"}})
	}
	return s.onParticipant(c, func(ctx context.Context, meetingID, participantID string) error {
		return s.deps.Signal.Mute(ctx, meetingID, participantID, in.Source.value)
	})
}

func (s *Server) onParticipant(c *gin.Context, do func(ctx context.Context, meetingID, participantID string) error) error {
	m, err := s.liveMeetingFor(c)
	if err != nil {
		return err
	}
	participant := c.Param("pid")
	if !isID(participant, participantPrefix) {
		return fail(http.StatusNotFound, "not_found", "There is no such participant in the meeting.")
	}
	ctx, cancel := s.bounded(c)
	defer cancel()
	if err := do(ctx, m.ID, participant); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// setLocked makes the handler of lock or unlock.
func (s *Server) setLocked(locked bool) handler {
	return func(c *gin.Context) error {
		if err := s.noBody(c); err != nil {
			return err
		}
		m, err := s.liveMeetingFor(c)
		if err != nil {
			return err
		}
		ctx, cancel := s.bounded(c)
		defer cancel()
		if err := s.deps.Signal.SetLocked(ctx, m.ID, locked); err != nil {
			return err
		}
		c.Status(http.StatusNoContent)
		return nil
	}
}

// liveMeetingFor is meetingFor a moderator of a meeting that has not ended.
func (s *Server) liveMeetingFor(c *gin.Context) (*meeting, error) {
	m, err := s.meetingFor(c, rightModerate)
	if err != nil {
		return nil, err
	}
	if m.ended() {
		return nil, errMeetingEnded()
	}
	return m, nil
}

package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/parley-sfu/parley/signal/wire"
)

// order says what to do with a numbered event.
type order int

const (
	inOrder   order = iota // take it
	repeated               // known already
	missedOne              // something before it is missing: ask
	awaiting               // something before it is missing and was asked for: drop it, it comes again
)

// sequence follows the numbers of a session's events.
type sequence struct {
	last   uint64
	asking bool
}

// judge places an event. Numbers start at 1.
func (s *sequence) judge(seq uint64) order {
	switch {
	case seq <= s.last:
		return repeated
	case seq == s.last+1:
		s.last, s.asking = seq, false
		return inOrder
	case s.asking:
		return awaiting
	default:
		s.asking = true
		return missedOne
	}
}

// restart takes the number of a snapshot, which stands for everything before it, and reports whether the server has
// counted from the beginning: then it knows nothing of the session before.
func (s *sequence) restart(seq uint64) (anew bool) {
	anew = s.last > 0 && seq <= s.last
	s.last, s.asking = seq, false
	return anew
}

// receive handles one message of a socket. From one that the client has moved away from only answers are taken. An error ends
// the socket.
func (c *Client) receive(ctx context.Context, sock *socket, s *session, e wire.Envelope, raw []byte) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.receiveFromLocked(ctx, sock, s, e, raw)
}

func (c *Client) receiveFromLocked(ctx context.Context, sock *socket, s *session, e wire.Envelope, raw []byte) error {
	if e.ReplyTo == "" && !c.isCurrent(sock) {
		return nil
	}
	return c.receiveLocked(ctx, sock, s, e, raw)
}

func (c *Client) isCurrent(sock *socket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sock == sock
}

func (c *Client) receiveLocked(ctx context.Context, sock *socket, s *session, e wire.Envelope, raw []byte) error {
	if e.ReplyTo != "" {
		return c.receiveReply(e, raw)
	}
	if e.Type == wire.TypeSnapshot {
		return c.receiveSnapshot(ctx, sock, s, e, raw)
	}
	if e.Seq != 0 {
		switch s.seq.judge(e.Seq) {
		case repeated, awaiting:
			return nil
		case missedOne:
			return sock.send(wire.Envelope{Type: wire.TypeResume}, wire.Resume{LastSeq: s.seq.last})
		case inOrder:
		}
	}
	if e.Type == wire.TypeMigrate {
		var to wire.Migrate
		if err := json.Unmarshal(raw, &to); err != nil {
			return fmt.Errorf("decode %s: %w", e.Type, err)
		}
		c.beginMove(to, sock)
		return nil
	}
	if e.Type == wire.TypeICEServers {
		return c.renewServers(raw)
	}
	event, err := c.roster.apply(e.Type, raw)
	if err != nil {
		return err
	}
	c.mu.Lock()
	mv := c.move
	c.mu.Unlock()
	if mv.overheardLocked(sock, event) || mv.contradictedLocked(sock, event) {
		return nil
	}
	c.react(event)
	c.events.push(event)
	return nil
}

// receiveReply gives an answer to who asked. An error that nobody waits for any more is still told.
func (c *Client) receiveReply(e wire.Envelope, raw []byte) error {
	r := reply{kind: e.Type, raw: slices.Clone(raw)}
	var refusal *Error
	if e.Type == wire.TypeError {
		var m wire.Error
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("decode error: %w", err)
		}
		refusal = &Error{Code: m.Code, Message: m.Message}
		r.err = refusal
	}
	if !c.calls.finish(e.ReplyTo, r) && refusal != nil {
		c.react(Refused{refusal})
		c.events.push(Refused{refusal})
	}
	return nil
}

func (c *Client) receiveSnapshot(ctx context.Context, sock *socket, s *session, e wire.Envelope, raw []byte) error {
	anew := s.seq.restart(e.Seq) && s.returning.Load()
	event, err := c.roster.apply(e.Type, raw)
	if err != nil {
		return err
	}
	joined, ok := event.(Joined)
	if !ok {
		return fmt.Errorf("snapshot was read as %T", event)
	}
	s.resumeToken = joined.Snapshot.ResumeToken
	if m := c.currentMedia(); m != nil && anew {
		m.unknown.Store(true)
	}
	c.react(event)
	c.setState(StateJoined, nil)
	c.events.push(event)
	if anew {
		c.background(func(context.Context) { c.beginAnew(ctx, sock) })
	}
	return nil
}

// react does what the client itself has to do about an event.
func (c *Client) react(event Event) {
	switch e := event.(type) {
	case Joined:
		c.assignSlots(e.Snapshot.Slots)
		c.muteAsTold(e.Snapshot.Self, true)
		c.applyLayers()
	case SlotsChanged:
		c.assignSlots(e.Slots)
	case PresenceChanged:
		if self := c.Self(); e.ParticipantID == self.ID {
			c.mu.Lock()
			merge(&c.presence, wire.PresenceUpdate{
				AudioMuted: e.AudioMuted, VideoMuted: e.VideoMuted, HandRaised: e.HandRaised, ScreenSharing: e.ScreenSharing,
			})
			c.mu.Unlock()
			c.muteAsTold(self, false)
		}
	case LayersWanted:
		c.mu.Lock()
		c.layers[e.TrackID] = e.Layers
		c.mu.Unlock()
		c.applyLayers()
	case TrackPublished:
		c.applyLayers()
	case TrackUnpublished:
		c.mu.Lock()
		delete(c.layers, e.Track.ID)
		c.mu.Unlock()
	case Waiting:
		c.setState(StateWaiting, nil)
	case Ended:
		c.refuse(&Error{Code: endCode(e.Reason), Message: "The meeting is over for this participant: " + e.Reason + "."})
	case Refused:
		c.refuse(e.Err)
	}
}

// endCode is the error code of the reason for which a meeting ended.
func endCode(reason string) string {
	switch reason {
	case "removed":
		return wire.CodeRemoved
	case "denied":
		return wire.CodeDenied
	default:
		return wire.CodeMeetingEnded
	}
}

// refuse keeps the newest refusal, which explains a socket that the server closes next.
func (c *Client) refuse(err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastRefusal = err
}

func (c *Client) assignSlots(slots []wire.Slot) {
	if m := c.currentMedia(); m != nil {
		m.assign(slots)
	}
}

// muteAsTold follows the room's idea of what is muted, which the host can change. A snapshot only mutes: what was muted
// before joining stays so until the client's user says otherwise.
func (c *Client) muteAsTold(self wire.Participant, onlyMute bool) {
	for _, pub := range c.publications() {
		muted := map[string]bool{SourceMicrophone: self.AudioMuted, SourceCamera: self.VideoMuted}
		if told, ok := muted[pub.source]; ok && (told || !onlyMute) {
			pub.SetMuted(told)
		}
	}
}

// merge adds a change to what a new session is told again.
func merge(presence *wire.PresenceUpdate, change wire.PresenceUpdate) {
	presence.AudioMuted = cmp.Or(change.AudioMuted, presence.AudioMuted)
	presence.VideoMuted = cmp.Or(change.VideoMuted, presence.VideoMuted)
	presence.HandRaised = cmp.Or(change.HandRaised, presence.HandRaised)
	presence.ScreenSharing = cmp.Or(change.ScreenSharing, presence.ScreenSharing)
}

// applyLayers pauses and resumes the layers of the client's own tracks.
func (c *Client) applyLayers() {
	for _, pub := range c.publications() {
		track, ok := c.roster.ownTrack(pub.source)
		if !ok {
			continue
		}
		c.mu.Lock()
		wanted, told := c.layers[track.ID]
		c.mu.Unlock()
		if told {
			pub.want(wanted)
		}
	}
}

func (c *Client) publications() []*Publication {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.published)
}

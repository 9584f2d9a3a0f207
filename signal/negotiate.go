package signal

import (
	"context"
	"slices"
	"sync"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// startMedia begins the member's media anew with the hello's offer. Whatever an earlier socket had is closed. A hello
// without an offer is a participant without media.
func (s *session) startMedia(ctx context.Context, q *request, h *wire.Hello) error {
	s.dropMedia()
	if h.SDPOffer == "" {
		return nil
	}
	return s.negotiate(ctx, q, h.SDPOffer, h.Tracks)
}

// offer renegotiates, or starts media that is not there yet.
func offer(ctx context.Context, s *session, q *request, o *wire.Offer) error {
	if !s.offers.Allow() {
		return limited("Too many offers.")
	}
	if s.room.bereft(s.member) {
		return denied(wire.CodeSessionUnknown, "Your media connection is lost. Say hello with a new one.")
	}
	return s.negotiate(ctx, q, o.SDPOffer, o.Tracks)
}

// bigSDP is the size from which on an offer is told of: what stands between client and server may not let it through, and
// the limit of a message is near.
const bigSDP = 100 << 10

// negotiate passes an offer to the SFU and the answer to the client. It runs without the room's lock: the SFU may be
// slow.
func (s *session) negotiate(ctx context.Context, q *request, sdp string, hints []wire.TrackHint) error {
	if len(sdp) > bigSDP {
		s.svc.metrics.bigSDP.Inc()
		s.log.Warn("oversized SDP (> 100 KB) on the socket", "bytes", len(sdp))
	}
	asked := s.publishing()
	tracks, err := trackHints(hints)
	if err != nil {
		asked.undo()
		return err
	}
	allow := func(source node.Source) bool { return asked.allow(ctx, source) }
	peer, answer, err := s.ask(ctx, node.Offer{SDP: sdp, Tracks: tracks, Allow: allow})
	if err != nil {
		asked.undo()
		return err
	}
	asked.settle(answer.Tracks)
	s.room.publishes(s.member, peer, answer.Tracks)
	s.room.applyMutes(s.member)
	q.answer(wire.TypeAnswer, wire.Answer{SDPAnswer: answer.SDP, Refused: answer.Refused})
	asked.explain()
	return nil
}

// ask has the member's peer answer an offer. A new peer whose node cannot be reached gives way to one on the next.
func (s *session) ask(ctx context.Context, offer node.Offer) (Peer, node.Answer, error) {
	for try := 1; ; try++ {
		peer, made, err := s.peer()
		if err != nil {
			return nil, node.Answer{}, err
		}
		if made {
			s.room.applyMutes(s.member) // before a packet can pass
		}
		if made && offer.Former == nil {
			offer.Former = s.room.former(s.member)
		}
		answer, err := peer.Offer(ctx, offer)
		if err == nil {
			return peer, answer, nil
		}
		again := s.moveOn(err, made) && try < maxTries
		if made {
			s.dropMedia()
		}
		if !again {
			return nil, node.Answer{}, err
		}
	}
}

func trackHints(hints []wire.TrackHint) ([]node.TrackHint, error) {
	tracks := make([]node.TrackHint, 0, len(hints))
	for _, h := range hints {
		source := node.Source(h.Source)
		if source.Kind() == "" {
			return nil, invalid("A track's source is camera, microphone, screen or screen_audio.")
		}
		tracks = append(tracks, node.TrackHint{MID: h.MID, Source: source})
	}
	return tracks, nil
}

// peer returns the member's peer, and makes one when there is none.
func (s *session) peer() (peer Peer, made bool, err error) {
	r, m := s.room, s.member
	r.mu.Lock()
	if m.peer != nil {
		defer r.mu.Unlock()
		return m.peer, false, nil
	}
	m.media++
	media, canPublish, candidates, failed := m.media, m.claims.Role != grant.Viewer, m.claims.Nodes, m.failed
	r.mu.Unlock()
	place := s.svc.tier().choose(r.meeting, candidates, failed)
	there := s.svc.media(place)
	if there == nil {
		return nil, false, &node.Error{Kind: node.Full, Code: wire.CodeInternal, Say: "No node can take the media now."}
	}
	peer, err = there.Join(node.PeerConfig{
		Room: r.meeting, Participant: m.id, CanPublish: canPublish, Events: &listener{r, m, media}, Log: s.log,
	})
	if err != nil {
		return nil, false, err
	}
	r.mu.Lock()
	current := m.stage != gone && m.session == s
	if current {
		r.placeLocked(m, peer, place)
	}
	r.mu.Unlock()
	if !current {
		peer.Close()
		return nil, false, errGone
	}
	return peer, true, nil
}

// dropMedia closes the member's peer, if any, and forgets what it published.
func (s *session) dropMedia() {
	r, m := s.room, s.member
	r.mu.Lock()
	peer := m.peer
	m.peer, m.slots, m.wanted = nil, nil, nil
	m.media++
	r.placesLocked()
	if peer != nil { // who comes from another node keeps its camera place
		r.home.CameraOff(m.id)
	}
	if len(m.entry.Tracks) > 0 {
		m.entry.Tracks = nil
		r.retrackedLocked(m)
	}
	r.mu.Unlock()
	if peer != nil {
		peer.Close()
	}
}

// publishing answers the SFU's questions during one offer whether a source may be published.
type publishing struct {
	session *session
	ahead   *cameraPlace // what the home said when the member knocked; nil: it was not asked

	mu     sync.Mutex
	camera bool // this offer took a camera place
	full   bool // and this one found none
	viewer bool // a viewer tried to publish
}

// publishing begins an offer. The camera place that came with the seat is for the first.
func (s *session) publishing() *publishing {
	r, m := s.room, s.member
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &publishing{session: s, ahead: m.camera}
	if m.camera = nil; p.ahead != nil && p.ahead.granted {
		r.home.CameraOn(m.id, r.roster.self.Node, 0)
		p.camera = p.ahead.fresh
	}
	return p
}

func (p *publishing) allow(ctx context.Context, source node.Source) bool {
	m := p.session.member
	p.session.room.mu.Lock()
	viewer := m.claims.Role == grant.Viewer
	p.session.room.mu.Unlock()
	granted, fresh := !viewer, false
	switch {
	case viewer || source != node.Camera:
	case p.ahead != nil:
		granted = p.ahead.granted
	default:
		granted, fresh = p.session.svc.askCamera(ctx, p.session.room, m)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.viewer = p.viewer || viewer
	p.camera = p.camera || fresh
	p.full = p.full || !granted && !viewer
	return granted
}

// undo gives the camera place back after a failed offer.
func (p *publishing) undo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.camera {
		r := p.session.room
		r.mu.Lock()
		defer r.mu.Unlock()
		r.home.CameraOff(p.session.member.id)
		r.releaseLocked(p.session.member, true)
	}
}

// settle gives the camera place back if the offer turned out to start no camera.
func (p *publishing) settle(tracks []node.Track) {
	if !slices.ContainsFunc(tracks, func(t node.Track) bool { return t.Source == node.Camera }) {
		p.undo()
	}
}

// explain tells the client why a source was refused; the answer only says which.
func (p *publishing) explain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := wire.Error{Code: wire.CodeCamerasFull, Message: "As many cameras are on as this meeting allows."}
	switch {
	case p.viewer:
		note = wire.Error{Code: wire.CodePublishDenied, Message: "A viewer publishes nothing."}
	case !p.full:
		return
	}
	p.session.socket.send(outbound{wire.Envelope{Type: wire.TypeError}, note})
}

package node

import (
	"context"
	"errors"
	"slices"

	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/sdp"
)

// Offer takes a client's offer and answers it: sending m-lines become tracks, receiving ones become slots, and neither
// changes its meaning afterwards. New ICE credentials restart ICE. It returns *Error; after an error of kind Invalid
// everything is as it was before.
func (p *Peer) Offer(ctx context.Context, offer Offer) (Answer, error) {
	parsed, err := sdp.Parse(offer.SDP)
	if err != nil {
		return Answer{}, badSDP(err)
	}
	p.offering.Lock()
	defer p.offering.Unlock()
	sources, err := p.check(parsed, offer.Tracks)
	if err != nil {
		return Answer{}, err
	}
	if err := ctx.Err(); err != nil {
		return Answer{}, &Error{Kind: Internal, Code: "internal", Say: "The request was given up.", Err: err}
	}
	if err := p.connect(parsed); err != nil {
		return Answer{}, err
	}
	p.answers++
	answer := sdp.Answer{
		Version: p.answers, Candidates: p.node.endpoint.Candidates(),
		HashFunction: p.node.endpoint.Fingerprint().Algorithm, HashValue: p.node.endpoint.Fingerprint().Value,
	}
	if answer.Ufrag, answer.Password, err = p.transport.Local(); err != nil {
		return Answer{}, &Error{Kind: Internal, Code: "internal", Say: "The connection is closed.", Err: err}
	}
	var refused []string
	var tracks []Track
	former := &former{p.unlike(offer.Former)}
	for i := range parsed.Sections {
		s := &parsed.Sections[i]
		section, ok := p.answer(s, sources[s.MID], former, offer.Allow)
		if !ok {
			refused = append(refused, s.MID)
		}
		if t, ok := p.trackAt(s.MID); ok {
			tracks = append(tracks, t)
		}
		answer.Sections = append(answer.Sections, section)
	}
	p.room.wake(p)
	return Answer{SDP: answer.String(), Tracks: tracks, Refused: refused}, nil
}

// former are the tracks of an earlier connection that nothing has taken the place of yet.
type former struct{ tracks []Track }

// id returns the id under which a track of the source goes on, or a new one.
func (f *former) id(source Source) string {
	i := slices.IndexFunc(f.tracks, func(t Track) bool { return t.Source == source })
	if i < 0 {
		return newID("tr_")
	}
	id := f.tracks[i].ID
	f.tracks = slices.Delete(f.tracks, i, i+1)
	return id
}

// unlike returns those of the tracks that the peer does not publish itself.
func (p *Peer) unlike(tracks []Track) []Track {
	own := p.Tracks()
	return slices.DeleteFunc(slices.Clone(tracks), func(t Track) bool {
		return slices.ContainsFunc(own, func(o Track) bool { return o.ID == t.ID })
	})
}

func badSDP(err error) *Error {
	return &Error{Kind: Invalid, Code: "bad_sdp", Say: "The offer cannot be used: " + err.Error() + ".", Err: err}
}

// check refuses an offer as a whole before anything is changed, and returns the sources of its sending m-lines by mid.
func (p *Peer) check(o *sdp.Offer, hints []TrackHint) (map[string]Source, error) {
	if err := (rtc.Fingerprint{Algorithm: o.HashFunction, Value: o.HashValue}).Validate(); err != nil {
		return nil, badSDP(err)
	}
	sources := map[string]Source{}
	for _, h := range hints {
		sources[h.MID] = h.Source
	}
	slots, tracks := 0, 0
	for _, s := range o.Sections {
		switch {
		case !s.Usable:
		case s.Direction.Sends():
			tracks++
			if sources[s.MID] == "" {
				sources[s.MID] = map[string]Source{"audio": Microphone, "video": Camera}[s.Kind]
			}
			if sources[s.MID].Kind() != Kind(s.Kind) {
				return nil, badSDP(errors.New("m-line " + s.MID + " is no " + string(sources[s.MID])))
			}
		case s.Direction.Receives():
			slots++
		}
	}
	if tracks > p.node.cfg.MaxTracks {
		return nil, badSDP(errors.New("it publishes too many tracks"))
	}
	if slots > p.node.cfg.MaxSlots {
		return nil, badSDP(errors.New("it has too many slots"))
	}
	return sources, nil
}

// connect starts the transport with the first offer and restarts ICE when the client's credentials change.
func (p *Peer) connect(o *sdp.Offer) error {
	remote := rtc.Remote{
		Ufrag: o.Ufrag, Password: o.Password,
		Fingerprint: rtc.Fingerprint{Algorithm: o.HashFunction, Value: o.HashValue},
	}
	var err error
	switch {
	case p.ufrag == "":
		err = p.transport.Start(remote)
	case p.ufrag != o.Ufrag:
		err = p.transport.Restart(remote)
	}
	if err != nil {
		return &Error{Kind: Internal, Code: "internal", Say: "The connection could not be started.", Err: err}
	}
	p.ufrag = o.Ufrag
	return nil
}

// answer answers one m-line. ok is false when it was to publish something that is not allowed.
func (p *Peer) answer(s *sdp.Section, source Source, f *former, allow func(Source) bool) (_ sdp.AnswerSection, ok bool) {
	switch {
	case !s.Usable:
		return sdp.AnswerSection{Offer: s}, true
	case s.Direction.Sends():
		return p.answerSending(s, source, f, allow)
	}
	p.unpublishMID(s.MID)
	if s.Direction.Receives() {
		return p.answerSlot(s), true
	}
	return inactive(s), true
}

// inactive keeps an m-line in the bundle without using it, so that it can be taken up again later. It keeps the layers
// and their extensions too: Chromium refuses to offer simulcast on a connection where no answer has the rid extension.
func inactive(s *sdp.Section) sdp.AnswerSection {
	accepted := accept(s)
	if len(accepted) == 0 {
		return sdp.AnswerSection{Offer: s}
	}
	return sdp.AnswerSection{
		Offer: s, Direction: sdp.Inactive, Codecs: accepted, RIDs: s.RIDs,
		Extensions: s.Common(uriMID, uriRID, uriRepairedRID, uriAudioLevel, uriOrientation, uriTWCC),
	}
}

func (p *Peer) answerSending(s *sdp.Section, source Source, f *former, allow func(Source) bool) (_ sdp.AnswerSection, ok bool) {
	accepted := redundant(s, accept(s, feedbackTWCC, feedbackNACK, "nack pli", "ccm fir"))
	if len(accepted) == 0 {
		return sdp.AnswerSection{Offer: s}, true
	}
	if !p.publishes(s.MID) {
		if !p.canPublish || allow != nil && !allow(source) || !p.publish(s, source, accepted, f) {
			return inactive(s), false
		}
	}
	layers := descriptor(s, accepted[:1])
	return sdp.AnswerSection{
		Offer: s, Direction: sdp.RecvOnly, Codecs: accepted, RIDs: s.RIDs, Mixed: len(layers) > 0,
		Extensions: append(s.Common(uriMID, uriRID, uriRepairedRID, uriAudioLevel, uriOrientation, uriTWCC), layers...),
	}, true
}

// descriptor returns the header extension that tells of layers, where the m-line offers it and one of the formats may have some. A publisher sends
// the first format: one that prefers VP8 would put it into each packet for nobody.
func descriptor(s *sdp.Section, formats []sdp.Codec) []string {
	if slices.ContainsFunc(formats, func(f sdp.Codec) bool { return codecOf(f).scalable() }) {
		return s.Common(uriDescriptor)
	}
	return nil
}

func (p *Peer) publishes(mid string) bool {
	_, ok := p.trackAt(mid)
	return ok
}

// trackAt returns what the peer publishes in an m-line.
func (p *Peer) trackAt(mid string) (Track, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.published[mid]
	if t == nil {
		return Track{}, false
	}
	return t.Track, true
}

// publish begins a track. It reports false when the peer has been closed meanwhile.
func (p *Peer) publish(s *sdp.Section, source Source, accepted []sdp.Codec, f *former) bool {
	t := newPublished(p, f.id(source), source, s)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	p.published[s.MID] = t
	t.muted.Store(p.muted[source])
	p.mu.Unlock()
	p.in.learn(t, s, accepted)
	p.room.publish(t)
	return true
}

func (p *Peer) unpublishMID(mid string) {
	p.mu.Lock()
	t := p.published[mid]
	delete(p.published, mid)
	p.mu.Unlock()
	if t != nil {
		p.withdraw(t)
	}
}

// answerSlot answers a receiving m-line, which becomes a slot with its first offer and stays one.
func (p *Peer) answerSlot(s *sdp.Section) sdp.AnswerSection {
	accepted := accept(s, feedbackTWCC, feedbackREMB, feedbackNACK, "nack pli", "ccm fir")
	if len(accepted) == 0 {
		return sdp.AnswerSection{Offer: s}
	}
	slots := p.slotList()
	i := slices.IndexFunc(slots, func(o *slot) bool { return o.mid == s.MID })
	if i < 0 {
		i = len(slots)
		slots = append(slices.Clone(slots), newSlot(p, s, accepted))
		p.slots.Store(&slots)
	}
	sl := slots[i]
	layers := descriptor(s, accepted)
	section := sdp.AnswerSection{
		Offer: s, Direction: sdp.SendOnly, Codecs: accepted, Mixed: len(layers) > 0,
		Extensions: append(s.Common(uriMID, uriAudioLevel, uriOrientation, uriTWCC, uriCapture), layers...),
		SSRC:       sl.media.SSRC, CNAME: cname, StreamID: "slot-" + s.MID, TrackTag: "slot-" + s.MID,
	}
	if slices.ContainsFunc(accepted, func(f sdp.Codec) bool { return f.RTX != 0 }) {
		section.RTXSSRC = sl.repair.SSRC
	}
	return section
}

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

// media is one peer connection with what it sends and receives. The client always offers, one offer at a time.
type media struct {
	number int // of the client's media connections, from 1
	pc     *webrtc.PeerConnection
	opts   Options
	watch  *stopwatch
	change func(MediaState)

	retired atomic.Bool                 // nobody hears of it any more
	unknown atomic.Bool                 // the server has lost it: another one takes its place
	servers atomic.Pointer[[]ICEServer] // newer ones than it gathered through; nil: there are none

	offering chan struct{}             // held from an offer to its answer
	offered  webrtc.SessionDescription // belongs to who holds offering

	sockets sockets

	mu        sync.Mutex // protects following
	slots     []*slot
	published []published
	state     MediaState
	closed    bool
	search    context.CancelFunc // ends the search for a path that the last answer began; nil before
	wg        sync.WaitGroup
}

// published is a publication with its m-line.
type published struct {
	pub         *Publication
	places      []*place // of its layers
	transceiver *webrtc.RTPTransceiver
}

// newMedia makes a peer connection with the m-lines of every publication and slot. It sends nothing yet.
func newMedia(ticket Ticket, opts Options, pubs []*Publication, w *stopwatch, change func(MediaState)) (*media, error) {
	sockets, err := newSockets(ticket, opts)
	if err != nil {
		return nil, err
	}
	pc, err := newConnection(ticket, opts, sockets)
	if err != nil {
		sockets.close()
		return nil, err
	}
	m := &media{
		pc: pc, opts: opts, watch: w, change: change, state: MediaConnecting,
		offering: make(chan struct{}, 1), sockets: sockets,
	}
	pc.OnTrack(m.onTrack)
	pc.OnICEConnectionStateChange(m.onICEState)
	pc.OnConnectionStateChange(m.onState)
	if err := m.addAll(pubs); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// newConnection makes the peer connection.
func newConnection(ticket Ticket, opts Options, sockets sockets) (*webrtc.PeerConnection, error) {
	api, err := newAPI(opts, sockets)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{
		ICEServers: ticket.iceServers(opts.Transport), ICETransportPolicy: opts.Transport.policy(),
	})
	if err != nil {
		return nil, fmt.Errorf("peer connection: %w", err)
	}
	return pc, nil
}

func (m *media) addAll(pubs []*Publication) error {
	for _, pub := range pubs {
		if err := m.publish(pub); err != nil {
			return err
		}
	}
	return m.addSlots(m.opts.AudioSlots, m.opts.VideoSlots)
}

// publish adds the m-line of a publication; the next offer carries it.
func (m *media) publish(pub *Publication) error {
	places := pub.places()
	transceiver, err := m.pc.AddTransceiverFromTrack(places[0], webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	})
	if err != nil {
		return fmt.Errorf("publish %s: %w", pub.source, err)
	}
	if err := transceiver.SetCodecPreferences(pub.senders[0].codec.parameters()); err != nil {
		return fmt.Errorf("publish %s: codec: %w", pub.source, err)
	}
	for _, p := range places[1:] {
		if err := transceiver.Sender().AddEncoding(p); err != nil {
			return fmt.Errorf("publish %s: layer %s: %w", pub.source, p.rid, err)
		}
	}
	m.mu.Lock()
	m.published = append(m.published, published{pub: pub, places: places, transceiver: transceiver})
	m.mu.Unlock()
	for _, p := range places {
		m.spawn(func() { readFeedback(transceiver.Sender(), p, len(places) > 1) })
	}
	return nil
}

// unpublish takes a publication's track away; the next offer says so.
func (m *media) unpublish(pub *Publication) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range m.published {
		if p.pub == pub {
			m.published = append(m.published[:i:i], m.published[i+1:]...)
			return p.transceiver.Stop()
		}
	}
	return fmt.Errorf("unpublish %s: it is not published here", pub.source)
}

// addSlots adds receiving m-lines; the next offer carries them.
func (m *media) addSlots(audio, video int) error {
	for range audio {
		if err := m.addSlot(webrtc.RTPCodecTypeAudio, []string{webrtc.MimeTypeOpus}); err != nil {
			return err
		}
	}
	for range video {
		if err := m.addSlot(webrtc.RTPCodecTypeVideo, m.opts.Codecs); err != nil {
			return err
		}
	}
	return nil
}

func (m *media) addSlot(kind webrtc.RTPCodecType, mimes []string) error {
	transceiver, err := m.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	})
	if err != nil {
		return fmt.Errorf("%s slot: %w", kind, err)
	}
	prefer, err := preferences(mimes)
	if err != nil {
		return fmt.Errorf("%s slot: %w", kind, err)
	}
	if err := transceiver.SetCodecPreferences(prefer); err != nil {
		return fmt.Errorf("%s slot: codecs: %w", kind, err)
	}
	return nil
}

// offer makes an offer and holds the right to offer until accept or abandon.
//
// Pion cannot roll back a local offer, so a later one is applied only once it is answered. The first is applied at once:
// that starts gathering, and a connection whose first offer comes to nothing is of no more use anyway.
func (m *media) offer(ctx context.Context, restart bool) (wire.Offer, error) {
	select {
	case m.offering <- struct{}{}:
	case <-ctx.Done():
		return wire.Offer{}, context.Cause(ctx)
	}
	if restart {
		if err := m.renew(); err != nil {
			<-m.offering
			return wire.Offer{}, err
		}
	}
	desc, err := m.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err == nil && m.pc.CurrentLocalDescription() == nil {
		err = m.pc.SetLocalDescription(desc)
	}
	if err != nil {
		<-m.offering
		return wire.Offer{}, fmt.Errorf("make offer: %w", err)
	}
	m.offered = desc
	// It goes out without candidates: the server learns the client's addresses from its checks.
	return wire.Offer{SDPOffer: desc.SDP, Tracks: m.nameLines()}, nil
}

// nameLines learns the mids that the offer has given out, makes the slots of new receiving lines and returns the hints
// for the sending ones.
func (m *media) nameLines() []wire.TrackHint {
	m.mu.Lock()
	defer m.mu.Unlock()
	var hints []wire.TrackHint
	for _, p := range m.published {
		mid := p.transceiver.Mid()
		for _, at := range p.places {
			at.setMID(mid)
		}
		hints = append(hints, wire.TrackHint{MID: mid, Source: p.pub.source})
	}
	for _, t := range m.pc.GetTransceivers() {
		if t.Direction() == webrtc.RTPTransceiverDirectionRecvonly && m.slotLocked(t.Mid()) == nil {
			s := newSlot(t.Mid(), t.Kind(), m.pass, m.watch)
			s.write = m.pc.WriteRTCP
			m.slots = append(m.slots, s)
		}
	}
	return hints
}

// take applies the server's answer as it came, and returns the mids of the lines that it refuses.
func (m *media) take(raw []byte) (refused []string, err error) {
	var answer wire.Answer
	if err := json.Unmarshal(raw, &answer); err != nil {
		m.abandon()
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	return answer.Refused, m.accept(answer)
}

// namesIn pairs the mids of the slots with those of another connection of the client, which has as many.
func (m *media) namesIn(other *media) map[string]string {
	names := map[string]string{}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		theirs := other.mids(kind)
		for i, mid := range m.mids(kind) {
			if i < len(theirs) {
				names[mid] = theirs[i]
			}
		}
	}
	return names
}

func (m *media) mids(kind webrtc.RTPCodecType) (mids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		if s.kind == kind {
			mids = append(mids, s.mid)
		}
	}
	return mids
}

// accept applies the server's answer to the outstanding offer.
func (m *media) accept(answer wire.Answer) error {
	defer func() { <-m.offering }()
	if m.pc.CurrentLocalDescription() != nil {
		if err := m.pc.SetLocalDescription(m.offered); err != nil {
			return fmt.Errorf("apply offer: %w", err)
		}
	}
	sdp, tcp := holdBackTCP(answer.SDPAnswer, m.opts.Transport)
	err := m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp})
	if err != nil {
		return fmt.Errorf("apply answer: %w", err)
	}
	m.findPath(tcp, hasUDP(sdp))
	return nil
}

// abandon forgets an offer that got no answer.
func (m *media) abandon() { <-m.offering }

// spent says that the first offer came to nothing, and the connection with it.
func (m *media) spent() bool {
	return m.pc.CurrentLocalDescription() == nil && m.pc.SignalingState() == webrtc.SignalingStateHaveLocalOffer
}

// assign tells every slot what it carries.
func (m *media) assign(slots []wire.Slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, carries := range slots {
		if s := m.slotLocked(carries.MID); s != nil {
			s.assign(carries)
		}
	}
}

func (m *media) slotLocked(mid string) *slot {
	for _, s := range m.slots {
		if s.mid == mid {
			return s
		}
	}
	return nil
}

func (m *media) stats(now time.Time) []SlotStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	stats := make([]SlotStats, len(m.slots))
	for i, s := range m.slots {
		stats[i] = s.snapshot(now)
	}
	return stats
}

func (m *media) onTrack(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	transceiver := receiver.RTPTransceiver()
	if transceiver == nil {
		return
	}
	m.mu.Lock()
	s := m.slotLocked(transceiver.Mid())
	m.mu.Unlock()
	if s == nil {
		return
	}
	m.spawn(func() { s.receive(track) })
	m.spawn(func() { s.readReports(receiver) })
}

func (m *media) onICEState(state webrtc.ICEConnectionState) {
	if state == webrtc.ICEConnectionStateConnected || state == webrtc.ICEConnectionStateCompleted {
		m.watch.iceConnected()
	}
}

func (m *media) onState(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		m.watch.dtlsConnected()
		m.enter(MediaConnected)
	case webrtc.PeerConnectionStateConnecting:
		m.enter(MediaConnecting)
	case webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateFailed:
		m.enter(MediaDisconnected)
	case webrtc.PeerConnectionStateClosed:
		m.enter(MediaClosed)
	default: // new: nothing has begun
	}
}

func (m *media) enter(state MediaState) {
	m.mu.Lock()
	if m.state == state || m.state == MediaClosed {
		m.mu.Unlock()
		return
	}
	m.state = state
	m.mu.Unlock()
	if !m.retired.Load() {
		m.change(state)
	}
}

// pass hands a packet on to the client's user.
func (m *media) pass(p Packet) {
	if m.opts.OnPacket == nil || m.retired.Load() {
		return
	}
	p.Connection = m.number
	m.opts.OnPacket(p)
}

func (m *media) current() MediaState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// spawn runs f in a goroutine that close waits for.
func (m *media) spawn(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.wg.Go(f)
	}
}

func (m *media) close() error {
	m.mu.Lock()
	m.closed = true
	if m.search != nil {
		m.search()
	}
	m.mu.Unlock()
	m.sockets.close()
	err := m.pc.GracefulClose()
	m.wg.Wait()
	return err
}

// sendReports writes the sender reports of everything published. The first comes soon, so that a receiver can line up
// sound and picture from the start.
func (m *media) sendReports(clock wallClock, cname string) {
	m.mu.Lock()
	published := m.published
	m.mu.Unlock()
	for _, p := range published {
		for _, at := range p.places {
			if packets := at.report(clock, time.Now(), cname); packets != nil {
				_ = m.pc.WriteRTCP(packets) // a connection that is going away
			}
		}
	}
}

// readFeedback passes the server's requests for keyframes on to a layer until the peer connection closes. Pion answers
// NACKs meanwhile, and only while somebody reads.
func readFeedback(from *webrtc.RTPSender, to *place, simulcast bool) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := readSenderRTCP(from, to.rid, simulcast, buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue // a broken report is as good as a lost one
		}
		for _, p := range packets {
			if wantsKeyframe(p, to.ssrc()) {
				to.pictureLost()
			}
		}
	}
}

// wantsKeyframe reads the two ways of asking for a keyframe (RFC 4585, PLI; RFC 5104, FIR). Reports about several streams
// can share a packet, and every stream gets all of it.
func wantsKeyframe(p rtcp.Packet, ssrc uint32) bool {
	switch p := p.(type) {
	case *rtcp.PictureLossIndication:
		return p.MediaSSRC == ssrc
	case *rtcp.FullIntraRequest:
		return slices.ContainsFunc(p.FIR, func(e rtcp.FIREntry) bool { return e.SSRC == ssrc })
	default:
		return false
	}
}

func readSenderRTCP(from *webrtc.RTPSender, rid string, simulcast bool, buf []byte) (int, error) {
	if simulcast {
		n, _, err := from.ReadSimulcast(buf, rid)
		return n, err
	}
	n, _, err := from.Read(buf)
	return n, err
}

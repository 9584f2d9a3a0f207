package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

const (
	legTime    = 5 * time.Second         // for media to flow
	listenTime = 1500 * time.Millisecond // that packets are counted
	legPoll    = 10 * time.Millisecond
	badLoss    = 0.02
)

// A leg is one way that media can take between a client and the server.
type leg struct {
	id   string // "udp", "tcp", "relay_udp" …
	name string // "by UDP"
	way  client.Transport
	via  via // to the relay

	room    *room
	options client.Options // of both clients, transport apart

	once   sync.Once
	result outcome
}

// outcome is what two clients found who met over a leg.
type outcome struct {
	err     error // of the socket: they did not meet at all
	ice     bool  // both found a path
	dtls    bool  // both agreed on keys
	timings client.Timings
	pair    string // of the sender
	heard   hearing
	lost    uint64
}

// legs are the ways of a ticket, the best first.
func legs(r *room, options client.Options) []*leg {
	all := []*leg{
		{id: "udp", name: "by UDP", way: client.TransportUDP},
		{id: "tcp", name: "by TCP", way: client.TransportTCP},
		{id: "relay_udp", name: "by relay over UDP", way: client.TransportRelay, via: viaUDP},
		{id: "relay_tcp", name: "by relay over TCP", way: client.TransportRelay, via: viaTCP},
		{id: "relay_tls", name: "by relay over TLS", way: client.TransportRelay, via: viaTLS},
	}
	for _, l := range all {
		l.room, l.options = r, options
	}
	return all
}

func (l *leg) relayed() bool { return l.via != "" }

// steps are what is asked of a leg. The two clients meet once, in the first step that looks at them.
func (l *leg) steps(relay func(context.Context) finding) []step {
	iceNeeds := []string{"websocket.messages"}
	var steps []step
	if l.relayed() {
		id := "ice." + l.id + "_candidate"
		steps = append(steps, step{
			id: id, plane: "ice", name: "relay candidate over " + map[via]string{viaUDP: "UDP", viaTCP: "TCP", viaTLS: "TLS"}[l.via],
			needs: []string{"token.join"}, limit: stunTime, ask: relay,
		})
		iceNeeds = append(iceNeeds, id)
	}
	ice, dtls, rtp := "ice."+l.id, "dtls."+l.id, "rtp."+l.id
	return append(steps,
		step{id: ice, plane: "ice", name: "ICE " + l.name, needs: iceNeeds, limit: legTime + listenTime + 2*time.Second, ask: l.askICE},
		step{id: dtls, plane: "dtls", name: "DTLS " + l.name, needs: []string{ice}, limit: time.Second, ask: l.askDTLS},
		step{id: rtp, plane: "rtp", name: "RTP " + l.name, needs: []string{dtls}, limit: time.Second, ask: l.askRTP},
	)
}

func (l *leg) askICE(ctx context.Context) finding {
	l.once.Do(func() { l.result = l.meet(ctx) })
	r := l.result
	if r.err != nil {
		return unjoined(r.err)
	}
	if !r.ice {
		return l.noPath()
	}
	f := fine("%s", r.pair)
	f.took = r.timings.ICE
	f.figures = map[string]float64{"ice_ms": ms(r.timings.ICE), "offer_answer_ms": ms(r.timings.OfferAnswer)}
	return f
}

// noPath names why ICE found nothing.
func (l *leg) noPath() finding {
	media := l.room.sender.SFUEndpoint
	hint := privateHint(media, l.room.sender.SignalEndpoint)
	switch {
	case l.relayed():
		return broken("ICE: the relay gives an address, and no packet comes back through it",
			"The relay does not let this server's media port through, or cannot reach it.")
	case l.way == client.TransportTCP:
		return broken("ICE: TCP to the media port is blocked: no answer from "+media,
			or(hint, "Let TCP to that port out of this network and into the server's."))
	}
	return broken("ICE: UDP blocked: no answer from "+media, or(hint, "Let UDP to that port out of this network and into the server's."))
}

// privateHint is for a server that tells the world an address that only its own network knows.
func privateHint(media, signalling string) string {
	host, _, err := net.SplitHostPort(media)
	if err != nil {
		return ""
	}
	address, err := netip.ParseAddr(host)
	if err != nil || !address.IsPrivate() {
		return ""
	}
	if door, err := placeOf("http" + signalling[len("ws"):]); err == nil {
		if own, err := netip.ParseAddr(door.host); err == nil && own.IsPrivate() {
			return "" // all of it is in one network
		}
	}
	return "The server advertises the private address " + host + ": it needs its public address in node.media."
}

func (l *leg) askDTLS(context.Context) finding {
	if !l.result.dtls {
		return broken("DTLS: the handshake comes to no end", "Small packets pass and large ones do not: look for a low MTU on the way.")
	}
	f := fine("keys agreed")
	f.took = l.result.timings.DTLS
	f.figures = map[string]float64{"dtls_ms": ms(l.result.timings.DTLS)}
	return f
}

func (l *leg) askRTP(context.Context) finding {
	r := l.result
	share := float64(r.lost) / float64(max(1, uint64(r.heard.packets)+r.lost))
	figures := map[string]float64{
		"packets": float64(r.heard.packets), "lost_ratio": share, "jitter_ms": r.heard.jitter * 1000, "round_trip_ms": ms(r.heard.roundTrip()),
	}
	var f finding
	switch {
	case r.heard.packets == 0:
		f = broken("no inbound packets from that participant's microphone", "The path is there and carries no media: look at the node's log and its firewall.")
	case share > badLoss:
		f = doubtful(fmt.Sprintf("%.0f %% of the packets are lost", share*100), "Sound and picture suffer: the network on the way is full or bad.")
	default:
		f = fine("%d packets, %.1f %% lost, jitter %.1f ms, round trip %s", r.heard.packets, share*100, r.heard.jitter*1000, brief(r.heard.roundTrip()))
	}
	f.figures, f.took = figures, listenTime
	return f
}

// meet lets the sender and the receiver join over the leg, and counts what the one hears of the other.
func (l *leg) meet(ctx context.Context) (o outcome) {
	listener := &listener{}
	hear, speak := l.options, l.options
	hear.Transport, speak.Transport = l.way, l.way
	hear.VideoSlots, hear.AudioSlots, hear.OnPacket = client.NoSlots, 1, listener.packet
	speak.VideoSlots, speak.AudioSlots = client.NoSlots, client.NoSlots
	speak.Publish = []*client.Publication{newMicrophone()}
	receiver, err := client.Connect(ctx, l.ticket(l.room.receiver), hear)
	if err != nil {
		return outcome{err: err}
	}
	defer receiver.Close() //nolint:errcheck // it is over, well or not
	sender, err := client.Connect(ctx, l.ticket(l.room.sender), speak)
	if err != nil {
		return outcome{err: err}
	}
	defer sender.Close() //nolint:errcheck // likewise
	connected := await(ctx, legTime, func() bool {
		return sender.MediaState() == client.MediaConnected && receiver.MediaState() == client.MediaConnected
	})
	if connected {
		await(ctx, listenTime, func() bool { return false })
	}
	o.timings = slower(sender.Timings(), receiver.Timings())
	o.dtls = connected
	o.ice = connected || sender.Timings().ICE > 0 && receiver.Timings().ICE > 0
	o.heard = listener.sum()
	if path, ok := sender.Path(); ok {
		o.pair = describe(path)
	}
	for _, s := range receiver.SlotStats() {
		o.lost += s.Missed
	}
	return o
}

// describe is a path for people: "udp host → 203.0.113.7:7881".
func describe(p client.Path) string {
	if p.Local.Type == "relay" {
		return fmt.Sprintf("%s to the relay, %s → %s", p.Local.RelayProtocol, p.Local.Address, p.Remote.Address)
	}
	return fmt.Sprintf("%s %s → %s", p.Local.Protocol, p.Local.Type, p.Remote.Address)
}

// ticket is a ticket that leads nowhere but along the leg.
func (l *leg) ticket(t client.Ticket) client.Ticket {
	t.ICEServers = nil
	if server, ok := relayOf(l.room.sender, l.via); ok && l.relayed() {
		t.ICEServers = []client.ICEServer{{URLs: []string{server.url}, Username: server.user, Credential: server.pass}}
	}
	return t
}

// await polls until what is true, and says whether it was in time.
func await(ctx context.Context, limit time.Duration, what func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	poll := time.NewTicker(legPoll)
	defer poll.Stop()
	for !what() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// slower has the longer of each step of two joins.
func slower(a, b client.Timings) client.Timings {
	return client.Timings{OfferAnswer: max(a.OfferAnswer, b.OfferAnswer), ICE: max(a.ICE, b.ICE), DTLS: max(a.DTLS, b.DTLS)}
}

// hearing is what came of a voice.
type hearing struct {
	packets int
	jitter  float64 // seconds (RFC 3550, section 6.4.1)
	way     time.Duration
}

// roundTrip is the mean way from this machine through the server and back.
func (h hearing) roundTrip() time.Duration { return h.way / time.Duration(max(1, h.packets)) }

// listener hears a voice. Its methods are safe for concurrent use.
type listener struct {
	mu    sync.Mutex // protects following
	heard hearing
	last  float64 // transit of the packet before, in seconds
}

const opusRate = 48000

func (l *listener) packet(p client.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	transit := float64(p.Arrived.UnixNano())/1e9 - float64(p.RTP.Timestamp)/opusRate
	if l.heard.packets > 0 {
		l.heard.jitter += (abs(transit-l.last) - l.heard.jitter) / 16
	}
	l.last = transit
	l.heard.packets++
	if !p.SentAt.IsZero() {
		l.heard.way += p.Arrived.Sub(p.SentAt)
	}
}

func (l *listener) sum() hearing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard
}

func abs(x float64) float64 { return max(x, -x) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func or(first, second string) string {
	if first != "" {
		return first
	}
	return second
}

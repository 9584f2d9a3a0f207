package system_test

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// namings are lines of SDP that name an address in every way there is.
func namings(victim netip.Addr, port int) []string {
	var lines []string
	for _, kind := range []string{"host", "srflx raddr %[1]s rport %[2]d", "prflx raddr %[1]s rport %[2]d", "relay raddr %[1]s rport %[2]d"} {
		lines = append(lines, "candidate:1 1 udp 2130706431 %[1]s %[2]d typ "+kind)
		for _, tcp := range []string{"active", "passive", "so"} {
			lines = append(lines, "candidate:1 1 tcp 2130706431 %[1]s %[2]d typ "+kind+" tcptype "+tcp)
		}
	}
	lines = append(lines,
		"candidate:1 2 udp 2130706431 %[1]s %[2]d typ host",
		"candidate:1 1 UDP 4294967295 ::ffff:%[1]s %[2]d typ host generation 0",
		"candidate:1 1 ssltcp 2130706431 %[1]s %[2]d typ host",
		"candidate:1 1 udp 2130706431 192.0.2.1 9 typ srflx raddr %[1]s rport %[2]d",
		"candidate:1 1 udp 2130706431 %[1]s.nip.io %[2]d typ host",
		"candidate:1 1 udp 2130706431 0a0b0c0d-0000-4000-8000-000000000000.local %[2]d typ host",
	)
	for i, l := range lines {
		lines[i] = fmt.Sprintf(l+"%.0[1]s%.0[2]d", victim, port)
	}
	return lines
}

// naming puts those lines into an offer, as often as they fit, and the address wherever else SDP has one.
func naming(sdp string, victim netip.Addr, lines []string, times int) string {
	var all strings.Builder
	for i := range times {
		all.WriteString("a=" + lines[i%len(lines)] + "\r\n")
	}
	sdp = strings.ReplaceAll(sdp, "IN IP4 0.0.0.0", "IN IP4 "+victim.String())
	sdp = strings.ReplaceAll(sdp, "a=recvonly\r\n", "a=rtcp:4660 IN IP4 "+victim.String()+"\r\na=recvonly\r\n"+all.String())
	return strings.ReplaceAll(sdp, "m=audio 9 ", "m=audio 4660 ")
}

// mallory is a participant by hand.
type mallory struct {
	t      *testing.T
	socket *socket
	pc     *webrtc.PeerConnection
	offers int
}

func newMallory(t *testing.T, n *lab.Node, ticket client.Ticket) *mallory {
	t.Helper()
	s, got := knock(t, n, ticket.JoinToken)
	if s == nil {
		t.Fatalf("upgrade: %+v", got)
	}
	engine := webrtc.SettingEngine{}
	engine.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(engine)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
		t.Fatal(err)
	}
	return &mallory{t: t, socket: s, pc: pc}
}

// offer offers what change makes of an honest offer, and takes the answer.
func (m *mallory) offer(message object, change func(string) string) {
	m.t.Helper()
	offer, err := m.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: m.offers > 0})
	if err != nil {
		m.t.Fatal(err)
	}
	m.offers++
	gathered := webrtc.GatheringCompletePromise(m.pc)
	if err := m.pc.SetLocalDescription(offer); err != nil {
		m.t.Fatal(err)
	}
	<-gathered
	message["id"], message["sdp_offer"] = fmt.Sprint(m.offers), change(m.pc.LocalDescription().SDP)
	if err := m.socket.say(message); err != nil {
		m.t.Fatal(err)
	}
	for {
		said, closed, err := m.socket.hear()
		switch {
		case err != nil || closed != 0 || said.Type == "error":
			m.t.Fatalf("an offer was answered %+v, close %d, %v", said, closed, err)
		case said.Answer != "":
			if err := m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: said.Answer}); err != nil {
				m.t.Fatal(err)
			}
			return
		}
	}
}

// TestHostileCandidates: no packet of the server goes to an address that somebody only names, whatever the way and the number,
// while checks from elsewhere have media flow.
func TestHostileCandidates(t *testing.T) {
	const offers, each, port = 12, 900, 4660
	victim := netip.MustParseAddr("127.66.6.6")
	n := lab.StartNode(t)
	meeting := n.NewMeeting(t, "Named", nil)
	ticket, err := client.JoinMeeting(t.Context(), n.URL, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey})
	if err != nil {
		t.Fatal(err)
	}
	o := newObserver(t, netip.MustParseAddrPort(ticket.SFUEndpoint), victim)
	speaker := join(t, n, meeting.ID, client.JoinOptions{DisplayName: "Speaker"}, client.Options{
		Publish: []*client.Publication{client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	m := newMallory(t, n, ticket)
	heardMedia := make(chan struct{})
	m.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for range 50 {
			if _, _, err := track.ReadRTP(); err != nil {
				return
			}
		}
		close(heardMedia)
	})
	lines := namings(victim, port)
	change := func(sdp string) string { return naming(sdp, victim, lines, each) }
	m.offer(object{"type": wire.TypeHello, "participant_id": ticket.ParticipantID, "display_name": "M"}, change)
	trickled := 0
	for _, l := range lines {
		for _, mid := range []string{"0", ""} {
			if err := m.socket.say(object{"type": "ice.candidate", "candidate": l, "sdp_mid": mid, "username_fragment": ""}); err != nil {
				t.Fatal(err)
			}
			trickled++
		}
	}
	select {
	case <-heardMedia:
	case <-time.After(20 * time.Second):
		t.Fatalf("mallory hears nothing: %s", m.pc.ICEConnectionState())
	}
	for range offers - 1 {
		<-time.After(300 * time.Millisecond) // offers are limited
		m.offer(object{"type": "participant.offer"}, change)
	}
	<-time.After(2 * time.Second) // checks go out every 200 ms
	sent := o.count(victim)
	conn, err := net.Dial("udp", netip.AddrPortFrom(victim, port).String())
	if err == nil {
		_, _ = conn.Write([]byte("to show that the observer sees"))
		_ = conn.Close()
	}
	lab.Until(t, 5*time.Second, "the observer sees what is sent to the victim", func() bool { return o.count(victim) > sent })
	figures := newTable(t, "candidates named in offers", "trickled", "packets that the server sent there", "bound")
	figures.add(offers*each, trickled, sent, "0")
	if sent != 0 || speaker.State() != client.StateJoined {
		t.Errorf("%d packets went to the victim", sent)
	}
}

// dtlsClientHello is one that servers answer, with a random of its own.
func dtlsClientHello() []byte {
	body := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	_, _ = rand.Read(body[2:])
	body = append(body, 0, 0, 0, 2, 0xc0, 0x2b, 1, 0)
	extensions := []byte{0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3, 0, 14, 0, 5, 0, 2, 0, 7, 0, 0, 23, 0, 0}
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(extensions))), extensions...)
	size := []byte{0, byte(len(body) >> 8), byte(len(body))}
	message := append(append(append(append([]byte{1}, size...), 0, 0, 0, 0, 0), size...), body...)
	return append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(message) >> 8), byte(len(message))}, message...)
}

// spoiled is a check with a wrong signature.
func spoiled(check []byte) []byte {
	b := append([]byte(nil), check...)
	for i := len(b) - 28; i < len(b)-8; i++ {
		b[i] ^= 0xff
	}
	return b
}

// TestHostileMedia: what is thrown at the media port, by strangers or under the clients' own addresses, neither ends nor halts a running call, nor
// keeps anybody from joining.
func TestHostileMedia(t *testing.T) {
	const long, joins = 3 * time.Second, 3
	n := lab.StartNode(t)
	others := newBystanders(t, n)
	ticket := ticketFor(t, n, n.MeetingID)
	media := netip.MustParseAddrPort(ticket.SFUEndpoint)
	o := newObserver(t, media)
	var clients map[netip.AddrPort][]byte
	lab.Until(t, 10*time.Second, "checks of both clients are overheard", func() bool { clients = o.overheard(); return len(clients) >= 2 })
	var known [][]byte
	var own []netip.AddrPort
	for source, check := range clients {
		own, known = append(own, source), append(known, check)
	}
	stranger := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 66, byte(i >> 8), byte(i)}), uint16(1024+i%60000))
	}
	elsewhere := func(i int) netip.AddrPort { return stranger(i % 4000) }
	theirs := func(i int) netip.AddrPort { return own[i%len(own)] }
	rtp := append([]byte{0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 200)...)
	alert := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40}
	closing := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0}
	random := func() []byte {
		b := spoiled(known[0])
		copy(b[24:], rand.Text()[:4])
		return b
	}
	figures := newTable(t, "3 s of", "packets/s", "longest silence", "joined", "slowest join", "memory", "")
	before := n.RSS(t)
	for _, attack := range []struct {
		name string
		do   func(i int)
	}{
		{"nothing", func(int) { time.Sleep(time.Millisecond) }},
		{"ClientHellos from 4,000 addresses", func(i int) { o.forge(elsewhere(i), dtlsClientHello()) }},
		{"ClientHellos under the clients' addresses", func(i int) { o.forge(theirs(i), dtlsClientHello()) }},
		{"fatal alerts under the clients' addresses", func(i int) { o.forge(theirs(i), alert) }},
		{"close_notify under the clients' addresses", func(i int) { o.forge(theirs(i), closing) }},
		{"RTP from 4,000 addresses", func(i int) { o.forge(elsewhere(i), rtp) }},
		{"RTP under the clients' addresses", func(i int) { o.forge(theirs(i), rtp) }},
		{"checks with random names", func(i int) { o.forge(elsewhere(i), random()) }},
		{"checks with known names, wrongly signed", func(i int) { o.forge(elsewhere(i), spoiled(known[i%len(known)])) }},
		{"recorded checks from 4,000 addresses", func(i int) { o.forge(elsewhere(i), known[i%len(known)]) }},
		{"recorded checks and ClientHellos from 4 addresses", func(i int) {
			o.forge(stranger(i%4), known[i%len(known)])
			o.forge(stranger(i%4), dtlsClientHello())
		}},
	} {
		others.reset()
		stop, sent := barrage(attack.do)
		began := time.Now()
		joined, slowest := 0, time.Duration(0)
		for range joins {
			if took, ok := hasty(t, n); ok {
				joined, slowest = joined+1, max(slowest, took)
			}
		}
		time.Sleep(time.Until(began.Add(long)))
		count := sent()
		stop()
		silence := others.undisturbed(t)
		good := joined == joins && silence < time.Second
		figures.add(attack.name, int(float64(count)/time.Since(began).Seconds()), silence, fmt.Sprintf("%d of %d", joined, joins), slowest, fmt.Sprintf("%+d MB", (n.RSS(t)-before)>>20), verdict(good))
		if !good {
			t.Errorf("%s: %d of %d joined, %s of silence", attack.name, joined, joins, silence)
		}
	}
	others.reset()
	stayed := idle(t, media)
	figures.add(fmt.Sprintf("TCP connections that say nothing, of which %d may stay", stayed), "", others.undisturbed(t), "", "", "", verdict(stayed <= 256))
	if stayed > 256 {
		t.Errorf("%d idle connections of one address stayed", stayed)
	}
}

// barrage does something some 5,000 times a second until it is stopped.
func barrage(something func(i int)) (stop func(), done func() int) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := 0
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			for range 10 {
				something(i)
				i++
			}
			mu.Lock()
			count = i
			mu.Unlock()
		}
	})
	return func() { close(ended); wg.Wait() }, func() int { mu.Lock(); defer mu.Unlock(); return count }
}

// hasty joins a meeting until media flows, and leaves again.
func hasty(t *testing.T, n *lab.Node) (took time.Duration, ok bool) {
	t.Helper()
	meeting := n.NewMeeting(t, "In a hurry", nil)
	began := time.Now()
	c := join(t, n, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey}, client.Options{
		Publish: []*client.Publication{client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	defer c.Close() //nolint:errcheck // it has done what it was for
	for time.Since(began) < 10*time.Second {
		if m := c.Timings(); m.DTLS > 0 {
			return time.Since(began), true
		}
		time.Sleep(time.Millisecond)
	}
	return 0, false
}

// idle opens TCP connections that say nothing, and returns how many the node let stay.
func idle(t *testing.T, media netip.AddrPort) int {
	t.Helper()
	const many = 600
	var conns []net.Conn
	for range many {
		if conn, err := net.Dial("tcp", media.String()); err == nil {
			conns = append(conns, conn)
			t.Cleanup(func() { _ = conn.Close() })
		}
	}
	time.Sleep(300 * time.Millisecond) // for the others to be closed
	open := 0
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
	}
	return open
}

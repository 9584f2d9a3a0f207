package system_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/doctor"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// The tests of this file bring about every row of the table in README, "When something does not work", and hold what
// names its cause to the table's words: parley doctor, /metrics, and the pages in diagnosis.test.mjs.

// examine runs parley doctor and returns its report. The exit code must be that of the report.
func examine(tb testing.TB, namespace string, args ...string) doctor.Report {
	tb.Helper()
	began := time.Now()
	stdout, stderr, code := lab.Parley(tb, namespace, append([]string{"doctor", "--json"}, args...)...)
	var r doctor.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		tb.Fatalf("parley doctor: %v\n%s\n%s", err, stdout, stderr)
	}
	if well := code == 0; well != r.OK || code > 1 {
		tb.Errorf("exit code %d of a report that says ok = %v", code, r.OK)
	}
	if took := time.Since(began); took > 32*time.Second {
		tb.Errorf("it took %s, must be within 30 s", took)
	}
	return r
}

// named looks for a check of a report, its state and the words of its cause.
func named(tb testing.TB, shown *table, row string, r doctor.Report, id string, state doctor.State, cause string) {
	tb.Helper()
	check, _ := r.Find(id)
	if check.State == doctor.Skipped && state != doctor.Skipped {
		tb.Logf("all checks: %+v", r.Checks)
	}
	good := check.State == state && strings.Contains(check.Cause, cause)
	shown.add(row, "doctor, "+id, string(check.State)+" "+check.Cause+check.Found, verdict(good))
	if !good {
		tb.Errorf("%s: %s is %s %q, want %s %q", row, id, check.State, check.Cause, state, cause)
	}
}

func TestDiagnosisOfJoining(t *testing.T) {
	const row = "join spins"
	shown := newTable(t, "symptom", "named by", "as", "")
	n := lab.StartNode(t)

	r := examine(t, "", "--url", n.URL, "--token", n.Token)
	if !r.OK || r.Verdict != "Calls will work." {
		t.Errorf("a good node: %s\n%+v", r.Verdict, r.Checks)
	}
	for _, id := range []string{"rtp.udp", "rtp.tcp", "rtp.relay_udp", "rtp.relay_tcp"} {
		named(t, shown, "nothing", r, id, doctor.OK, "")
	}

	r = examine(t, "", "--url", n.URL, "--token", "x.y.z")
	named(t, shown, row, r, "token.join", doctor.Fail, "token refused: HTTP 401 token_invalid")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(n.DataDir, "config")) // where the node has its key
	for _, tc := range []struct{ flag, cause string }{
		{"--ttl=-1h", "token refused: HTTP 401 token_expired"},
		{"--rights=meetings:read", "token refused: HTTP 403 forbidden"},
	} {
		token, _, _ := lab.Parley(t, "", "token", "--dev", tc.flag)
		r = examine(t, "", "--url", n.URL, "--token", strings.TrimSpace(token))
		named(t, shown, row, r, "token.join", doctor.Fail, tc.cause)
	}
	r = examine(t, "", "--join", n.URL+"/m/mtg_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	named(t, shown, row, r, "token.join", doctor.Fail, "no such meeting: HTTP 404 meeting_not_found")

	n.Stop(t)
	r = examine(t, "", "--url", n.URL)
	named(t, shown, row, r, "network.tcp", doctor.Fail, "REST down: nobody answers")
	if !strings.HasPrefix(r.Verdict, "Calls will not work: REST down") {
		t.Errorf("verdict %q", r.Verdict)
	}
}

func TestDiagnosisOfConnecting(t *testing.T) {
	const row = "hangs on connecting"
	shown := newTable(t, "symptom", "named by", "as", "")
	link := lab.NewLink(t)
	n := lab.ServeOn(t, link)
	lab.Until(t, 30*time.Second, "the node answers", func() bool {
		_, _, code := lab.Parley(t, link.Client, "nodes", "--url", n.URL, "--token", n.Token)
		return code == 0
	})
	const relayPort, mediaPort = "3478", "7881"
	for _, tc := range []struct {
		name    string
		blocked []string
		verdict string
		named   map[string]string // checks that fail, and their causes
		well    []string          // checks that do not
	}{
		{
			"nothing is blocked", nil, "Calls will work.",
			nil,
			[]string{"ice.stun", "rtp.udp", "rtp.tcp", "rtp.relay_udp", "rtp.relay_tcp"},
		},
		{
			"the relay's port over UDP",
			[]string{"udp dport " + relayPort},
			"Calls will work.",
			map[string]string{"ice.stun": "STUN unreachable", "ice.relay_udp_candidate": "no relay candidate: 10.77.0.1:3478 does not answer over UDP"},
			[]string{"rtp.udp", "rtp.relay_tcp"},
		},
		{
			"UDP",
			[]string{"meta l4proto udp"},
			"Calls will work, over TCP: UDP blocked.",
			map[string]string{"ice.udp": "ICE: UDP blocked: no answer from 10.77.0.1:7881"},
			[]string{"rtp.tcp", "rtp.relay_tcp"},
		},
		{
			"UDP, and TCP to the media port",
			[]string{"meta l4proto udp", "tcp dport " + mediaPort},
			"Calls will work, through the relay: UDP blocked.",
			map[string]string{"ice.udp": "ICE: UDP blocked", "ice.tcp": "ICE: TCP to the media port is blocked"},
			[]string{"rtp.relay_tcp"},
		},
		{
			"everything but HTTP",
			[]string{"meta l4proto udp", "tcp dport { " + mediaPort + ", " + relayPort + " }"},
			"Calls will not work: UDP blocked and no relay.",
			map[string]string{
				"ice.stun": "STUN unreachable", "ice.udp": "ICE: UDP blocked", "ice.relay_udp_candidate": "no relay candidate",
				"ice.relay_tcp_candidate": "no relay candidate",
			},
			[]string{"rest.livez", "websocket.messages"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			link.Block(t, tc.blocked...)
			r := examine(t, link.Client, "--url", n.URL)
			for id, cause := range tc.named {
				named(t, shown, row, r, id, doctor.Fail, cause)
			}
			for _, id := range tc.well {
				named(t, shown, row, r, id, doctor.OK, "")
			}
			if r.Verdict != tc.verdict {
				t.Errorf("verdict = %q, want %q", r.Verdict, tc.verdict)
			}
		})
	}
}

func TestDiagnosisOfSilence(t *testing.T) {
	const row = "one-way audio"
	shown := newTable(t, "symptom", "named by", "as", "")
	n := lab.StartNode(t)
	dead := client.NewPublication(client.SourceMicrophone, client.PublicationOptions{}, client.Layer{MimeType: "audio/opus"})
	ada := join(t, n, n.MeetingID, client.JoinOptions{DisplayName: "Ada"}, client.Options{Publish: []*client.Publication{dead}})
	bob := join(t, n, n.MeetingID, client.JoinOptions{DisplayName: "Bob"}, client.Options{
		Publish: []*client.Publication{client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	unheard := func() (wire.Slot, bool) {
		slots := bob.Slots()
		i := slices.IndexFunc(slots, func(s wire.Slot) bool { return s.Reason == "no_packets" })
		if i < 0 {
			return wire.Slot{}, false
		}
		return slots[i], true
	}
	lab.Until(t, 10*time.Second, "Bob is told that nothing comes of Ada", func() bool {
		slot, found := unheard()
		return found && slot.ParticipantID == ada.Self().ID && slot.State == "active"
	})
	shown.add(row, "media.slots", "no_packets, of Ada", "ok")
	lab.Until(t, 5*time.Second, "the node counts one", func() bool { return n.Metrics(t)["parley_silent_microphones"] == 1 })
	shown.add(row, "/metrics", "parley_silent_microphones 1", "ok")
	lab.Until(t, 5*time.Second, "the log names her", func() bool {
		return slices.ContainsFunc(strings.Split(n.Logs(), "\n"), func(line string) bool {
			return strings.Contains(line, "no inbound packets from the participant's microphone") && strings.Contains(line, ada.Self().ID)
		})
	})
	shown.add(row, "the node's log", "no inbound packets from the participant's microphone, participant "+ada.Self().ID, "ok")
	r := examine(t, "", "--url", n.URL)
	named(t, shown, row, r, "rooms.microphones", doctor.Warn, "no inbound packets from that participant's microphone: 1")

	muted := true
	if err := ada.Presence(t.Context(), wire.PresenceUpdate{AudioMuted: &muted}); err != nil {
		t.Fatal(err)
	}
	lab.Until(t, 5*time.Second, "nothing is expected of who is muted", func() bool {
		_, found := unheard()
		return !found && n.Metrics(t)["parley_silent_microphones"] == 0
	})
}

func TestDiagnosisOfLateEvents(t *testing.T) {
	const row = "mute and join events late"
	shown := newTable(t, "symptom", "named by", "as", "")
	n := lab.StartNode(t)
	slow := ticket(t, n, "Slow")
	socket, got := knock(t, n, slow.JoinToken)
	if socket == nil {
		t.Fatalf("upgrade: %+v", got)
	}
	hello := wire.Hello{ParticipantID: slow.ParticipantID, DisplayName: "Slow"}
	if err := socket.say(message(t, wire.TypeHello, hello)); err != nil {
		t.Fatal(err)
	}
	_ = socket.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	for i := range 4 {
		talker := join(t, n, n.MeetingID, client.JoinOptions{DisplayName: fmt.Sprint("Talker ", i)}, client.Options{VideoSlots: client.NoSlots, AudioSlots: client.NoSlots})
		go chatter(t, talker)
	}
	deepest := 0.0
	lab.Until(t, 20*time.Second, "a queue becomes deep", func() bool { // the kernel's buffers fill first
		deepest = n.Metrics(t)["parley_signal_queue_deepest_messages"]
		return deepest >= 64
	})
	shown.add(row, "/metrics", fmt.Sprintf("parley_signal_queue_deepest_messages %.0f", deepest), "ok")
	handled := n.Metrics(t)[`parley_signal_handler_seconds_count{type="chat.message"}`]
	shown.add(row, "/metrics", fmt.Sprintf(`parley_signal_handler_seconds_count{type="chat.message"} %.0f`, handled), verdict(handled > 0))
	if handled == 0 {
		t.Error("no latency of handlers in /metrics")
	}
	r := examine(t, "", "--url", n.URL)
	check, _ := r.Find("signalling.handlers")
	shown.add(row, "doctor, signalling.handlers", string(check.State)+" "+check.Found, verdict(check.State == doctor.OK))
	if check.State != doctor.OK || check.Figures["handler_p95_ms"] <= 0 {
		t.Errorf("handlers: %+v", check)
	}
}

// chatter says a lot, as fast as one may, until the test is over.
func chatter(tb testing.TB, talker *client.Client) {
	pace := time.NewTicker(25 * time.Millisecond)
	defer pace.Stop()
	noise := make([]byte, 2<<10) // as text it is twice as long, and cannot be made smaller
	for {
		select {
		case <-pace.C:
		case <-tb.Context().Done():
			return
		}
		_, _ = rand.Read(noise)
		_ = talker.Chat(tb.Context(), hex.EncodeToString(noise), "")
	}
}

func TestDiagnosisOfSelfInGrid(t *testing.T) {
	const row = "sees self in the grid"
	shown := newTable(t, "symptom", "named by", "as", "")
	n := lab.StartNode(t)
	opts := func() client.Options { return client.Options{Publish: []*client.Publication{camera(t)}, VideoSlots: 2} }
	ada := join(t, n, n.MeetingID, client.JoinOptions{DisplayName: "Ada"}, opts())
	bob := join(t, n, n.MeetingID, client.JoinOptions{DisplayName: "Bob"}, opts())
	lab.Until(t, 20*time.Second, "they see each other", func() bool { return ada.Timings().FirstVideo > 0 && bob.Timings().FirstVideo > 0 })
	own := ""
	for _, track := range ada.Tracks() {
		if track.ParticipantID == ada.Self().ID {
			own = track.ID
		}
	}
	for _, slot := range ada.Slots() {
		if slot.Kind == "video" {
			_ = ada.Subscribe(t.Context(), wire.SlotRequest{MID: slot.MID, TrackID: own}) // to be refused, or to bind nothing
		}
	}
	for _, slot := range ada.Slots() {
		if slot.ParticipantID == ada.Self().ID {
			t.Errorf("slot %+v shows Ada herself", slot)
		}
	}
	if self, ok := n.Metrics(t)["parley_self_slots"]; !ok || self != 0 {
		t.Errorf("parley_self_slots = %v, %v", self, ok)
	}
	shown.add(row, "/metrics", "parley_self_slots 0", "ok")
	named(t, shown, row, examine(t, "", "--url", n.URL), "rooms.self", doctor.OK, "")
}

func TestDiagnosisOfBigMessages(t *testing.T) {
	const row = "media drops on big signalling messages"
	shown := newTable(t, "symptom", "named by", "as", "")
	n := lab.StartNode(t)
	big := ticket(t, n, "Big")
	socket, got := knock(t, n, big.JoinToken)
	if socket == nil {
		t.Fatalf("upgrade: %+v", got)
	}
	hello := wire.Hello{ParticipantID: big.ParticipantID, DisplayName: "Big", SDPOffer: strings.Repeat("a=x\r\n", 30_000)}
	if err := socket.say(message(t, wire.TypeHello, hello)); err != nil {
		t.Fatal(err)
	}
	last, code := socket.outcome(false)
	good := code == wire.CloseTooBig && last.Code == wire.CodeMessageTooBig
	shown.add(row, "the socket", fmt.Sprintf("%s, closed with %d", last.Code, code), verdict(good))
	if !good {
		t.Errorf("%+v, close code %d, want %s and %d", last, code, wire.CodeMessageTooBig, wire.CloseTooBig)
	}
	const metric = `parley_signal_oversized_total{what="sdp"}`
	count := n.Metrics(t)[metric]
	shown.add(row, "/metrics", fmt.Sprintf("%s %.0f", metric, count), verdict(count == 1))
	if count != 1 {
		t.Errorf("%s = %v, want 1", metric, count)
	}
	r := examine(t, "", "--url", n.URL)
	named(t, shown, row, r, "signalling.sdp", doctor.Warn, "oversized SDP (> 100 KB) on the socket: 1")
	named(t, shown, row, r, "websocket.big", doctor.OK, "")
}

// message is one of the protocol, to be sent by hand.
func message(tb testing.TB, kind string, body any) json.RawMessage {
	tb.Helper()
	data, err := wire.Encode(wire.Envelope{Type: kind}, body)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// ticket lets somebody into the node's meeting who does without the client.
func ticket(tb testing.TB, n *lab.Node, name string) client.Ticket {
	tb.Helper()
	ticket, err := client.JoinMeeting(tb.Context(), n.URL, n.MeetingID, client.JoinOptions{DisplayName: name, HostKey: n.HostKey})
	if err != nil {
		tb.Fatal(err)
	}
	return ticket
}

// TestDiagnosisPages is for what the pages name: /test, and a meeting's tiles and statistics.
func TestDiagnosisPages(t *testing.T) {
	link := lab.NewLink(t)
	n := lab.ServeOn(t, link)
	lab.Browse(t, n, "diagnosis.test.mjs", link.Client, 5*time.Minute)
}

package system_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// bystanders are two people in a call, who must not notice what is done to their node.
type bystanders struct {
	watcher
	speaker, listener *client.Client
}

func newBystanders(t *testing.T, n *lab.Node) *bystanders {
	t.Helper()
	meeting := n.NewMeeting(t, "Bystanders", nil)
	b := &bystanders{}
	b.speaker = join(t, n, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey, DisplayName: "Speaker"}, client.Options{
		Publish: []*client.Publication{client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	opts := client.Options{OnPacket: b.packet}
	if n.TLS != nil { // all that the listener does goes over the one port
		opts.TLS, opts.Transport = n.TLS.Client(), client.TransportRelay
	}
	b.listener = join(t, n, meeting.ID, client.JoinOptions{DisplayName: "Listener"}, opts)
	lab.Until(t, 10*time.Second, "the listener hears the speaker", func() bool {
		count, _ := b.result()
		return count > 10
	})
	if path, ok := b.listener.Path(); n.TLS != nil && (!ok || by(path) != "relay tls") {
		t.Fatalf("the listener's media goes over %+v, want a relay over TLS", path)
	}
	b.reset()
	return b
}

// undisturbed says how long the longest silence was since the last reset, and fails the test if it was a long one.
func (b *bystanders) undisturbed(t *testing.T) time.Duration {
	t.Helper()
	const most = time.Second
	// An attack may be over before the next packet is due.
	lab.Until(t, most, "the others still hear each other", func() bool {
		count, _ := b.result()
		return count > 0
	})
	count, longest := b.result()
	if count == 0 || longest > most || b.speaker.State() != client.StateJoined || b.listener.State() != client.StateJoined {
		t.Errorf("others were disturbed: %d packets, the longest silence %s; they are %s and %s",
			count, longest, b.speaker.State(), b.listener.State())
	}
	return longest
}

// ticketFor asks for a place in the meeting.
func ticketFor(t *testing.T, n *lab.Node, meeting string) client.Ticket {
	t.Helper()
	how := client.JoinOptions{DisplayName: "Mallory"}
	if n.TLS != nil {
		how.HTTPClient = n.TLS.HTTPClient()
	}
	ticket, err := client.JoinMeeting(t.Context(), n.URL, meeting, how)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestHostileTokens(t *testing.T) {
	n := lab.StartNode(t)
	others := newBystanders(t, n)
	ticket := ticketFor(t, n, n.MeetingID)
	f := newForger(t, n, ticket.JoinToken)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	parts := strings.Split(ticket.JoinToken, ".")
	raw, ok := f.key.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("no Ed25519 key")
	}
	figures := newTable(t, "token", "answer", "code", "")

	for _, tc := range []struct {
		name, token string
		status      int
		code        string
	}{
		{"a real one", ticket.JoinToken, 101, ""},
		{"signed by us as a real one", f.sign(nil, nil, f.key), 101, ""},
		{"alg none", encode(with(f.header, object{"alg": "none"})) + "." + parts[1] + ".", 401, "token_invalid"},
		{"alg none with a signature", encode(with(f.header, object{"alg": "none"})) + "." + parts[1] + "." + parts[2], 401, "token_invalid"},
		{"HS256 with the public key", f.hmac(raw), 401, "token_invalid"},
		{"HS256 with the JWK set", f.hmac(f.public), 401, "token_invalid"},
		{"HS256 with nothing", f.hmac(nil), 401, "token_invalid"},
		{"another audience", f.sign(nil, object{"aud": "elsewhere"}, f.key), 401, "token_invalid"},
		{"no audience", f.sign(nil, object{"aud": nil}, f.key), 401, "token_invalid"},
		{"another issuer", f.sign(nil, object{"iss": "elsewhere"}, f.key), 401, "token_invalid"},
		{"another typ", f.sign(object{"typ": "JWT"}, nil, f.key), 401, "token_invalid"},
		{"no typ", f.sign(object{"typ": nil}, nil, f.key), 401, "token_invalid"},
		{"an unknown kid", f.sign(object{"kid": "k0"}, nil, f.key), 401, "token_invalid"},
		{"no kid", f.sign(object{"kid": nil}, nil, f.key), 401, "token_invalid"},
		{"a kid that is a path", f.sign(object{"kid": "../../keys.json"}, nil, f.key), 401, "token_invalid"},
		{"a stranger's key", f.sign(nil, nil, stranger), 401, "token_invalid"},
		{"a stranger's key that it brings along", f.sign(object{"jwk": object{
			"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(stranger[32:]),
		}}, nil, stranger), 401, "token_invalid"},
		{"claims changed", parts[0] + "." + encode(with(f.claims, object{"role": "host"})) + "." + parts[2], 401, "token_invalid"},
		{"another room put in", parts[0] + "." + encode(with(f.claims, object{"meetingId": "mtg_x"})) + "." + parts[2], 401, "token_invalid"},
		{"no signature", parts[0] + "." + parts[1] + ".", 401, "token_invalid"},
		{"expired", f.sign(nil, object{"iat": now - 600, "nbf": now - 600, "exp": now - 300}, f.key), 401, "token_expired"},
		{"not valid yet", f.sign(nil, object{"nbf": now + 300, "exp": now + 600}, f.key), 401, "token_invalid"},
		{"never expires", f.sign(nil, object{"exp": nil}, f.key), 401, "token_invalid"},
		{"a user token", n.Token, 401, "token_invalid"},
		{"20 KB of dots", strings.Repeat(".", 20<<10), 401, "token_invalid"},
		{"nothing", "", 401, "token_invalid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, got := knock(t, n, tc.token)
			want := answer{tc.status, tc.code}
			figures.add(tc.name, got.status, got.code, verdict(got == want))
			if got != want {
				t.Errorf("answer %+v, want %+v", got, want)
			}
		})
	}
	figures.add("longest silence for others", others.undisturbed(t), "", "")
}

// A token opens its own participant's place and no other one, also not with a good token of another room.
func TestHostileIdentity(t *testing.T) {
	n := lab.StartNode(t)
	there := ticketFor(t, n, n.NewMeeting(t, "Another room", nil).ID)
	here := ticketFor(t, n, n.MeetingID)
	s, got := knock(t, n, there.JoinToken)
	if s == nil {
		t.Fatalf("upgrade: %+v", got)
	}
	if err := s.say(object{"type": wire.TypeHello, "id": "1", "participant_id": here.ParticipantID, "display_name": "M", "sdp_offer": ""}); err != nil {
		t.Fatal(err)
	}
	said, code := s.outcome(true)
	if said.Type != "error" || said.Code == "" || said.Code == "internal" {
		t.Errorf("a hello as somebody else was answered %+v, close %d", said, code)
	}
	newTable(t, "hello as a participant of another room", "answered "+said.Code)
}

// Who was removed does not come back with anything that they held.
func TestHostileReturnAfterRemoval(t *testing.T) {
	n := lab.StartNode(t)
	ticket := ticketFor(t, n, n.MeetingID)
	c, err := client.Connect(t.Context(), ticket, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	resume := ""
	for event := range c.Events() {
		if joined, ok := event.(client.Joined); ok {
			resume = joined.Snapshot.ResumeToken
			break
		}
	}
	path := fmt.Sprintf("/v1/meetings/%s/participants/%s/remove", n.MeetingID, ticket.ParticipantID)
	if status := n.Call(t, http.MethodPost, path, nil, nil); status >= 300 {
		t.Fatalf("POST %s = %d", path, status)
	}
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Error("the participant is still connected after removal")
	}
	figures := newTable(t, "held by who was removed", "answer", "code", "")
	for name, token := range map[string]string{"join token": ticket.JoinToken, "resume token": resume} {
		_, got := knock(t, n, token)
		want := answer{http.StatusForbidden, wire.CodeRemoved}
		figures.add(name, got.status, got.code, verdict(got == want))
		if got != want {
			t.Errorf("the %s: answer %+v, want %+v", name, got, want)
		}
	}
}

// offer is an SDP offer with that many m-lines, in which every one is as short as it can be.
func offer(mlines int) string {
	var sdp strings.Builder
	sdp.WriteString("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")
	for i := range mlines {
		fmt.Fprintf(&sdp, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:%d\r\n", i)
	}
	return sdp.String()
}

// Floods and bombs are answered by a clear error; the node does not grow, and nobody else notices.
func TestHostileMessages(t *testing.T) {
	const rounds = 10
	n := lab.StartNode(t)
	others := newBystanders(t, n)
	meeting := n.NewMeeting(t, "Under attack", map[string]any{"max_participants": 1000})
	hello := func(token client.Ticket, sdp string) object {
		return object{"type": wire.TypeHello, "id": "1", "participant_id": token.ParticipantID, "display_name": "M", "sdp_offer": sdp}
	}
	explosive := bomb(t)
	huge := bytes.Repeat([]byte("x"), 64<<20)
	deep := strings.Repeat("[", 50_000)
	figures := newTable(t, "attack", "answer", "close", "growth over all rounds", "longest silence for others", "")

	for _, tc := range []struct {
		name   string
		attack func(s *socket, ticket client.Ticket) error
		code   string // of the error
		closed int    // 0: the session goes on
	}{
		{"an offer with 10,000 m-lines", func(s *socket, ticket client.Ticket) error { return s.say(hello(ticket, offer(10_000))) }, "message_too_big", wire.CloseTooBig},
		{"an offer with as many as fit", func(s *socket, ticket client.Ticket) error { return s.say(hello(ticket, offer(2_400))) }, "bad_sdp", 0},
		{"an offer that is none", func(s *socket, ticket client.Ticket) error {
			return s.say(hello(ticket, strings.Repeat("a=\r\n", 9_000)))
		}, "bad_sdp", 0},
		{"a frame of 64 MB", func(s *socket, _ client.Ticket) error { return s.frame(fin|opText, huge) }, "message_too_big", wire.CloseTooBig},
		{"1 MB that inflates to 1 GB", func(s *socket, _ client.Ticket) error { return s.frame(fin|opText|deflate, explosive) }, "message_too_big", wire.CloseTooBig},
		{"JSON 50,000 deep", func(s *socket, _ client.Ticket) error {
			return s.frame(fin|opText, []byte(`{"type":"chat.message","id":"1","text":`+deep))
		}, "invalid_message", 0},
		{"a flood of messages", func(s *socket, _ client.Ticket) error {
			for range 1_000 {
				if err := s.say(object{"type": wire.TypePresenceUpdate, "hand_raised": true}); err != nil {
					return err
				}
			}
			return nil
		}, "rate_limited", wire.CloseRate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			round := func() (heard, int) {
				ticket := ticketFor(t, n, meeting.ID)
				s, got := knock(t, n, ticket.JoinToken)
				if s == nil {
					t.Fatalf("upgrade: %+v", got)
				}
				defer s.conn.Close()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					_ = tc.attack(s, ticket) // the node hangs up in the middle of it, and may
				}()
				said, closed := s.outcome(tc.closed == 0)
				s.conn.Close()
				<-sent
				return said, closed
			}
			round() // what is allocated once is not growth
			others.reset()
			before := n.RSS(t)
			var said heard
			var closed int
			for range rounds {
				said, closed = round()
			}
			grown := n.RSS(t) - before
			good := said.Code == tc.code && closed == tc.closed && grown < 48<<20
			figures.add(tc.name, said.Code, closed, fmt.Sprintf("%+.1f MB", float64(grown)/(1<<20)), others.undisturbed(t), verdict(good))
			if !good {
				t.Errorf("answer %q, close %d, want %q and %d; grown by %d bytes", said.Code, closed, tc.code, tc.closed, grown)
			}
			if !n.Running() {
				t.Fatal("the node has ended")
			}
		})
	}
	n.Stop(t)
}

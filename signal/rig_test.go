package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// smallBuffer keeps the kernel from hiding a slow reader behind megabytes.
const smallBuffer = 16 << 10

// rig is a Service behind a real HTTP server on loopback, with real tokens, and an SFU that the test plays.
type rig struct {
	t       *testing.T
	svc     *Service
	server  *httptest.Server
	keys    *grant.Keyring
	revoked *grant.Revocations
	media   *fakeMedia
	stop    context.CancelFunc
}

// rigOption changes what a rig is made of.
type rigOption func(*Config, *Deps)

func withConfig(change func(*Config)) rigOption {
	return func(c *Config, _ *Deps) { change(c) }
}

func newRig(t *testing.T, opts ...rigOption) *rig {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	keyConfig := grant.Defaults()
	keyConfig.KeyFile = filepath.Join(t.TempDir(), "key.json")
	keys, err := grant.New(keyConfig, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, keys: keys, revoked: grant.NewRevocations(nil, log), media: &fakeMedia{peers: map[string]*fakePeer{}}}
	cfg := Defaults()
	cfg.Origins = LoopbackOrigins()
	deps := Deps{
		Media: r.media, Speakers: NewSpeakers(), Bus: loneBus{}, Cluster: lone("n1"), Locator: lone("n1"), Keys: r.keys, Revoked: r.revoked, NodeID: "n1", Log: log,
	}
	for _, opt := range opts {
		opt(&cfg, &deps)
	}
	if ring, ok := deps.Keys.(*grant.Keyring); ok {
		r.keys = ring
	}
	if revoked, ok := deps.Revoked.(*grant.Revocations); ok {
		r.revoked = revoked
	}
	r.start(cfg, deps)
	return r
}

func (r *rig) start(cfg Config, deps Deps) {
	r.t.Helper()
	svc, err := New(cfg, deps)
	if err != nil {
		r.t.Fatal(err)
	}
	r.svc = svc
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	stopped := make(chan error, 1)
	go func() { stopped <- svc.Run(ctx) }()
	r.server = httptest.NewUnstartedServer(svc)
	r.server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetWriteBuffer(smallBuffer)
		}
		return ctx
	}
	r.server.Start()
	r.t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			r.t.Errorf("Run: %v", err)
		}
		r.server.CloseClientConnections()
		r.server.Close()
	})
}

// claims are those of a participant of the meeting that all tests share.
func claims(id string, role grant.Role, settings grant.Settings) grant.Claims {
	return grant.Claims{MeetingID: "mtg_1", ParticipantID: id, DisplayName: strings.ToUpper(id), Role: role, Settings: settings}
}

func (r *rig) token(c grant.Claims) string {
	r.t.Helper()
	token, _, err := r.keys.IssueJoin(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// connect opens a socket with a token and says nothing.
func (r *rig) connect(token string) *client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, r.server.URL, &websocket.DialOptions{ //nolint:bodyclose // it is the connection
		HTTPHeader:      http.Header{"Authorization": {"Bearer " + token}},
		CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		r.t.Fatalf("connect: %v (%v)", err, res)
	}
	return newClient(r.t, conn)
}

// join connects a participant, says hello without media and waits for the snapshot.
func (r *rig) join(id string, role grant.Role) *client {
	r.t.Helper()
	return r.joinWith(claims(id, role, grant.Settings{}))
}

func (r *rig) joinWith(c grant.Claims) *client {
	r.t.Helper()
	client := r.connect(r.token(c))
	client.hello(c.ParticipantID, "")
	client.snapshot = client.await(wire.TypeSnapshot)
	client.await(wire.TypeOK)
	return client
}

// client is one end of a socket.
type client struct {
	t        *testing.T
	conn     *websocket.Conn
	in       chan message
	kept     []message // passed over by request
	ended    chan struct{}
	code     websocket.StatusCode // valid once ended is closed
	requests int
	snapshot message
}

// message is one that a client received.
type message struct {
	wire.Envelope
	raw json.RawMessage
}

// read fills a struct of package wire from the message.
func (m message) read(t *testing.T, body any) {
	t.Helper()
	if err := json.Unmarshal(m.raw, body); err != nil {
		t.Fatalf("%s: %v", m.raw, err)
	}
}

func newClient(t *testing.T, conn *websocket.Conn) *client {
	conn.SetReadLimit(1 << 20)
	c := &client{t: t, conn: conn, in: make(chan message, 10_000), ended: make(chan struct{})}
	go c.listen()
	t.Cleanup(func() {
		conn.CloseNow()
		<-c.ended
	})
	return c
}

func (c *client) listen() {
	defer close(c.ended)
	defer close(c.in)
	for {
		_, data, err := c.conn.Read(context.Background())
		if err != nil {
			c.code = websocket.CloseStatus(err)
			return
		}
		m := message{raw: data}
		if err := json.Unmarshal(data, &m.Envelope); err != nil {
			c.t.Errorf("the server sent %q: %v", data, err)
			return
		}
		c.in <- m
	}
}

// send sends a message and returns its id.
func (c *client) send(typ string, body any) string {
	c.t.Helper()
	c.requests++
	id := fmt.Sprint("r", c.requests)
	data, err := wire.Encode(wire.Envelope{Type: typ, ID: id}, body)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(data)
	return id
}

func (c *client) write(data []byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, data); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) hello(id, sdp string, tracks ...wire.TrackHint) string {
	c.t.Helper()
	return c.send(wire.TypeHello, wire.Hello{ParticipantID: id, SDPOffer: sdp, Tracks: tracks})
}

// next is the next message.
func (c *client) next() (message, bool) {
	c.t.Helper()
	if len(c.kept) > 0 {
		m := c.kept[0]
		c.kept = c.kept[1:]
		return m, true
	}
	return c.receive("message")
}

func (c *client) receive(what string) (message, bool) {
	c.t.Helper()
	select {
	case m, ok := <-c.in:
		return m, ok
	case <-time.After(patience):
		c.t.Fatalf("no %s came", what)
		return message{}, false
	}
}

// await returns the next message of a type, and passes over others.
func (c *client) await(typ string) message {
	c.t.Helper()
	for {
		m, ok := c.next()
		if !ok {
			c.t.Fatalf("closed with %d while waiting for %s", c.code, typ)
		}
		if m.Type == typ {
			return m
		}
	}
}

// request sends a message and returns what answers it. What comes in between is kept for later.
func (c *client) request(typ string, body any) message {
	c.t.Helper()
	id := c.send(typ, body)
	for {
		m, ok := c.receive("answer to " + typ)
		if !ok {
			c.t.Fatalf("closed with %d while waiting for the answer to %s", c.code, typ)
		}
		if m.ReplyTo == id {
			return m
		}
		c.kept = append(c.kept, m)
	}
}

// ok expects a request to be answered by ok.
func (c *client) ok(typ string, body any) {
	c.t.Helper()
	if m := c.request(typ, body); m.Type != wire.TypeOK {
		c.t.Fatalf("%s was answered %s", typ, m.raw)
	}
}

// refused expects a request to be answered by an error with a code.
func (c *client) refused(code, typ string, body any) {
	c.t.Helper()
	c.isError(code, c.request(typ, body))
}

func (c *client) isError(code string, m message) {
	c.t.Helper()
	var e wire.Error
	m.read(c.t, &e)
	if m.Type != wire.TypeError || e.Code != code || e.Message == "" {
		c.t.Fatalf("got %s, want error %s", m.raw, code)
	}
}

// closedWith expects the socket to be closed with a code, and returns what came before.
func (c *client) closedWith(code int) []message {
	c.t.Helper()
	var before []message
	for {
		m, ok := c.next()
		if !ok {
			break
		}
		before = append(before, m)
	}
	<-c.ended
	if int(c.code) != code {
		c.t.Fatalf("closed with %d, want %d", c.code, code)
	}
	return before
}

// leave closes the socket the way a client does that goes for good.
func (c *client) leave() { c.conn.Close(websocket.StatusNormalClosure, "") }

// lose breaks the connection.
func (c *client) lose() { c.conn.CloseNow() }

// lone is a cluster of one node.
func lone(id string) *placement.Single {
	single, err := placement.NewSingle(placement.Node{ID: id, Region: "r", SFUEndpoint: "127.0.0.1:1", SignalEndpoint: "ws://127.0.0.1:1"})
	if err != nil {
		panic(err)
	}
	return single
}

// loneBus is the bus of a node without neighbours.
type loneBus struct{}

func (loneBus) Publish(string, []byte) error { return nil }

func (loneBus) Subscribe(string, func(string, []byte)) (func(), error) { return func() {}, nil }

func (loneBus) Request(context.Context, string, []byte) ([]byte, error) {
	return nil, fmt.Errorf("nobody is there")
}

func (loneBus) Serve(string, func(context.Context, []byte) ([]byte, error)) (func(), error) {
	return func() {}, nil
}

func (loneBus) Connected() bool { return true }

func (loneBus) Relinked() <-chan struct{} { return nil }

// fakeMedia is an SFU that keeps what it is told. Its peers publish at once whatever an offer names.
type fakeMedia struct {
	remote map[string]string // nodes of the remote tracks it was told of, guarded by mu

	mu    sync.Mutex
	peers map[string]*fakePeer // the newest by participant
	fail  error                // of every offer
	hold  chan struct{}        // offers wait for it, if it is not nil
}

type fakePeer struct {
	node.PeerConfig
	media *fakeMedia

	mu     sync.Mutex
	muted  map[node.Source]bool
	wish   node.Subscription
	offers int
	tracks []node.Track
	closed bool
	way    *node.Bandwidth // what is known of the way to it
}

// Bandwidth implements sfu.Measured.
func (p *fakePeer) Bandwidth() (b node.Bandwidth, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.way == nil {
		return b, false
	}
	return *p.way, true
}

func (f *fakeMedia) Join(cfg node.PeerConfig) (Peer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &fakePeer{PeerConfig: cfg, media: f, muted: map[node.Source]bool{}}
	f.peers[cfg.Participant] = p
	return p, nil
}

func (f *fakeMedia) AddRemote(_ string, t node.Track, from string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.remote == nil {
		f.remote = map[string]string{}
	}
	f.remote[t.ID] = from
}

func (f *fakeMedia) RemoveRemote(track string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.remote, track)
}

func (f *fakeMedia) MuteRemote(string, bool) {}

func (f *fakeMedia) peer(id string) *fakePeer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peers[id]
}

func (f *fakeMedia) behave() (hold chan struct{}, fail error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hold, f.fail
}

func (p *fakePeer) Offer(ctx context.Context, o node.Offer) (node.Answer, error) {
	hold, fail := p.media.behave()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return node.Answer{}, ctx.Err()
		}
	}
	answer := node.Answer{SDP: "answer to " + o.SDP}
	var tracks []node.Track
	for _, hint := range o.Tracks {
		if !o.Allow(hint.Source) {
			answer.Refused = append(answer.Refused, hint.MID)
			continue
		}
		id := "tr_" + p.Participant + "_" + hint.MID
		if i := slices.IndexFunc(o.Former, func(t node.Track) bool { return t.Source == hint.Source }); i >= 0 {
			id = o.Former[i].ID
		}
		tracks = append(tracks, node.Track{ID: id, ParticipantID: p.Participant, Kind: hint.Source.Kind(), Source: hint.Source})
	}
	if fail != nil {
		return node.Answer{}, fail
	}
	p.mu.Lock()
	p.offers++
	p.tracks = append(p.tracks, tracks...)
	answer.Tracks = slices.Clone(p.tracks)
	p.mu.Unlock()
	return answer, nil
}

func (p *fakePeer) Subscribe(s node.Subscription) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wish = s
	return nil
}

func (p *fakePeer) SetMuted(source node.Source, muted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted[source] = muted
}

func (p *fakePeer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// is looks at the peer under its lock.
func (p *fakePeer) is(look func(p *fakePeer) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return look(p)
}

// eventually waits until something that has no message of its own is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

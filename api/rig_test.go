package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal"
)

const (
	testKeyID  = "test-key"
	testSecret = "0123456789abcdef0123456789abcdef-and-more"
)

// allRights makes a token that may do everything.
var allRights = []string{
	rightCreate, rightRead, rightUpdate, rightEnd, rightDelete, rightJoin, rightHost, rightModerate, rightCluster, rightDrain,
}

// rig is a Server on a real port with a real bus and real keys; only the rooms are a fake.
type rig struct {
	t       testing.TB
	url     string
	server  *Server
	bus     *bus.Bus
	keys    *grant.Keyring
	revoked *grant.Revocations
	signal  *fakeSignal
	client  *http.Client
}

// option changes what a rig is built from.
type option func(*Config, *Deps)

func newRig(t testing.TB, options ...option) *rig {
	t.Helper()
	r := &rig{t: t, signal: &fakeSignal{}}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	r.startBus(ctx, run, log)
	cfg := Defaults()
	cfg.APIKeys = []APIKey{{ID: testKeyID, Secret: testSecret}}
	deps := Deps{
		Signal: r.signal, Keys: r.keys, Revoked: r.revoked, Bus: r.bus, Locator: oneNode{}, Log: log, Metrics: telemetry.Handler(),
	}
	for _, o := range options {
		o(&cfg, &deps)
	}
	var err error
	if r.server, err = New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + ln.Addr().String()
	run(r.server.Run)
	run(func(ctx context.Context) error { return r.server.Serve(ctx, ln) })
	transport := &http.Transport{MaxIdleConnsPerHost: 128}
	r.client = &http.Client{Transport: checkedTransport{t: t, base: transport}, Timeout: 20 * time.Second}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		wg.Wait()
	})
	if !deps.NoREST {
		r.awaitStore()
	}
	return r
}

// startBus runs an embedded NATS in a directory of the test's own, and the keys that live on it.
func (r *rig) startBus(ctx context.Context, run func(func(context.Context) error), log *slog.Logger) {
	r.t.Helper()
	cfg := bus.Defaults()
	cfg.DataDir = r.t.TempDir()
	var err error
	if r.bus, err = bus.New(cfg, log); err != nil {
		r.t.Fatal(err)
	}
	run(r.bus.Run)
	<-r.bus.Ready()
	keys, err := r.bus.Bucket(ctx, bus.BucketConfig{Name: "keys"})
	if err != nil {
		r.t.Fatal(err)
	}
	revocations, err := r.bus.Bucket(ctx, bus.BucketConfig{Name: "revocations"})
	if err != nil {
		r.t.Fatal(err)
	}
	grants := grant.Defaults()
	grants.KeyFile = r.t.TempDir() + "/key"
	if r.keys, err = grant.New(grants, keys, log); err != nil {
		r.t.Fatal(err)
	}
	r.revoked = grant.NewRevocations(revocations, log)
	run(r.keys.Run)
	run(r.revoked.Run)
}

// awaitStore asks until Run has opened the buckets.
func (r *rig) awaitStore() {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		if _, err := r.server.store.buckets(); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatal("the store was not opened")
		}
	}
}

// in is the rig inside of a subtest.
func (r *rig) in(t testing.TB) *rig {
	inner := *r
	inner.t = t
	return &inner
}

// answer is a response that was read.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// with changes a request before it is sent.
type with func(*http.Request)

func header(name, value string) with {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func bearer(token string) with { return header("Authorization", "Bearer "+token) }

// do sends a request; body is a string sent as it is, a value sent as JSON, or nil.
func (r *rig) do(method, path string, body any, changes ...with) answer {
	r.t.Helper()
	req := r.request(method, path, body)
	for _, change := range changes {
		change(req)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{t: r.t, status: resp.StatusCode, header: resp.Header, body: read}
}

func (r *rig) request(method, path string, body any) *http.Request {
	r.t.Helper()
	var sent io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		sent = strings.NewReader(v)
	default:
		encoded, err := json.Marshal(v)
		if err != nil {
			r.t.Fatal(err)
		}
		sent = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, r.url+path, sent)
	if err != nil {
		r.t.Fatal(err)
	}
	if sent != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

func (r *rig) get(path string, changes ...with) answer {
	r.t.Helper()
	return r.do(http.MethodGet, path, nil, changes...)
}

func (r *rig) post(path string, body any, changes ...with) answer {
	r.t.Helper()
	return r.do(http.MethodPost, path, body, changes...)
}

// create makes a meeting with a token that may do everything.
func (r *rig) create(body any, changes ...with) createdView {
	r.t.Helper()
	got := r.post("/v1/meetings", body, append([]with{bearer(r.token(allRights...))}, changes...)...)
	got.want(http.StatusCreated)
	var m createdView
	got.into(&m)
	return m
}

// object is a JSON object written in a test.
type object map[string]any

func (a answer) want(status int) {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status = %d, want %d\n%s", a.status, status, a.body)
	}
}

func (a answer) into(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%v\n%s", err, a.body)
	}
}

func (a answer) wantProblem(status int, code string) Problem {
	a.t.Helper()
	var p Problem
	a.want(status)
	a.into(&p)
	if p.Code != code || p.Status != status {
		a.t.Fatalf("problem = %d %s, want %d %s\n%s", p.Status, p.Code, status, code, a.body)
	}
	if p.RequestID == "" || p.RequestID != a.header.Get(telemetry.RequestIDHeader) {
		a.t.Errorf("request id = %q in the body, %q in the header", p.RequestID, a.header.Get(telemetry.RequestIDHeader))
	}
	return p
}

// token is a user token of ada with the rights.
func (r *rig) token(rights ...string) string {
	r.t.Helper()
	return r.tokenOf("ada", rights...)
}

func (r *rig) tokenOf(sub string, rights ...string) string {
	r.t.Helper()
	return sign(r.t, jwa.HS256, []byte(testSecret), object{"kid": testKeyID},
		object{"sub": sub, "exp": time.Now().Add(time.Hour).Unix(), "rights": rights})
}

// sign makes a compact JWS of the claims.
func sign(t testing.TB, alg jwa.SignatureAlgorithm, key any, header, claims object) string {
	t.Helper()
	tok := jwt.New()
	for name, value := range claims {
		if err := tok.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	h := jws.NewHeaders()
	for name, value := range header {
		if err := h.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := jwt.Sign(tok, jwt.WithKey(alg, key, jws.WithProtectedHeaders(h)))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// testWriter shows the server's log with the test's.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// oneNode is the locator of a cluster of one.
type oneNode struct{}

func (oneNode) Candidates(context.Context, JoinRequest) ([]grant.Candidate, error) {
	return []grant.Candidate{{Node: "n1", Region: "here", SFUEndpoint: "127.0.0.1:7881", SignalEndpoint: "ws://127.0.0.1:7880/v1/signal"}}, nil
}

func (oneNode) Regions() []Region {
	return []Region{{Name: "here", ProbeURL: "http://127.0.0.1:7880/livez"}}
}

// locate is a locator made of a function.
type locate func(context.Context, JoinRequest) ([]grant.Candidate, error)

func (f locate) Candidates(ctx context.Context, req JoinRequest) ([]grant.Candidate, error) {
	return f(ctx, req)
}

func (locate) Regions() []Region { return nil }

// fakeSignal records what the API asks of rooms, and answers what the test says.
type fakeSignal struct {
	mu      sync.Mutex // protects following
	calls   []string
	present []signal.Participant
	locked  bool
	seated  map[string]int
	expects []string
	err     error
	granted grant.Settings
	serve   http.HandlerFunc
}

func (f *fakeSignal) record(call ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join(call, " "))
	return f.err
}

// took returns the calls since it was last asked.
func (f *fakeSignal) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func (f *fakeSignal) set(change func(*fakeSignal)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeSignal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	serve := f.serve
	f.mu.Unlock()
	if serve != nil {
		serve(w, r)
	}
}

// Expect is not among the calls: every join makes one.
func (f *fakeSignal) Expect(m string, s grant.Settings, endpoint string) {
	call := strings.Join([]string{m, strconv.Itoa(s.MaxParticipants), endpoint}, " ")
	f.set(func(f *fakeSignal) { f.expects = append(f.expects, call) })
}

func (f *fakeSignal) Presence(context.Context, string) ([]signal.Participant, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.present, f.locked, nil
}

func (f *fakeSignal) Locked(string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.locked
}

func (f *fakeSignal) People() (n int) {
	for _, people := range f.Occupancy() {
		n += people
	}
	return n
}

func (f *fakeSignal) Occupancy() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.seated)
}

func (f *fakeSignal) Admit(_ context.Context, m, p string) error  { return f.record("admit", m, p) }
func (f *fakeSignal) Deny(_ context.Context, m, p string) error   { return f.record("deny", m, p) }
func (f *fakeSignal) Remove(_ context.Context, m, p string) error { return f.record("remove", m, p) }
func (f *fakeSignal) End(_ context.Context, m string) error       { return f.record("end", m) }

func (f *fakeSignal) Mute(_ context.Context, m, p, source string) error {
	return f.record("mute", m, p, source)
}

func (f *fakeSignal) SetLocked(_ context.Context, m string, locked bool) error {
	f.set(func(f *fakeSignal) { f.locked = locked })
	return f.record("lock", m)
}

func (f *fakeSignal) SetSettings(_ context.Context, m string, s grant.Settings) error {
	f.set(func(f *fakeSignal) { f.granted = s })
	return f.record("settings", m)
}

var errNoSuchParticipant = &node.Error{Kind: node.NotFound, Code: "not_found", Say: "There is no such participant in the room.", Err: errors.New("test")}

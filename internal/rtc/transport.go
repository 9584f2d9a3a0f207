package rtc

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// Handler takes what a transport receives. RTP and RTCP run on the goroutine that read the socket, and packets they queue on out leave
// when the reader has worked off what it read. Connected and Disconnected run there too, on the transport's own goroutine or on that
// which sends the endpoint's checks. None of them may block, or close the transport.
type Handler interface {
	// Wants says whether packets of an SSRC are worth decrypting; header is the packet's clear part. It bounds how many
	// SSRCs a remote can make this node keep state for.
	Wants(h *packet.Header, b []byte) bool
	// RTP has packets of one remote in the order they came. The handler owns one reference of each and releases it; the
	// slice itself is the transport's.
	RTP(run []*packet.Packet, out *udp.Batch)
	// RTCP has one decrypted compound packet, valid during the call.
	RTCP(b []byte, out *udp.Batch)
	// Connected comes when media can flow: at first, and after every restart, silence or change of the remote's address.
	Connected()
	// Disconnected comes when the remote has gone silent, or the handshake has failed. After silence Connected may follow.
	Disconnected(err error)
}

// Remote is what an offer says of the other end.
type Remote struct {
	Ufrag, Password string // its ICE credentials
	Fingerprint     Fingerprint
}

// The reasons for Handler.Disconnected.
var (
	ErrSilent = errors.New("the remote has gone silent")
	ErrClosed = errors.New("the remote has closed the connection")
)

var errOver = errors.New("transport: closed")

// Transport is one remote: an ICE agent, a DTLS handshake and the SRTP keys that came of it. It is safe for concurrent
// use; its owner calls Close. A client's has no goroutine while nothing but media comes.
type Transport struct {
	// What each packet sent needs comes first, in one cache line.
	e         *Endpoint
	remote    atomic.Pointer[destination] // nil until an address has answered a check
	keys      atomic.Pointer[crypto]      // nil until the handshake is over
	sentMedia atomic.Bool                 // since the last Sent
	sentOther atomic.Bool                 // likewise; control packets

	handler Handler
	log     *slog.Logger
	dtls    *handshakeConn
	chosen  chan struct{} // closed once remote is set for the first time
	once    sync.Once

	consent atomic.Int64           // when remote last answered a check, by Endpoint.Now
	alive   atomic.Int64           // when a check or an answer last came from it, likewise
	rtt     atomic.Int64           // nanoseconds that the last answer took; 0: none came
	agreed  atomic.Pointer[source] // where media goes, or went last; nil: nowhere yet
	lost    atomic.Bool            // remote was given up for want of consent
	renewed atomic.Bool            // the handler does not know yet that media can flow: at first, after silence, a restart or a change of address
	wanted  atomic.Pointer[source] // what has been nominated since, which has yet to answer
	settled atomic.Bool            // a client's media has come: it needs nothing more of the handshake

	client   bool                             // goes to the remote, rather than being gone to; set before the transport starts
	converse func(conn net.Conn, client bool) // nil of a client's transport

	bindings []source // addresses that lead here, oldest first; guarded by the endpoint's mutex

	work sync.WaitGroup // of run and listen; added to under mu, and never once closed

	mu      sync.Mutex
	agent   *agent
	former  *agent // of before a restart that has not come to anything yet; nil: there is none
	expect  Remote
	started bool
	closed  bool
	early   [][]byte // media that came before the handshake was over
	cancel  context.CancelFunc
	resting *dtls.State // of a handshake that nobody reads for; nil: somebody does, or nobody ever will
}

// destination is where a transport sends: an address, or a TCP connection.
type destination struct {
	addr udp.Addr
	tcp  *udp.FramedConn
}

// maxEarly bounds what is kept of a remote that sends media before the handshake is over on this end.
const maxEarly = 32

// NewTransport makes a transport for one remote. It connects to nothing until Start.
//
// With converse the remote is another server, not a client. Converse speaks with it over DTLS itself once the handshake is over,
// until it returns or the transport closes conn. Its owner must find silence by other means: ICE checks only rarely
// whether such a remote is still there, and never takes it for gone.
func (e *Endpoint) NewTransport(h Handler, converse func(conn net.Conn, client bool), log *slog.Logger) (*Transport, error) {
	t := &Transport{e: e, handler: h, converse: converse, log: log, chosen: make(chan struct{})}
	t.renewed.Store(true)
	t.consent.Store(e.Now())
	t.dtls = newHandshakeConn(t)
	e.keep(t)
	return t, t.renew()
}

// renew gives this end new ICE credentials. The last ones that led to a path stay good until these have: a client that changes
// networks goes on over the old path's socket, and may have done so before it can make another one.
func (t *Transport) renew() error {
	now := newAgent(t)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errOver
	}
	before := t.agent
	t.agent = now
	if before != nil && t.e.mux.works(before) {
		before, t.former = t.former, before
	}
	t.e.mux.remove(before)
	t.e.mux.add(now)
	return nil
}

// supersede ends the former agent once the present one has a path.
func (t *Transport) supersede(by *agent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.former != nil && t.agent == by {
		t.e.mux.remove(t.former)
		t.former = nil
	}
}

// present is the agent since the last restart.
func (t *Transport) present() *agent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.agent
}

// Local returns this end's ICE credentials.
func (t *Transport) Local() (ufrag, password string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return "", "", errOver
	}
	return t.agent.ufrag, t.agent.secret, nil
}

// Start lets the remote connect. Candidates that it names are not asked for: its own checks show where it is.
func (t *Transport) Start(remote Remote) error { return t.start(remote, nil) }

// Connect goes to a remote that has called Start and listens at addr: this end controls ICE and is the client of DTLS.
func (t *Transport) Connect(remote Remote, addr netip.AddrPort) error {
	to := source{addr: udp.AddrFrom(addr)}
	if !to.addr.IsValid() {
		return fmt.Errorf("connect to %s: no address", addr)
	}
	return t.start(remote, &to)
}

// start begins to answer the remote, or goes to it.
func (t *Transport) start(remote Remote, to *source) error {
	t.mu.Lock()
	if t.started || t.closed {
		t.mu.Unlock()
		return errors.New("transport: started before")
	}
	t.started, t.expect, t.client = true, remote, to != nil
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	a := t.agent
	t.work.Go(func() { t.run(ctx) })
	t.mu.Unlock()
	t.consent.Store(t.e.Now())
	t.wanted.Store(to)
	t.e.mux.learn(a, remote, to != nil)
	if to != nil {
		t.e.mux.dial(a, *to)
	}
	return nil
}

// Restart begins an ICE restart (RFC 8445 section 9) with the remote's new credentials. Media goes on over the old path
// until a new one has proved itself. Local has new credentials afterwards.
func (t *Transport) Restart(remote Remote) error {
	t.renewed.Store(true)
	if err := t.renew(); err != nil {
		return fmt.Errorf("restart ICE: %w", err)
	}
	t.mu.Lock()
	now, former := t.agent, t.former
	t.mu.Unlock()
	t.e.mux.learn(now, remote, t.client)
	if former != nil {
		t.e.mux.bequeath(former, remote)
	}
	return nil
}

// run owns the handshake, and then waits for the remote to close, or to show that DTLS can rest.
func (t *Transport) run(ctx context.Context) {
	select {
	case <-t.chosen:
	case <-ctx.Done():
		return
	}
	conn, err := t.handshake(ctx)
	if err != nil {
		if ctx.Err() == nil {
			t.handler.Disconnected(fmt.Errorf("DTLS: %w", err))
		}
		return
	}
	stop := context.AfterFunc(ctx, t.dtls.end)
	defer stop()
	t.connected()
	if t.converse != nil {
		t.e.mux.relax(t.present()) // checks only measure the round trip from now on
		t.converse(conn, t.client)
	} else {
		discard(conn)
	}
	switch {
	case ctx.Err() != nil:
	case t.settled.Load() && !t.dtls.left():
		t.rest(conn)
		return
	default:
		t.handler.Disconnected(ErrClosed)
	}
	if err := conn.Close(); err != nil {
		t.log.Debug("close DTLS", "error", err)
	}
}

// discard reads until the remote closes, or reading is ended: it has nothing to say here, and no warning of it ends anything.
func discard(conn net.Conn) {
	buf := make([]byte, maxDatagram)
	for {
		if _, err := conn.Read(buf); errors.Is(err, io.EOF) {
			return
		}
	}
}

func (t *Transport) handshake(ctx context.Context) (*dtls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	t.mu.Lock()
	want := t.expect.Fingerprint
	t.mu.Unlock()
	t.dtls.gate.client = t.client
	t.dtls.gate.expect = func(certificate []byte) bool { return want.verify([][]byte{certificate}) == nil }
	conn, err := t.shake(ctx, want)
	for err != nil && ctx.Err() == nil && t.dtls.gate.superseded() {
		t.dtls.begin()
		conn, err = t.shake(ctx, want)
	}
	if err != nil && t.dtls.gate.mistaken() {
		return nil, errors.Join(errFingerprint, err)
	}
	if err != nil {
		return nil, err
	}
	t.dtls.gate.secure()
	state, ok := conn.ConnectionState()
	profile, chosen := conn.SelectedSRTPProtectionProfile()
	if !ok || !chosen {
		return nil, errors.Join(errNoSRTP, conn.Close())
	}
	keys, err := newCrypto(&state, profile, t.client)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	t.unlock(keys)
	return conn, nil
}

// shake tries once.
func (t *Transport) shake(ctx context.Context, want Fingerprint) (*dtls.Conn, error) {
	conn, err := t.endOfDTLS(want)
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// options are those of every DTLS connection.
func (t *Transport) options() []dtls.Option {
	return []dtls.Option{
		dtls.WithCertificates(t.e.certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true), // there is no authority: the fingerprint decides
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(t.e.quiet),
	}
}

// endOfDTLS makes this end of the handshake.
func (t *Transport) endOfDTLS(want Fingerprint) (*dtls.Conn, error) {
	both := append(t.options(), dtls.WithVerifyPeerCertificate(func(chain [][]byte, _ [][]*x509.Certificate) error {
		return want.verify(chain)
	}))
	if t.client {
		options := make([]dtls.ClientOption, 0, len(both))
		for _, o := range both {
			options = append(options, o)
		}
		return dtls.ClientWithOptions(t.dtls, t.dtls.remoteAddr(), options...)
	}
	options := []dtls.ServerOption{
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true), // ICE has proved the address: a cookie would cost a round trip
	}
	for _, o := range both {
		options = append(options, o)
	}
	return dtls.ServerWithOptions(t.dtls, t.dtls.remoteAddr(), options...)
}

// unlock makes the keys known and works off what came too early.
func (t *Transport) unlock(keys *crypto) {
	t.mu.Lock()
	early := t.early
	t.early = nil
	t.keys.Store(keys)
	t.mu.Unlock()
	r := t.e.takeReader()
	for _, b := range early {
		r.media(t, b)
	}
	r.flush()
	t.e.idle.Put(r)
}

// hold keeps a packet that came before the keys. It returns the keys when they have come meanwhile.
func (t *Transport) hold(b []byte) *crypto {
	t.mu.Lock()
	defer t.mu.Unlock()
	if keys := t.keys.Load(); keys != nil {
		return keys
	}
	if len(t.early) < maxEarly && t.started {
		t.early = append(t.early, append([]byte(nil), b...))
	}
	return nil
}

// Ready reports whether packets can be sent now.
func (t *Transport) Ready() bool { return t.keys.Load() != nil && t.remote.Load() != nil }

// RoundTrip is the time to the remote and back as connectivity checks last measured it; 0 when they have not.
func (t *Transport) RoundTrip() time.Duration { return time.Duration(t.rtt.Load()) }

// Behind is how old what this node reads at this moment is: whatever came since has not been seen. It is 0 while everything has been read.
func (t *Transport) Behind() time.Duration { return t.e.shards.Behind() }

// Over names the way media takes now: "udp", "tcp", or "" before there is one.
func (t *Transport) Over() string {
	switch r := t.remote.Load(); {
	case r == nil:
		return ""
	case r.tcp != nil:
		return "tcp"
	}
	return "udp"
}

// Reserve returns memory in out for an RTP packet of at most n bytes, to be given to Send.
func (t *Transport) Reserve(out *udp.Batch, n int) []byte { return out.Reserve(n + sealOverhead)[:n] }

// Send seals the RTP packet buf[:n], which came from Reserve, and queues it on out. Without keys or a path it is lost, as
// it would be on the network. It returns the bytes put on the wire.
func (t *Transport) Send(out *udp.Batch, s *Stream, buf []byte, headerLen, n int) int {
	keys, remote := t.keys.Load(), t.remote.Load()
	if keys == nil || remote == nil {
		return 0
	}
	n = keys.seal(s, buf[:n:n+sealOverhead], headerLen, n)
	switch {
	case n == 0:
		return 0
	case remote.tcp != nil:
		if !remote.tcp.WriteFrame(buf[:n]) {
			return 0
		}
	default:
		out.Queue(n, remote.addr)
	}
	mark(&t.sentMedia)
	return n
}

// mark sets a flag. Nearly always it is set already, and is not written then.
func mark(flag *atomic.Bool) {
	if !flag.Load() {
		flag.Store(true)
	}
}

// Sent reports whether RTP, and whether RTCP, was sent since it was last called. It is for one caller.
func (t *Transport) Sent() (media, control bool) {
	return t.sentMedia.Swap(false), t.sentOther.Swap(false)
}

// SendRTCP seals one compound packet and sends it at once.
func (t *Transport) SendRTCP(b []byte) error {
	keys := t.keys.Load()
	if keys == nil {
		return errNoSRTP
	}
	sealed, err := keys.sealRTCP(b)
	if err != nil {
		return fmt.Errorf("seal RTCP: %w", err)
	}
	mark(&t.sentOther)
	_, err = t.write(sealed)
	return err
}

// write sends one datagram at once.
func (t *Transport) write(b []byte) (int, error) {
	remote := t.remote.Load()
	switch {
	case remote == nil:
		return len(b), nil // lost, as on a network
	case remote.tcp != nil:
		remote.tcp.WriteUrgent(b)
		return len(b), nil
	}
	return t.e.conn.WriteTo(b, remote.addr)
}

// Close tells the remote, ends everything that the transport runs and waits for it. Closing again does nothing.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	cancel, last, former := t.cancel, t.agent, t.former
	t.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	t.dtls.end()
	t.work.Wait()
	t.farewell()
	t.remote.Store(nil)
	t.e.mux.remove(former)
	t.e.mux.remove(last)
	t.e.forget(t)
	return nil
}

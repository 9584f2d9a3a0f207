package rtc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// startEndpoint runs an endpoint until the test ends.
func startEndpoint(tb testing.TB, listen string) *Endpoint {
	tb.Helper()
	return startEndpointWith(tb, listen, func(*Config) {})
}

func startEndpointWith(tb testing.TB, listen string, change func(*Config)) *Endpoint {
	tb.Helper()
	cfg := Defaults()
	cfg.Listen = listen
	change(&cfg)
	e, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return e
}

// listener notes what a transport tells its owner.
type listener struct {
	connected    chan struct{}
	disconnected chan error
	rtp          atomic.Int64
}

func newListener() *listener {
	return &listener{connected: make(chan struct{}, 64), disconnected: make(chan error, 64)}
}

func (*listener) Wants(*packet.Header, []byte) bool { return true }
func (*listener) RTCP([]byte, *udp.Batch)           {}

// Neither blocks, as a Handler must not: who moves often is told of as often.
func (l *listener) Connected()             { put(l.connected, struct{}{}) }
func (l *listener) Disconnected(err error) { put(l.disconnected, err) }

func (l *listener) RTP(run []*packet.Packet, _ *udp.Batch) {
	for _, p := range run {
		l.rtp.Add(1)
		p.Release()
	}
}

// line is one way of a caller to the server: a UDP socket or a TCP connection.
type line interface {
	send(b []byte)
	receive() ([]byte, error)
	io.Closer
}

type udpLine struct{ *net.UDPConn }

func (l udpLine) send(b []byte) { _, _ = l.Write(b) }
func (l udpLine) receive() ([]byte, error) {
	b := make([]byte, 2000)
	n, err := l.Read(b)
	return b[:n], err
}

type tcpLine struct{ net.Conn }

func (l tcpLine) send(b []byte) {
	_, _ = l.Write(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...))
}

func (l tcpLine) receive() ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(l, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(l, b)
	return b, err
}

// caller is a client made by hand, which can do what no client would do.
type caller struct {
	tb        testing.TB
	e         *Endpoint
	transport *Transport
	heard     *listener
	mute      atomic.Bool // answers no checks

	mu              sync.Mutex
	now             line // what it sends over
	lines           []line
	ufrag, password string // its own
	theirs, secret  string // the server's
	wg              sync.WaitGroup

	answers chan []byte // the server's responses
	dtls    chan []byte
	media   chan time.Time // when SRTP came
	checks  atomic.Int64   // the server's
	keys    *crypto
	conn    *dtls.Conn
	stream  Stream
	out     *udp.Batch
	seq     uint16
	deck    Stream // of the caller's own packets
}

func newCaller(tb testing.TB, e *Endpoint) *caller {
	tb.Helper()
	c := &caller{
		tb: tb, e: e, heard: newListener(), ufrag: "clnt", password: "client-password-of-22-characters",
		answers: make(chan []byte, 256), dtls: make(chan []byte, 256), media: make(chan time.Time, 4096), out: e.NewBatch(),
		stream: Stream{SSRC: 1}, deck: Stream{SSRC: 2},
	}
	var err error
	if c.transport, err = e.NewTransport(c.heard, nil, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	c.learn()
	tb.Cleanup(c.close)
	return c
}

func (c *caller) learn() {
	ufrag, password, err := c.transport.Local()
	if err != nil {
		c.tb.Fatal(err)
	}
	c.mu.Lock()
	c.theirs, c.secret = ufrag, password
	c.mu.Unlock()
}

func (c *caller) close() {
	_ = c.transport.Close()
	c.mu.Lock()
	for _, l := range c.lines {
		_ = l.Close()
	}
	c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.wg.Wait()
}

// dial opens another line and sends over it from now on.
func (c *caller) dial(tcp bool) line {
	c.tb.Helper()
	var l line
	at := c.e.Addr()
	if at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
	}
	if tcp {
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			c.tb.Fatal(err)
		}
		l = tcpLine{conn}
	} else {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
		if err != nil {
			c.tb.Fatal(err)
		}
		l = udpLine{conn}
	}
	c.mu.Lock()
	c.now, c.lines = l, append(c.lines, l)
	c.mu.Unlock()
	c.wg.Go(func() { c.listen(l) })
	return l
}

func (c *caller) send(b []byte) {
	c.mu.Lock()
	l := c.now
	c.mu.Unlock()
	l.send(b)
}

func (c *caller) listen(l line) {
	for {
		b, err := l.receive()
		if err != nil {
			return
		}
		switch {
		case len(b) == 0:
		case b[0] == 0 && b[1] == 1:
			c.checks.Add(1)
			if !c.mute.Load() {
				l.send(c.response(b))
			}
		case b[0] < 4:
			put(c.answers, b)
		case b[0] >= 20 && b[0] < 64:
			put(c.dtls, b)
		default:
			put(c.media, time.Now())
		}
	}
}

func put[T any](to chan T, v T) {
	select {
	case to <- v:
	default:
	}
}

// check is a signed check, as the client's agent would send it.
func (c *caller) check(nominate bool) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return checkFor(c.tb, c.theirs+":"+c.ufrag, c.secret, nominate)
}

func checkFor(tb testing.TB, username, password string, nominate bool) []byte {
	tb.Helper()
	setters := []stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(username),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{110, 0, 30, 255}},
	}
	if nominate {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrUseCandidate})
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(password), stun.Fingerprint)...)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Raw
}

func (c *caller) response(request []byte) []byte {
	m := &stun.Message{Raw: request}
	if err := m.Decode(); err != nil {
		return nil
	}
	c.mu.Lock()
	password := c.password
	c.mu.Unlock()
	r, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(127, 0, 0, 1), Port: 9},
		stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		return nil
	}
	return r.Raw
}

// agree checks until the server has chosen the caller's line.
func (c *caller) agree() {
	c.tb.Helper()
	for range 200 {
		c.send(c.check(true))
		if wait(50*time.Millisecond, func() bool { return c.transport.goesTo(c.source()) }) {
			return
		}
	}
	c.tb.Fatal("the server has not chosen the caller's address")
}

// source is where the caller is, as the server sees it.
func (c *caller) source() source {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sourceOfLine(c.now)
}

func sourceOfLine(l line) source {
	switch l := l.(type) {
	case udpLine:
		return source{addr: udp.AddrFrom(l.LocalAddr().(*net.UDPAddr).AddrPort())}
	case tcpLine:
		ap := l.LocalAddr().(*net.TCPAddr).AddrPort()
		return source{addr: udp.AddrFrom(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())), tcp: true}
	}
	return source{}
}

// wait looks every now and then for what is to come.
func wait(limit time.Duration, come func() bool) bool {
	for deadline := time.Now().Add(limit); ; {
		if come() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(500 * time.Microsecond)
	}
}

// start begins the call with the fingerprint of a certificate, which it returns.
func (c *caller) start(announce *Fingerprint) []dtls.ClientOption {
	c.tb.Helper()
	certificate, err := newCertificate()
	if err != nil {
		c.tb.Fatal(err)
	}
	fingerprint := fingerprintOf(certificate.Certificate[0])
	if announce != nil {
		fingerprint = *announce
	}
	if err := c.transport.Start(Remote{Ufrag: c.ufrag, Password: c.password, Fingerprint: fingerprint}); err != nil {
		c.tb.Fatal(err)
	}
	return []dtls.ClientOption{
		dtls.WithCertificates(certificate), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret), dtls.WithInsecureSkipVerify(true),
		dtls.WithFlightInterval(50 * time.Millisecond),
	}
}

// handshake shakes hands and takes the keys.
func (c *caller) handshake(options []dtls.ClientOption) error {
	conn, err := dtls.ClientWithOptions(&callerDTLS{c: c, closed: make(chan struct{})}, &net.UDPAddr{}, options...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return errors.Join(err, conn.Close())
	}
	c.conn = conn
	state, _ := conn.ConnectionState()
	c.keys, err = newCrypto(&state, dtls.SRTP_AEAD_AES_128_GCM, true)
	return err
}

// connect makes the whole call.
func (c *caller) connect(tcp bool) {
	c.tb.Helper()
	c.dial(tcp)
	options := c.start(nil)
	c.agree()
	if err := c.handshake(options); err != nil {
		c.tb.Fatal(err)
	}
	<-c.heard.connected
}

// get has the server send one packet, and reports whether the caller receives it.
func (c *caller) get(within time.Duration) bool {
	for len(c.media) > 0 {
		<-c.media
	}
	c.serve()
	select {
	case <-c.media:
		return true
	case <-time.After(within):
		return false
	}
}

// serve has the server send one packet.
func (c *caller) serve() {
	buf := c.transport.Reserve(c.out, 100)
	c.seq++
	header := [12]byte{0x80, 96, byte(c.seq >> 8), byte(c.seq), 0, 0, 0, 0, 0, 0, 0, 1}
	copy(buf, header[:])
	c.transport.Send(c.out, &c.stream, buf, len(header), 100)
	_ = c.out.Flush()
}

// speak sends one packet to the server, and returns it.
func (c *caller) speak() []byte {
	c.deck.highest++
	buf := make([]byte, 100, 200)
	copy(buf, []byte{0x80, 96, byte(c.deck.highest >> 8), byte(c.deck.highest), 0, 0, 0, 0, 0, 0, 0, 2})
	c.deck.started = true
	b := buf[:c.keys.seal(&c.deck, buf, 12, 100)]
	c.send(b)
	return b
}

// callerDTLS is what the caller's DTLS runs over.
type callerDTLS struct {
	c        *caller
	mu       sync.Mutex
	deadline time.Time
	once     sync.Once
	closed   chan struct{}
}

func (d *callerDTLS) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		d.mu.Lock()
		deadline := d.deadline
		d.mu.Unlock()
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, nil, os.ErrDeadlineExceeded
		}
		select {
		case p := <-d.c.dtls:
			return copy(b, p), &net.UDPAddr{}, nil
		case <-time.After(5 * time.Millisecond): // the deadline may have changed
		case <-d.closed:
			return 0, nil, net.ErrClosed
		}
	}
}

func (d *callerDTLS) WriteTo(b []byte, _ net.Addr) (int, error) {
	d.c.send(append([]byte(nil), b...))
	return len(b), nil
}

func (d *callerDTLS) Close() error                   { d.once.Do(func() { close(d.closed) }); return nil }
func (*callerDTLS) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (d *callerDTLS) SetDeadline(t time.Time) error  { return d.SetReadDeadline(t) }
func (*callerDTLS) SetWriteDeadline(time.Time) error { return nil }
func (d *callerDTLS) SetReadDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deadline = t
	return nil
}

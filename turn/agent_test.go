package turn

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// agent is a client of the test's own: it says whatever it is told to, right or wrong.
type agent struct {
	t        testing.TB
	conn     net.Conn
	user     string
	password string
	nonce    []byte
	realm    []byte
	data     [][]byte // ChannelData and indications that came while it waited for an answer
}

// answer is what a request came to.
type answer struct {
	class  uint16
	code   int // of an error
	signed bool
	attrs  map[uint16][]byte
	size   int
}

func (a answer) String() string {
	if a.class == classSuccess {
		return "success"
	}
	return fmt.Sprint("error ", a.code)
}

func newAgent(t testing.TB, r *rig, network, participant string) *agent {
	t.Helper()
	user, password := r.credential(participant)
	return dialAgent(t, network, r.Addr().String(), user, password)
}

func dialAgent(t testing.TB, network, address, user, password string) *agent {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &agent{t: t, conn: conn, user: user, password: password}
}

func (a *agent) key() []byte {
	key := md5.Sum([]byte(a.user + ":" + string(a.realm) + ":" + a.password))
	return key[:]
}

// ask makes a request and goes through the challenge if there is one.
func (a *agent) ask(method uint16, attrs func(*writer)) answer {
	a.t.Helper()
	for range 3 {
		got, ok := a.once(method, attrs, time.Second)
		if !ok {
			a.t.Fatalf("method %d: no answer", method)
		}
		if got.code != codeUnauthorized && got.code != codeStaleNonce || got.attrs[attrNonce] == nil || string(a.nonce) == string(got.attrs[attrNonce]) {
			return got
		}
		a.nonce, a.realm = got.attrs[attrNonce], got.attrs[attrRealm]
	}
	return answer{code: codeUnauthorized, class: classError}
}

// once makes a request, and again each time that no answer comes; ok is false when none comes at all.
func (a *agent) once(method uint16, attrs func(*writer), within time.Duration) (got answer, ok bool) {
	a.t.Helper()
	w := newWriter(nil, method, classRequest, randomTransaction())
	if attrs != nil {
		attrs(w)
	}
	if a.nonce != nil {
		w.attr(attrUsername, []byte(a.user))
		w.attr(attrRealm, a.realm)
		w.attr(attrNonce, a.nonce)
		w.sign(a.key())
	}
	request := w.bytes()
	a.write(request)
	deadline := time.Now().Add(within)
	for {
		b, ok := a.read(time.Until(deadline))
		if !ok {
			return answer{}, false
		}
		if isChannelData(b) || binary.BigEndian.Uint16(b)&classMask == classIndication {
			a.data = append(a.data, b)
			continue
		}
		if string(b[8:headerSize]) == string(request[8:headerSize]) {
			return a.understand(b), true
		}
	}
}

func (a *agent) understand(b []byte) answer {
	m, ok := parseMessage(b)
	if !ok {
		a.t.Fatalf("the answer is no message: %x", b)
	}
	got := answer{class: m.class, attrs: map[uint16][]byte{}, size: len(b), signed: m.integrity != 0 && m.signed(a.key())}
	eachAttribute(b, func(attr uint16, v []byte) { got.attrs[attr] = v })
	if v := got.attrs[attrErrorCode]; len(v) >= 4 {
		got.code = int(v[2])*100 + int(v[3])
	}
	return got
}

func (a *agent) write(b []byte) {
	a.t.Helper()
	if _, err := a.conn.Write(b); err != nil {
		a.t.Fatal(err)
	}
}

// read returns the next message.
func (a *agent) read(within time.Duration) ([]byte, bool) {
	a.t.Helper()
	a.conn.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 4096)
	if _, ok := a.conn.(*net.UDPConn); ok {
		n, err := a.conn.Read(b)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			a.t.Logf("read: %v", err)
		}
		return b[:n], err == nil && n >= 4
	}
	if _, err := io.ReadFull(a.conn, b[:4]); err != nil {
		return nil, false
	}
	_, padded := frameSize(b[:4])
	if _, err := io.ReadFull(a.conn, b[4:padded]); err != nil {
		return nil, false
	}
	return b[:padded], true
}

// receive returns the next data from a peer, whatever it came in.
func (a *agent) receive(within time.Duration) ([]byte, bool) {
	a.t.Helper()
	if len(a.data) == 0 {
		b, ok := a.read(within)
		if !ok {
			return nil, false
		}
		a.data = append(a.data, b)
	}
	b := a.data[0]
	a.data = a.data[1:]
	if isChannelData(b) {
		return b[channelHdr : channelHdr+int(binary.BigEndian.Uint16(b[2:]))], true
	}
	m, ok := parseMessage(b)
	return m.data, ok && m.hasData && len(m.peers) == 1
}

func (a *agent) allocate(more ...func(*writer)) answer {
	a.t.Helper()
	return a.ask(methodAllocate, func(w *writer) {
		w.attr(attrTransport, []byte{transportUDP, 0, 0, 0})
		for _, f := range more {
			f(w)
		}
	})
}

func (a *agent) permit(peers ...netip.AddrPort) answer {
	a.t.Helper()
	return a.ask(methodCreatePermission, func(w *writer) {
		for _, p := range peers {
			w.address(attrPeerAddress, p)
		}
	})
}

func (a *agent) bind(channel uint16, peer netip.AddrPort) answer {
	a.t.Helper()
	return a.ask(methodChannelBind, func(w *writer) {
		w.attr32(attrChannelNumber, uint32(channel)<<16)
		w.address(attrPeerAddress, peer)
	})
}

func (a *agent) refresh(lifetime time.Duration) answer {
	a.t.Helper()
	return a.ask(methodRefresh, func(w *writer) { w.attr32(attrLifetime, uint32(lifetime.Seconds())) })
}

// send sends an indication.
func (a *agent) send(peer netip.AddrPort, data []byte) {
	a.t.Helper()
	w := newWriter(nil, methodSend, classIndication, randomTransaction())
	w.address(attrPeerAddress, peer)
	w.attr(attrData, data)
	a.write(w.bytes())
}

// channel sends ChannelData, padded.
func (a *agent) channel(number uint16, data []byte) {
	a.t.Helper()
	b := binary.BigEndian.AppendUint16(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	a.write(b)
}

func (a *agent) want(got answer, code int, what string) {
	a.t.Helper()
	if got.code != code || code != 0 && code != codeUnauthorized && !got.signed {
		a.t.Fatalf("%s: %s (signed %v), want %d", what, got, got.signed, code)
	}
}

// exchanges checks that data goes to the peer, an echo, and comes back.
func (a *agent) exchanges(send func([]byte), data string) {
	a.t.Helper()
	send([]byte(data))
	if got, ok := a.receive(2 * time.Second); !ok || string(got) != data {
		a.t.Fatalf("received %q, %v, want %q", got, ok, data)
	}
}

package rtc

import (
	"encoding/binary"
	"sync"
	"time"
)

// gate lets through to a handshake only those DTLS 1.2 records (RFC 6347) that a client of this transport has reason to send.
// Records before encryption are authenticated by nothing but their address, and pion ends a handshake, or a running
// connection, over one alert in clear text, one record out of place or one sequence number out of range. So:
//
//   - alerts and application data in clear text are dropped, always: whatever is wrong, silence says it as well;
//   - once keys are there, everything in clear text is dropped;
//   - the first ClientHello counts. The same one again is a retransmission, and answered as often as a client would send it.
//     Another one is not answered. Only when nothing has followed the first for a while, and the other comes again as a
//     client's would, the handshake begins anew with it: the first was somebody else's;
//   - a certificate that is not the one announced is dropped, rather than having the handshake fail;
//   - record sequence numbers in clear text are made anew, so that nobody can push the window past the remote's;
//   - a ChangeCipherSpec of an encrypted epoch is dropped: none is ever due, since nobody renegotiates, and pion believes it unread.
//
// Other encrypted records pass: they are authenticated, and dropped silently when they are not what they should be. It is safe for
// concurrent use.
type gate struct {
	client bool // this end is the client
	expect func(certificate []byte) bool

	mu      sync.Mutex
	secured bool
	hello   [32]byte // random of the ClientHello that counts
	size    int      // its length; 0: none has come
	came    time.Time
	again   time.Time             // when it last passed
	pursued bool                  // something has followed it
	rivals  map[[8]byte]time.Time // other ClientHellos, by the end of their random, and when they came first
	heir    *[32]byte             // random of the one of them that is to count instead
	next    uint64                // sequence number of the next record in clear text
	wrong   bool                  // a certificate was not the one announced
}

const (
	recordHeader    = 13
	handshakeHeader = 12
	recordCCS       = 20
	recordAlert     = 21
	recordHandshake = 22
	recordLast      = 23
	helloRandom     = handshakeHeader + 2 // after the version
	maxMessage      = 16 << 10            // of a handshake; a certificate chain is the longest
	maxMessages     = 16                  // of one end in one handshake
	helloEvery      = 20 * time.Millisecond
	helloStall      = 400 * time.Millisecond // more than the round trip of any call that is worth having
	maxRivals       = 4096
)

// Handshake types (RFC 5246 section 7.4, RFC 6347 section 4.3.2).
const (
	typeClientHello = 1
	typeCertificate = 11
)

// mayCome says which messages in clear text each end sends to the other.
func mayCome(kind byte, toClient bool) bool {
	switch kind {
	case typeCertificate:
		return true
	case typeClientHello, 15, 16: // CertificateVerify, ClientKeyExchange
		return !toClient
	case 2, 3, 4, 12, 13, 14: // ServerHello, HelloVerifyRequest, NewSessionTicket, ServerKeyExchange, CertificateRequest, ServerHelloDone
		return toClient
	}
	return false
}

// secure closes the gate to clear text.
func (g *gate) secure() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.secured, g.rivals = true, nil
}

// begin starts over, with the ClientHello that is to count.
func (g *gate) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size, g.rivals, g.next = 0, nil, 0
}

// superseded reports whether the handshake is to begin anew, with what comes next.
func (g *gate) superseded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size > 0 && g.heir != nil && *g.heir != g.hello
}

// answers reports whether something may be sent to the client now: where it is not sure whose ClientHello counts, only in
// answer to it, not again by a timer. The client might take it for its own.
func (g *gate) answers() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.client || g.pursued || len(g.rivals) == 0 || time.Since(g.again) < flightInterval/2
}

// mistaken reports whether a certificate came that was not the one announced.
func (g *gate) mistaken() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wrong
}

// pass returns the records of a datagram that may pass, in memory of their own; none when nothing may.
func (g *gate) pass(b []byte) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []byte
	for len(b) >= recordHeader {
		size := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
		if size > len(b) {
			break
		}
		record := b[:size]
		b = b[size:]
		plain := binary.BigEndian.Uint16(record[3:]) == 0
		switch {
		case record[0] < recordCCS || record[0] > recordLast || record[1] != 0xfe:
		case !plain && record[0] == recordCCS:
		case !plain:
			out = append(out, record...)
		case !g.secured && g.inClear(record[0], record[recordHeader:]):
			out = append(out, record...)
			binary.BigEndian.PutUint64(out[len(out)-size+3:], g.next) // epoch 0 and 48 bits of number
			g.next++
		}
	}
	return out
}

// inClear judges an unencrypted record.
func (g *gate) inClear(kind byte, body []byte) bool {
	switch kind {
	case recordCCS:
		return len(body) == 1 && body[0] == 1 && (g.client || g.size > 0)
	case recordHandshake:
		if len(body) < handshakeHeader {
			return false
		}
		for len(body) > 0 {
			n, ok := g.message(body)
			if !ok {
				return false
			}
			body = body[n:]
		}
		return true
	}
	return false
}

// message judges the handshake message, or the fragment of one, that b begins with, and returns its length.
func (g *gate) message(b []byte) (n int, ok bool) {
	if len(b) < handshakeHeader {
		return 0, false
	}
	kind, whole, number := b[0], uint24(b[1:]), int(binary.BigEndian.Uint16(b[4:]))
	offset, length := uint24(b[6:]), uint24(b[9:])
	n = handshakeHeader + length
	if n > len(b) || whole > maxMessage || offset+length > whole || number >= maxMessages || length == 0 && whole > 0 || !mayCome(kind, g.client) {
		return 0, false
	}
	if !g.client && kind != typeClientHello && g.size == 0 {
		return 0, false
	}
	switch kind {
	case typeClientHello:
		return n, number == 0 && g.isHello(b[:n], whole, offset)
	case typeCertificate:
		ok = offset > 0 || length < whole || g.isExpected(b[handshakeHeader:n])
	default:
		ok = true
	}
	g.pursued = g.pursued || ok
	return n, ok
}

// isHello tells the ClientHello that counts, whole or in fragments, from others.
func (g *gate) isHello(b []byte, whole, offset int) bool {
	now := time.Now()
	if offset > 0 {
		return whole == g.size
	}
	if len(b) < helloRandom+len(g.hello) {
		return false
	}
	random := [32]byte(b[helloRandom:])
	switch {
	case g.size == 0 && g.heir != nil && *g.heir != random:
		return false
	case g.size == 0:
		g.hello, g.size, g.came, g.again = random, whole, now, now
		return true
	case random != g.hello:
		g.contest(random, now)
		return false
	case whole != g.size || now.Sub(g.again) < helloEvery:
		return false
	}
	g.again = now
	return true
}

// contest takes note of another ClientHello than the one that counts.
func (g *gate) contest(random [32]byte, now time.Time) {
	if g.pursued {
		return
	}
	key := [8]byte(random[24:])
	first, known := g.rivals[key]
	switch {
	case known && now.Sub(first) >= helloEvery && now.Sub(g.came) >= helloStall:
		g.heir = &random
	case known:
	case g.rivals == nil || len(g.rivals) >= maxRivals:
		g.rivals = map[[8]byte]time.Time{key: now}
	default:
		g.rivals[key] = now
	}
}

// isExpected judges the first certificate of a whole Certificate message.
func (g *gate) isExpected(body []byte) bool {
	if len(body) < 6 || uint24(body[3:]) > len(body)-6 {
		return false
	}
	if !g.expect(body[6 : 6+uint24(body[3:])]) {
		g.wrong = true
		return false
	}
	return true
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

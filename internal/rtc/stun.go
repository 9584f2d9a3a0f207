package rtc

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // STUN's integrity is HMAC-SHA1 (RFC 8489 section 14.5)
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"net/netip"
	"sync"
)

type transaction [12]byte

// stunMessage is the little of a STUN message (RFC 8489) that ICE takes.
type stunMessage struct {
	binding   bool // its method
	request   bool // a request; otherwise an indication or a response
	success   bool // a success response
	id        transaction
	ufrag     string // of the receiver: the part of USERNAME before the colon
	sender    string // of the sender: the part after it
	role      bool   // says whether its sender is in control
	controls  bool   // and it is
	nominates bool   // USE-CANDIDATE
	integrity int    // where the MESSAGE-INTEGRITY attribute begins; 0: it has none
}

const (
	stunHeader     = 20
	stunCookie     = 0x2112A442
	stunClassMask  = 0x0110
	stunMethodMask = 0x3eef
	stunBinding    = 0x0001
	stunRequest    = 0x0000
	stunSuccess    = 0x0100
	stunError      = 0x0110
	maxUfrag       = 256 // RFC 8839
)

// Attributes (RFC 8489 section 18.3, RFC 8445 section 16.1).
const (
	stunUsername    = 0x0006
	stunIntegrity   = 0x0008
	stunErrorCode   = 0x0009
	stunMapped      = 0x0020 // XOR-MAPPED-ADDRESS
	stunPriority    = 0x0024
	stunNominate    = 0x0025 // USE-CANDIDATE
	stunFingerprint = 0x8028
	stunControlled  = 0x8029
	stunControlling = 0x802a

	fingerprintSize = 8 // of the attribute
	integritySize   = 4 + sha1.Size
	fingerprintMask = 0x5354554e
)

// parseSTUN reads a message's header, what ICE says in it and where its integrity is; ok is false for anything that is not STUN.
func parseSTUN(b []byte) (m stunMessage, ok bool) {
	if len(b) < stunHeader || b[0] > 3 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return m, false
	}
	typ := binary.BigEndian.Uint16(b)
	m.binding = typ&stunMethodMask == stunBinding
	m.request, m.success = typ&stunClassMask == stunRequest, typ&stunClassMask == stunSuccess
	copy(m.id[:], b[8:stunHeader])
	end := stunHeader + int(binary.BigEndian.Uint16(b[2:]))
	if end > len(b) {
		return m, false
	}
	for at := stunHeader; end-at >= 4; {
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		if size > end-at-4 {
			return m, false
		}
		switch binary.BigEndian.Uint16(b[at:]) {
		case stunUsername:
			if m.ufrag == "" {
				m.ufrag = localFragment(b[at+4 : at+4+size])
				m.sender = remoteFragment(b[at+4 : at+4+size])
			}
		case stunControlling:
			m.role, m.controls = true, true
		case stunControlled:
			m.role, m.controls = true, false
		case stunNominate:
			m.nominates = true
		case stunIntegrity:
			if size == sha1.Size {
				m.integrity = at
			}
			return m, true // what follows is not authenticated
		}
		at = min(end, at+4+(size+3)&^3)
	}
	return m, true
}

// remoteFragment is the part of a USERNAME after the colon: the sender's user name fragment.
func remoteFragment(user []byte) string {
	_, remote, _ := bytes.Cut(user, []byte(":"))
	return string(remote[:min(len(remote), maxUfrag)])
}

func localFragment(username []byte) string {
	for i, c := range username {
		if c == ':' {
			return string(username[:min(i, maxUfrag)])
		}
	}
	return ""
}

// appendSTUN begins a message.
func appendSTUN(b []byte, class uint16, id transaction) []byte {
	b = binary.BigEndian.AppendUint16(b, stunBinding|class)
	b = append(b, 0, 0, 0x21, 0x12, 0xa4, 0x42)
	return append(b, id[:]...)
}

// appendAttribute adds an attribute, padded to whole words.
func appendAttribute(b []byte, typ uint16, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, typ)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

// appendCheck begins a check (RFC 8445 section 7.2.2), to be sealed. Who controls nominates with every check: there is one path only.
// The tie-breaker is the smallest: whoever else thinks that it follows finds that it controls.
func appendCheck(b []byte, id transaction, user string, controls bool) []byte {
	b = appendAttribute(appendSTUN(b, stunRequest, id), stunUsername, []byte(user))
	b = appendAttribute(b, stunPriority, binary.BigEndian.AppendUint32(nil, candidatePriority))
	if controls {
		return appendAttribute(appendAttribute(b, stunControlling, make([]byte, 8)), stunNominate, nil)
	}
	return appendAttribute(b, stunControlled, make([]byte, 8))
}

// appendSuccess begins the answer to a request that came from an address, to be sealed.
func appendSuccess(b []byte, id transaction, from netip.AddrPort) []byte {
	return appendAttribute(appendSTUN(b, stunSuccess, id), stunMapped, mappedAddress(id, from))
}

// appendConflict begins the answer to a request whose sender has this end's role (RFC 8445 section 7.3.1.1), to be sealed.
func appendConflict(b []byte, id transaction) []byte {
	return appendAttribute(appendSTUN(b, stunError, id), stunErrorCode, append([]byte{0, 0, 4, 87}, "Role Conflict"...))
}

// password makes and checks short-term integrity (RFC 8489 section 9.1); checking does not allocate. It is safe for concurrent use.
type password struct {
	mu  sync.Mutex
	mac hash.Hash // nil: none is known yet, so nothing is authentic
	sum []byte
}

func (p *password) set(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mac = hmac.New(sha1.New, []byte(s))
}

// signed reports whether who sent the message knows the password.
func (p *password) signed(b []byte, m *stunMessage) bool {
	if m.integrity == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mac == nil {
		return false
	}
	p.sumLocked(b[:m.integrity])
	return subtle.ConstantTimeCompare(p.sum, b[m.integrity+4:m.integrity+4+sha1.Size]) == 1
}

// sumLocked works out the sum of a message up to its integrity. It is over a header that says that the message ends with that.
func (p *password) sumLocked(b []byte) {
	var header [stunHeader]byte
	copy(header[:], b)
	binary.BigEndian.PutUint16(header[2:], uint16(len(b)+integritySize-stunHeader))
	p.mac.Reset()
	p.mac.Write(header[:])
	p.mac.Write(b[stunHeader:])
	p.sum = p.mac.Sum(p.sum[:0])
}

// seal ends a message with its integrity and its fingerprint (RFC 8489 section 14.7).
func (p *password) seal(b []byte) []byte {
	p.mu.Lock()
	p.sumLocked(b)
	b = appendAttribute(b, stunIntegrity, p.sum)
	p.mu.Unlock()
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+fingerprintSize-stunHeader))
	return appendAttribute(b, stunFingerprint, binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)^fingerprintMask))
}

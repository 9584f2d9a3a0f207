package turn

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
)

// What is used of STUN (RFC 8489) and TURN (RFC 8656).
const (
	headerSize    = 20
	cookie        = 0x2112A442
	transactionID = 12
	integritySize = 20 // of HMAC-SHA1
	attrHeader    = 4

	classMask       = 0x0110
	classRequest    = 0x0000
	classIndication = 0x0010
	classSuccess    = 0x0100
	classError      = 0x0110

	methodBinding          = 0x0001
	methodAllocate         = 0x0003
	methodRefresh          = 0x0004
	methodSend             = 0x0006
	methodData             = 0x0007
	methodCreatePermission = 0x0008
	methodChannelBind      = 0x0009

	attrUsername          = 0x0006
	attrIntegrity         = 0x0008
	attrErrorCode         = 0x0009
	attrUnknown           = 0x000A
	attrChannelNumber     = 0x000C
	attrLifetime          = 0x000D
	attrPeerAddress       = 0x0012
	attrData              = 0x0013
	attrRealm             = 0x0014
	attrNonce             = 0x0015
	attrRelayedAddress    = 0x0016
	attrAddressFamily     = 0x0017
	attrEvenPort          = 0x0018
	attrTransport         = 0x0019
	attrDontFragment      = 0x001A
	attrIntegrity256      = 0x001C
	attrMappedAddress     = 0x0020
	attrReservation       = 0x0022
	attrAdditionalFamily  = 0x8000
	comprehensionOptional = 0x8000

	familyIPv4   = 1
	familyIPv6   = 2
	transportUDP = 17

	minChannel = 0x4000
	maxChannel = 0x7FFF // RFC 5766 section 11; RFC 8656 leaves clients 0x4000 to 0x4FFF, which old ones do not know
	channelHdr = 4
)

// The bounds of what one message may hold.
const (
	maxMessage    = 2048 // bytes of a message or of ChannelData, header included
	maxAttributes = 32
	maxPeers      = 16 // XOR-PEER-ADDRESS attributes of one CreatePermission
	maxNonce      = 128
)

// message is a request or an indication, taken apart. The slices are parts of what was parsed.
type message struct {
	method, class uint16
	transaction   [transactionID]byte
	username      string
	realm, nonce  []byte
	peers         []netip.AddrPort // never IPv4 in its mapped form unless the client wrote it so
	data          []byte
	channel       uint16
	lifetime      uint32
	transport     uint8
	family        uint8
	unknown       []uint16 // attributes that must be understood, and are not
	badPeer       bool     // an XOR-PEER-ADDRESS makes no sense
	raw           []byte
	integrity     int // offset of MESSAGE-INTEGRITY; 0: there is none

	hasData, hasChannel, hasLifetime, hasTransport, hasFamily, additional bool
	evenPort, reserveNext, reservation, dontFragment                      bool
}

// isChannelData tells ChannelData from STUN by its first two bits (RFC 5766 section 11).
func isChannelData(b []byte) bool { return len(b) > 0 && b[0]>>6 == minChannel>>14 }

// parseMessage reads one whole message. ok is false for whatever is none, is longer or shorter than it says, or holds more than a
// client has reason to send. Of an attribute that comes twice the first counts; what follows MESSAGE-INTEGRITY is not
// looked at.
func parseMessage(b []byte) (m message, ok bool) {
	if len(b) < headerSize || b[0] > 0x3F || binary.BigEndian.Uint32(b[4:]) != cookie {
		return m, false
	}
	if int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerSize || len(b)%4 != 0 {
		return m, false
	}
	kind := binary.BigEndian.Uint16(b)
	m.class, m.method, m.raw = kind&classMask, kind&^classMask, b
	copy(m.transaction[:], b[8:])
	seen := map[uint16]bool{}
	for at, n := headerSize, 0; at < len(b); n++ {
		if n == maxAttributes || len(b)-at < attrHeader {
			return m, false
		}
		attr, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		next := at + attrHeader + (size+3)&^3
		if next > len(b) {
			return m, false
		}
		if attr == attrIntegrity {
			if size != integritySize {
				return m, false
			}
			m.integrity = at
			return m, true
		}
		if attr == attrPeerAddress || !seen[attr] {
			seen[attr] = true
			if !m.take(attr, b[at+attrHeader:at+attrHeader+size]) {
				return m, false
			}
		}
		at = next
	}
	return m, true
}

// take reads one attribute. It is false for one of a size that it cannot have.
func (m *message) take(attr uint16, v []byte) bool {
	fixed := func(size int) bool { return len(v) == size }
	switch attr {
	case attrUsername:
		m.username = string(v)
		return len(v) <= 513
	case attrRealm:
		m.realm = v
		return len(v) <= 763
	case attrNonce:
		m.nonce = v
		return len(v) <= 763
	case attrPeerAddress:
		return m.takePeer(v)
	case attrData:
		m.data, m.hasData = v, true
	case attrChannelNumber:
		if fixed(4) {
			m.channel, m.hasChannel = binary.BigEndian.Uint16(v), true
		}
		return fixed(4)
	case attrLifetime:
		if fixed(4) {
			m.lifetime, m.hasLifetime = binary.BigEndian.Uint32(v), true
		}
		return fixed(4)
	case attrTransport:
		if fixed(4) {
			m.transport, m.hasTransport = v[0], true
		}
		return fixed(4)
	case attrAddressFamily:
		if fixed(4) {
			m.family, m.hasFamily = v[0], true
		}
		return fixed(4)
	case attrAdditionalFamily:
		m.additional = true
		return fixed(4)
	case attrEvenPort:
		if fixed(1) {
			m.evenPort, m.reserveNext = true, v[0]&0x80 != 0
		}
		return fixed(1)
	case attrReservation:
		m.reservation = true
		return fixed(8)
	case attrDontFragment:
		m.dontFragment = true
		return fixed(0)
	default:
		if attr < comprehensionOptional && attr != attrIntegrity256 {
			m.unknown = append(m.unknown, attr)
		}
	}
	return true
}

func (m *message) takePeer(v []byte) bool {
	if len(m.peers) == maxPeers {
		return false
	}
	peer, ok := m.address(v)
	if !ok {
		m.badPeer = true
		return true
	}
	m.peers = append(m.peers, peer)
	return true
}

// address reads the value of an XOR-…-ADDRESS attribute (RFC 8489 section 14.2).
func (m *message) address(v []byte) (netip.AddrPort, bool) {
	if len(v) != 8 && len(v) != 20 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ cookie>>16
	switch {
	case v[1] == familyIPv4 && len(v) == 8:
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], binary.BigEndian.Uint32(v[4:])^cookie)
		return netip.AddrPortFrom(netip.AddrFrom4(ip), port), true
	case v[1] == familyIPv6 && len(v) == 20:
		var ip [16]byte
		binary.BigEndian.PutUint32(ip[:], binary.BigEndian.Uint32(v[4:])^cookie)
		for i, x := range m.transaction {
			ip[4+i] = v[8+i] ^ x
		}
		return netip.AddrPortFrom(netip.AddrFrom16(ip), port), true
	}
	return netip.AddrPort{}, false
}

// signed says whether MESSAGE-INTEGRITY was made with the key.
func (m *message) signed(key []byte) bool {
	if m.integrity == 0 {
		return false
	}
	mac := hmac.New(sha1.New, key)
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(m.integrity+attrHeader+integritySize-headerSize))
	mac.Write(m.raw[:2])
	mac.Write(length[:])
	mac.Write(m.raw[4:m.integrity])
	return hmac.Equal(mac.Sum(nil), m.raw[m.integrity+attrHeader:m.integrity+attrHeader+integritySize])
}

// writer puts a message together. Its length field is right whenever bytes is called.
type writer struct{ b []byte }

func newWriter(b []byte, method, class uint16, transaction [transactionID]byte) *writer {
	b = binary.BigEndian.AppendUint16(b[:0], method|class)
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, cookie)
	return &writer{append(b, transaction[:]...)}
}

func (w *writer) attr(attr uint16, v []byte) {
	w.b = binary.BigEndian.AppendUint16(w.b, attr)
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(v)))
	w.b = append(w.b, v...)
	for len(w.b)%4 != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *writer) attr32(attr uint16, v uint32) {
	w.attr(attr, binary.BigEndian.AppendUint32(nil, v))
}

// address adds an XOR-…-ADDRESS attribute.
func (w *writer) address(attr uint16, at netip.AddrPort) {
	v := make([]byte, 4, 20)
	binary.BigEndian.PutUint16(v[2:], at.Port()^cookie>>16)
	ip := at.Addr().AsSlice()
	v[1] = familyIPv4
	if len(ip) == 16 {
		v[1] = familyIPv6
	}
	for i := range ip {
		ip[i] ^= w.b[4+i] // the cookie, and the transaction id behind it
	}
	w.attr(attr, append(v, ip...))
}

// sign adds MESSAGE-INTEGRITY.
func (w *writer) sign(key []byte) {
	binary.BigEndian.PutUint16(w.b[2:], uint16(len(w.b)+attrHeader+integritySize-headerSize))
	mac := hmac.New(sha1.New, key)
	mac.Write(w.b)
	w.attr(attrIntegrity, mac.Sum(nil))
}

func (w *writer) bytes() []byte {
	binary.BigEndian.PutUint16(w.b[2:], uint16(len(w.b)-headerSize))
	return w.b
}

package packet

import "encoding/binary"

const (
	maxExtensions     = 8
	maxExtensionBytes = 256
)

// MaxHeader is the most bytes that AppendHeader writes: fixed header, head of the block, elements and their heads.
const MaxHeader = fixedHeader + 4 + maxExtensionBytes + 2*maxExtensions

// Extensions collects the header extension elements of one outgoing packet. It is a fixed piece of memory meant to be
// reused: Reset, Add what the packet carries, AppendHeader. The zero value is empty.
type Extensions struct {
	count   int
	used    int  // bytes of data
	twoByte bool // an element does not fit the one-byte form
	ids     [maxExtensions]uint8
	lens    [maxExtensions]uint8
	data    [maxExtensionBytes]byte
}

// Reset empties e.
func (e *Extensions) Reset() {
	e.count, e.used, e.twoByte = 0, 0, false
}

// Add copies data into e as element id. It reports false and changes nothing for an id of 0 or when e is full: eight
// elements, 256 bytes together, 255 bytes each.
func (e *Extensions) Add(id uint8, data []byte) bool {
	if id == 0 || e.count == maxExtensions || len(data) > 255 || e.used+len(data) > maxExtensionBytes {
		return false
	}
	e.ids[e.count] = id
	e.lens[e.count] = uint8(len(data))
	e.count++
	e.used += copy(e.data[e.used:], data)
	if id > 14 || len(data) == 0 || len(data) > 16 {
		e.twoByte = true
	}
	return true
}

// AddDescriptor is Add for a dependency descriptor, which gets another frame number. It reports false for what is none, too.
func (e *Extensions) AddDescriptor(id uint8, descriptor []byte, frame uint16) bool {
	at := e.used
	if len(descriptor) < 3 || !e.Add(id, descriptor) {
		return false
	}
	binary.BigEndian.PutUint16(e.data[at+1:], frame)
	return true
}

// First returns where AppendHeader writes the value of the element that was added first, in bytes from the start of the
// packet; there must be one.
func (e *Extensions) First() int {
	if e.twoByte {
		return fixedHeader + 4 + 2
	}
	return fixedHeader + 4 + 1
}

// AppendHeader appends an RTP header to dst. Extensions are written in the one-byte form when all of them fit it and in
// the two-byte form otherwise (RFC 8285); ext may be nil. It allocates only when dst lacks room, which
// MaxHeader always is enough of.
func AppendHeader(dst []byte, marker bool, pt uint8, seq uint16, ts, ssrc uint32, ext *Extensions) []byte {
	first, second := byte(0x80), pt&0x7F
	if marker {
		second |= 0x80
	}
	extended := ext != nil && ext.count > 0
	if extended {
		first |= 0x10
	}
	dst = append(dst, first, second)
	dst = binary.BigEndian.AppendUint16(dst, seq)
	dst = binary.BigEndian.AppendUint32(dst, ts)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	if extended {
		dst = ext.append(dst)
	}
	return dst
}

// append writes the extension block, its four-byte head included.
func (e *Extensions) append(dst []byte) []byte {
	profile, size := uint16(oneByteProfile), e.used+e.count
	if e.twoByte {
		profile, size = twoByteProfile, size+e.count
	}
	words := (size + 3) / 4
	dst = binary.BigEndian.AppendUint16(dst, profile)
	dst = binary.BigEndian.AppendUint16(dst, uint16(words))
	data := e.data[:e.used]
	for i := range e.count {
		n := e.lens[i]
		if e.twoByte {
			dst = append(dst, e.ids[i], n)
		} else {
			dst = append(dst, e.ids[i]<<4|(n-1))
		}
		dst = append(dst, data[:n]...)
		data = data[n:]
	}
	for range 4*words - size {
		dst = append(dst, 0)
	}
	return dst
}

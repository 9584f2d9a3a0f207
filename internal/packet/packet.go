package packet

import (
	"sync"
	"sync/atomic"
)

// MaxSize is the most bytes a pooled Packet holds: an Ethernet frame's worth.
const MaxSize = 1500

// Packet is one received RTP packet, decrypted, in pooled memory. Its owner fills it, then shares it; from then on
// nobody writes to it, and each holder has a reference of its own, so that holders may be on different goroutines.
type Packet struct {
	Header

	Buf     []byte // the whole RTP packet; starts empty with a capacity of MaxSize
	Arrival int64  // when it came, in monotonic nanoseconds

	Keyframe     bool  // carries data of a picture that needs no other
	StartOfFrame bool  // is the first packet of a picture; with Keyframe: a decoder can start here
	TemporalID   uint8 // temporal layer, 0 when the codec names none
	VP8          VP8   // descriptor, zero for other codecs and after a failed DescribeVP8
	VP9          VP9   // likewise

	Descriptor Descriptor // dependency descriptor; without one, or where it cannot be read, its Structure is nil

	refs   atomic.Int32
	memory [MaxSize]byte
}

//nolint:gochecknoglobals // memory is the process's, and packets cross every owner in it
var pool = sync.Pool{New: func() any { return new(Packet) }}

// Get returns an empty packet with one reference, the caller's.
func Get() *Packet {
	p, _ := pool.Get().(*Packet)
	p.Buf = p.memory[:0]
	p.refs.Store(1)
	return p
}

// Retain adds a reference and returns p.
func (p *Packet) Retain() *Packet {
	p.refs.Add(1)
	return p
}

// Release gives a reference back; with the last one the memory returns to the pool and p must not be touched again.
func (p *Packet) Release() {
	if p.refs.Add(-1) != 0 {
		return
	}
	p.Header = Header{}
	p.Buf = nil
	p.Arrival = 0
	p.Keyframe, p.StartOfFrame, p.TemporalID = false, false, 0
	p.VP8 = VP8{}
	if p.VP9.Size != 0 {
		p.VP9 = VP9{}
	}
	if p.Descriptor.Structure != nil {
		p.Descriptor = Descriptor{}
	}
	pool.Put(p)
}

// Unmarshal parses the header of Buf.
func (p *Packet) Unmarshal() error { return p.Parse(p.Buf) }

// Payload returns the payload without padding. It aliases Buf and is empty for packets that only pad.
func (p *Packet) Payload() []byte {
	return p.Buf[p.HeaderLen : p.HeaderLen+p.PayloadLen]
}

// Replace has the packet carry a part of its own payload, as another payload type. Nobody but the caller may hold p yet.
func (p *Packet) Replace(payloadType uint8, payload []byte) {
	p.PayloadLen = copy(p.Buf[p.HeaderLen:], payload)
	p.Buf = p.Buf[:p.HeaderLen+p.PayloadLen]
	p.PayloadType = payloadType & 0x7F
	p.Buf[0] &^= 0x20 // the padding is gone
	p.Buf[1] = p.Buf[1]&0x80 | p.PayloadType
}

// DescribeVP8 fills the codec fields from the VP8 payload descriptor.
func (p *Packet) DescribeVP8() error {
	d, err := ParseVP8(p.Payload())
	if err != nil {
		return err
	}
	p.VP8 = d
	p.Keyframe, p.StartOfFrame, p.TemporalID = d.Keyframe, d.Start, d.TID
	return nil
}

// DescribeVP9 fills the codec fields from the VP9 payload descriptor.
func (p *Packet) DescribeVP9() error {
	d, err := ParseVP9(p.Payload())
	if err != nil {
		return err
	}
	p.VP9 = d
	p.Keyframe, p.StartOfFrame, p.TemporalID = d.Keyframe(), d.Start && d.SID == 0, d.TID
	return nil
}

// DescribeAV1 fills the codec fields from the AV1 aggregation header, which tells of a picture's start for keyframes only and of no layers.
func (p *Packet) DescribeAV1() error {
	d, err := ParseAV1(p.Payload())
	if err != nil {
		return err
	}
	p.Keyframe, p.StartOfFrame = d.Start(), d.Start()
	return nil
}

// DescribeFrame fills Descriptor, and the codec fields, from the value of the dependency descriptor's header extension.
func (p *Packet) DescribeFrame(r *DescriptorReader, ext []byte) error {
	d := &p.Descriptor
	if err := r.Read(ext, d); err != nil {
		*d = Descriptor{}
		return err
	}
	p.Keyframe = d.Attached && d.Spatial == 0 && d.diffCount == 0
	p.StartOfFrame, p.TemporalID = d.Start && d.Spatial == 0, d.Temporal
	return nil
}

// DescribeH264 fills the codec fields from the H.264 payload. StartOfFrame is known for keyframes only.
func (p *Packet) DescribeH264() {
	p.Keyframe, p.StartOfFrame = H264Keyframe(p.Payload())
}

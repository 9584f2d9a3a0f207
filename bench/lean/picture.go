package lean

import (
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// These are signal/client's, so that a lean viewer counts what a whole client would.
const (
	window      = 1024                   // packets of a stream that are remembered
	stuckFor    = 300 * time.Millisecond // without a decodable frame before a keyframe is asked for
	pliInterval = time.Second            // between two requests
)

// picture follows a video stream the way a decoder would, without decoding: frames are shown in order and whole, and after
// a lost one nothing is shown until the next keyframe is whole. While packets come in order it remembers none of them.
type picture struct {
	started bool          // a keyframe was seen
	scan    uint16        // the next packet that the frame being put together needs
	open    bool          // the frame has a packet
	time    uint32        // RTP timestamp of the frame
	isKey   bool          // the frame is known to be a keyframe
	ring    *[window]note // packets behind a hole, or before the first keyframe; nil while there is neither
	newest  uint16        // in ring
	key     uint16        // where the newest keyframe behind the hole starts
	hasKey  bool

	frames, keyframes uint64
	freezes           client.FreezeMeter
	stuckSince        time.Time
	askedAt           time.Time
}

// note is what is remembered of a packet.
type note struct {
	time  uint32
	seq   uint16
	flags uint8
}

const (
	noted    = 1 << iota // the note is one
	marked               // the last packet of its frame
	padding              // nothing else in it
	keyframe             // begins a keyframe
)

// blind says that packets must be looked into: only a keyframe leads on.
func (p *picture) blind(seq uint16) bool { return !p.started || p.ring != nil || seq != p.scan }

// arrived notes a packet, and returns how many frames it made whole.
func (p *picture) arrived(n note, now time.Time) (shown int) {
	before := p.frames
	switch {
	case p.started && p.ring == nil && n.seq == p.scan:
		p.step(n, now)
	case p.started && n.seq-p.scan >= 1<<15:
		return 0 // nobody waits for it any more
	default:
		p.keep(n)
		p.resume(now)
	}
	switch {
	case p.frames > before:
		p.stuckSince = time.Time{}
	case p.stuckSince.IsZero():
		p.stuckSince = now
	}
	return int(p.frames - before)
}

// step takes the packet that is due.
func (p *picture) step(n note, now time.Time) {
	if p.open && n.time != p.time {
		p.show(now) // the frame before came without a marker
	}
	p.scan++
	if n.flags&padding != 0 {
		return
	}
	if !p.open {
		p.open, p.time, p.isKey = true, n.time, false
	}
	p.isKey = p.isKey || n.flags&keyframe != 0
	if n.flags&marked != 0 {
		p.show(now)
	}
}

func (p *picture) show(now time.Time) {
	p.frames++
	if p.isKey {
		p.keyframes++
	}
	p.open, p.isKey = false, false
	p.freezes.Whole(p.time, now)
}

// keep remembers a packet that is not due yet.
func (p *picture) keep(n note) {
	if p.ring == nil {
		p.ring, p.newest = new([window]note), n.seq
	}
	if n.seq-p.newest < 1<<15 {
		p.newest = n.seq
	}
	n.flags |= noted
	p.ring[n.seq%window] = n
	if n.flags&keyframe != 0 && (!p.hasKey || n.seq-p.key < 1<<15) {
		p.key, p.hasKey = n.seq, true
	}
}

// resume goes on where the hole was, if it is filled, or with the newest keyframe, if that is whole.
func (p *picture) resume(now time.Time) {
	before := p.frames
	if p.started {
		p.advance(now)
	}
	if p.frames == before && p.hasKey && (!p.started || p.key-p.scan < 1<<15) && p.whole(p.key) {
		p.started, p.scan, p.open = true, p.key, false
		p.advance(now)
	}
	if p.hasKey && p.started && p.key-p.scan >= 1<<15 {
		p.hasKey = false
	}
	if p.started && p.newest-p.scan >= 1<<15 { // all of them have been taken
		p.ring, p.hasKey = nil, false
	}
}

// advance takes all packets up to the next hole.
func (p *picture) advance(now time.Time) {
	for {
		n := p.ring[p.scan%window]
		if n.flags&noted == 0 || n.seq != p.scan {
			return
		}
		p.step(n, now)
	}
}

// whole says whether the frame that starts at seq is there from end to end.
func (p *picture) whole(seq uint16) bool {
	first := p.ring[seq%window]
	for range window {
		n := p.ring[seq%window]
		if n.flags&noted == 0 || n.seq != seq || n.time != first.time {
			return false
		}
		if n.flags&marked != 0 {
			return true
		}
		seq++
	}
	return false
}

// waits says that frames depend on what may never come.
func (p *picture) waits() bool { return p.ring != nil }

// needsKeyframe says whether packets come but nothing can be shown, and that long enough to ask for a keyframe now.
func (p *picture) needsKeyframe(now time.Time) bool {
	if !p.waits() || p.stuckSince.IsZero() || now.Sub(p.stuckSince) < stuckFor || now.Sub(p.askedAt) < pliInterval {
		return false
	}
	p.askedAt = now
	return true
}

// interrupt says that what follows is another picture, or none while it rests: the gap before it is no freeze and no reason for a keyframe.
func (p *picture) interrupt(rests bool) {
	p.freezes.Interrupt(rests)
	p.stuckSince = time.Time{}
}

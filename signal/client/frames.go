package client

import "time"

const (
	frameWindow = 1024                   // packets of a stream that are remembered
	stuckFor    = 300 * time.Millisecond // without a decodable frame before a keyframe is asked for
	pliInterval = time.Second            // between two requests
)

// frameTracker follows a video stream the way a decoder would, without decoding: frames are shown in order and whole, and
// after a lost one nothing is shown until the next keyframe is whole. It belongs to one goroutine.
type frameTracker struct {
	window  [frameWindow]packetNote
	started bool   // a keyframe was seen
	scan    uint16 // the next packet that the frame being put together needs
	frame   frameNote
	key     uint16 // where the newest keyframe starts
	hasKey  bool

	frames, keyframes uint64
	freezes           FreezeMeter
	stuckSince        time.Time
	askedAt           time.Time
}

type packetNote struct {
	valid     bool
	seq       uint16
	timestamp uint32
	marker    bool
	empty     bool // padding only
	keyframe  bool // starts a keyframe
}

type frameNote struct {
	open      bool
	timestamp uint32
	keyframe  bool
}

// arrived notes a packet and returns how many frames it made whole.
func (t *frameTracker) arrived(p packetNote, now time.Time) int {
	p.valid = true
	t.window[p.seq%frameWindow] = p
	if p.keyframe && (!t.hasKey || p.seq-t.key < 1<<15) {
		t.key, t.hasKey = p.seq, true
	}
	before := t.frames
	if t.started {
		t.advance(now)
	}
	if t.frames == before && t.hasKey && (!t.started || t.key-t.scan < 1<<15) && t.whole(t.key) {
		t.started, t.scan, t.frame = true, t.key, frameNote{}
		t.advance(now)
	}
	t.noteProgress(t.frames > before, now)
	return int(t.frames - before)
}

// advance walks on from where the last walk found a hole and shows every frame that has become whole.
func (t *frameTracker) advance(now time.Time) {
	for {
		p := t.window[t.scan%frameWindow]
		if !p.valid || p.seq != t.scan {
			return
		}
		if t.frame.open && p.timestamp != t.frame.timestamp {
			t.show(now) // the frame before came without a marker
		}
		t.scan++
		if p.empty {
			continue
		}
		if !t.frame.open {
			t.frame = frameNote{open: true, timestamp: p.timestamp}
		}
		t.frame.keyframe = t.frame.keyframe || p.keyframe
		if p.marker {
			t.show(now)
		}
	}
}

// whole says whether the frame that starts at seq is there from end to end.
func (t *frameTracker) whole(seq uint16) bool {
	first := t.window[seq%frameWindow]
	for range frameWindow {
		p := t.window[seq%frameWindow]
		if !p.valid || p.seq != seq || p.timestamp != first.timestamp {
			return false
		}
		if p.marker {
			return true
		}
		seq++
	}
	return false
}

func (t *frameTracker) show(now time.Time) {
	t.frames++
	if t.frame.keyframe {
		t.keyframes++
		t.hasKey = t.hasKey && t.key-t.scan < 1<<15
	}
	t.freezes.Whole(t.frame.timestamp, now)
	t.frame = frameNote{}
}

func (t *frameTracker) noteProgress(progress bool, now time.Time) {
	switch {
	case progress:
		t.stuckSince = time.Time{}
	case t.stuckSince.IsZero():
		t.stuckSince = now
	}
}

// needsKeyframe says whether packets come but nothing can be shown, and that long enough to ask for a keyframe now.
func (t *frameTracker) needsKeyframe(now time.Time) bool {
	if t.stuckSince.IsZero() || now.Sub(t.stuckSince) < stuckFor || now.Sub(t.askedAt) < pliInterval {
		return false
	}
	t.askedAt = now
	return true
}

// interrupt says that what follows is another picture, or none while it rests: the gap before it is no freeze and no reason for a keyframe.
func (t *frameTracker) interrupt(rests bool) {
	t.freezes.Interrupt(rests)
	t.stuckSince = time.Time{}
}

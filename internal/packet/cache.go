package packet

import (
	"math/bits"
	"sync"
)

const maxCache = 1 << 14 // a quarter of the sequence numbers: far enough from confusing two wraps

// Cache keeps the last packets of one layer by sequence number: to answer NACKs, and to start a viewer at a keyframe
// that already went by. It holds one reference to each packet in it and no memory for the others. It is safe for
// concurrent use.
type Cache struct {
	mu      sync.Mutex
	ring    []*Packet // by sequence number modulo its length; nil where nothing is stored
	started bool
	closed  bool
	highest uint16 // newest number stored
	oldest  uint16 // nothing is stored in front of it

	expired bool   // floor is set
	floor   uint16 // what stands in front of it has been stored and has expired, or comes too late

	keyed    bool   // keyStart and keyTime are set
	keyStart uint16 // where the newest keyframe starts
	keyTime  uint32 // its timestamp
}

// NewCache returns a cache of the last size sequence numbers, rounded up to a power of two and at most 16,384.
func NewCache(size int) *Cache {
	size = min(max(size, 2), maxCache)
	return &Cache{ring: make([]*Packet, 1<<bits.Len(uint(size-1)))}
}

// Put stores p with a reference of its own; the caller keeps the one it has. It reports false, and stores nothing, for a
// number that is stored already or has expired, for one older than the cache reaches, and after Close. So a number is
// never taken twice: whoever forwards what Put took seals no sequence number twice, whatever a publisher retransmits.
func (c *Cache) Put(p *Packet) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.advanceLocked(p.Sequence)
	if SeqDiff(c.highest, p.Sequence) >= len(c.ring) || *c.slot(p.Sequence) != nil {
		return false
	}
	if c.expired && SeqLess(p.Sequence, c.floor) {
		return false
	}
	if SeqLess(p.Sequence, c.oldest) {
		c.oldest = p.Sequence
	}
	*c.slot(p.Sequence) = p.Retain()
	c.noteKeyframeLocked(p)
	return true
}

// advanceLocked moves the window up to seq, releasing what falls out of it.
func (c *Cache) advanceLocked(seq uint16) {
	if !c.started {
		c.started, c.highest, c.oldest = true, seq, seq
		return
	}
	ahead := SeqDiff(seq, c.highest)
	if ahead <= 0 {
		return
	}
	if ahead >= len(c.ring) {
		c.clearLocked()
		c.oldest, c.expired = seq, false
	} else {
		c.dropBeforeLocked(seq - uint16(len(c.ring)) + 1)
	}
	c.highest = seq
	if SeqDiff(c.highest, c.floor) >= len(c.ring) {
		c.expired = false // the window has moved on
	}
}

// dropBeforeLocked releases everything in front of seq.
func (c *Cache) dropBeforeLocked(seq uint16) {
	for ; SeqLess(c.oldest, seq); c.oldest++ {
		c.dropLocked(c.oldest)
	}
}

func (c *Cache) dropLocked(seq uint16) {
	slot := c.slot(seq)
	if *slot == nil {
		return
	}
	(*slot).Release()
	*slot = nil
	if c.keyed && seq == c.keyStart {
		c.keyed = false
	}
}

// noteKeyframeLocked keeps the first start of the newest keyframe: H.264 can have several in one picture.
func (c *Cache) noteKeyframeLocked(p *Packet) {
	if !p.Keyframe || !p.StartOfFrame {
		return
	}
	if c.keyed && (p.Timestamp == c.keyTime) != SeqLess(p.Sequence, c.keyStart) {
		return
	}
	c.keyed, c.keyStart, c.keyTime = true, p.Sequence, p.Timestamp
}

func (c *Cache) clearLocked() {
	for i, p := range c.ring {
		if p != nil {
			p.Release()
			c.ring[i] = nil
		}
	}
	c.keyed = false
}

func (c *Cache) slot(seq uint16) **Packet { return &c.ring[int(seq)&(len(c.ring)-1)] }

// Get returns the packet with the number seq and a reference that the caller must release, or nil.
func (c *Cache) Get(seq uint16) *Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := *c.slot(seq); p != nil && p.Sequence == seq {
		return p.Retain()
	}
	return nil
}

// Has reports whether the packet with the number seq is stored.
func (c *Cache) Has(seq uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := *c.slot(seq)
	return p != nil && p.Sequence == seq
}

// LastKeyframe returns the number of the packet that starts the newest keyframe; ok is false when it is not cached.
func (c *Cache) LastKeyframe() (seq uint16, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keyStart, c.keyed
}

// Window returns the numbers between which packets may be stored, the newest included; ok is false before the first came.
// oldest is one behind newest when everything has expired.
func (c *Cache) Window() (oldest, newest uint16, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.oldest, c.highest, c.started
}

// EachFrom calls f in order for the cached packets from seq to the newest, as far as f returns true. Packets that come
// meanwhile are included. f holds no lock and may use the cache; it must retain a packet that it keeps.
func (c *Cache) EachFrom(seq uint16, f func(*Packet) bool) {
	for p, next := c.following(seq); p != nil; p, next = c.following(next) {
		more := f(p)
		p.Release()
		if !more {
			return
		}
	}
}

// following returns the first packet from seq on, retained, and the number behind it; nil when there is none.
func (c *Cache) following(seq uint16) (p *Packet, next uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		return nil, seq
	}
	if SeqLess(seq, c.oldest) {
		seq = c.oldest
	}
	for ; !SeqLess(c.highest, seq); seq++ {
		if p := *c.slot(seq); p != nil {
			return p.Retain(), seq + 1
		}
	}
	return nil, seq
}

// Expire releases the packets at the old end that arrived before the instant given in monotonic nanoseconds: a layer
// with few packets would hold them for minutes otherwise.
func (c *Cache) Expire(before int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.started && !SeqLess(c.highest, c.oldest); c.oldest++ {
		p := *c.slot(c.oldest)
		if p == nil {
			continue // missing, and welcome if it still comes
		}
		if p.Arrival >= before {
			return
		}
		c.dropLocked(c.oldest)
		c.expired, c.floor = true, c.oldest+1
	}
}

// Close releases everything. The cache stays empty from then on.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.started = false
	c.clearLocked()
}

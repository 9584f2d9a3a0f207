package cascade

import (
	"encoding/binary"
	"sync/atomic"
)

// Each end of a link promises the other how often it will be heard, and keeps the promise with heartbeats where nothing
// else does. Whoever serves something is heard every Config.Heartbeat: its death must be noticed at once. Whoever only
// receives, or does nothing, is heard restSlower times more rarely.
//
// A heartbeat is an RTCP receiver report without blocks, whose SSRC is the promise. Media is one as well: only who serves
// sends it. Everything here counts ticks, two in a heartbeat's time, and knows no clock.
type promise uint32

const (
	unaware promise = 2 // of a node that is older than promises: it serves, for all that one knows, and takes others to do so
	serving promise = 3
	resting promise = 4
)

const (
	beatTicks  = 2  // ticks of a heartbeat's time
	restSlower = 20 // times as long between two heartbeats of who rests

	// lingerTicks is how long an end goes on as one that serves after its last packet: none comes later than its word that it
	// rests, however the network mixes them up.
	lingerTicks = 20 * beatTicks

	// How much longer than its patience an end waits where lately silences have ended that were almost as long: by half of them, and up to
	// three times as long. Machines that are too busy, and ways that shake, are not dead. One tick of that is forgotten each forgetTicks.
	mostPatient = 3
	forgetTicks = 200

	// heldTicks is how long ticks do not count at the most because this node is behind with reading: a flood must not keep the dead alive.
	heldTicks = 40 * beatTicks

	// farewellTicks is how long it says that it rests as often as if it did not: should all of this be lost, the link was dead.
	farewellTicks = 10 * beatTicks
)

// beat is the heartbeat that says so.
func (p promise) beat() []byte {
	const version, receiverReport, words = 2 << 6, 201, 1
	return binary.BigEndian.AppendUint32([]byte{version, receiverReport, 0, words}, uint32(p))
}

// readBeat reads a heartbeat; ok is false for any other RTCP packet.
func readBeat(b []byte) (p promise, ok bool) {
	if len(b) != 8 {
		return 0, false
	}
	p = promise(binary.BigEndian.Uint32(b[4:]))
	return p, p >= unaware && p <= resting && [4]byte(b) == [4]byte(p.beat())
}

// pulse decides when this end's heartbeats are due. One goroutine uses it.
type pulse struct {
	still int     // ticks since something was sent that keeps the promise
	quiet int     // ticks since anything was served
	said  promise // last; 0 before the first
}

// activity is what happened since the last tick.
type activity struct {
	serves  bool // something is served, or about to be
	media   bool // RTP was sent
	control bool // RTCP was sent, heartbeats among it
	aware   bool // the other end knows of promises
}

// tick returns the promise of this moment, and whether it is to be said with a heartbeat now.
func (p *pulse) tick(a activity) (now promise, say bool) {
	if p.quiet++; a.serves || a.media || !a.aware {
		p.quiet = 0
	}
	now, pace := serving, beatTicks
	if p.quiet > lingerTicks {
		now = resting
	}
	if p.quiet > lingerTicks+farewellTicks {
		pace *= restSlower
	}
	if a.media || a.control && pace > beatTicks {
		p.still = 0
	}
	p.still++
	if now == p.said && p.still < pace {
		return now, false
	}
	p.said, p.still = now, 0
	return now, true
}

// hearing is what an end knows of the other's signs of life.
type hearing struct {
	lively  atomic.Bool   // there was one since the last tick
	promise atomic.Uint32 // the last
	aware   atomic.Bool   // the other end knows of promises

	// Of the goroutine that calls tick, in ticks.
	missed  int  // in a row without one
	longest int  // how many were missed of late until there was one after all
	aged    int  // since longest was looked at
	held    int  // in a row that did not count
	rested  bool // the other end rested at the last one
}

// life notes a sign of life.
func (h *hearing) life() { h.lively.Store(true) }

// media notes packets: only who serves sends them.
func (h *hearing) media() {
	if promise(h.promise.Load()) == resting {
		h.promise.Store(uint32(serving))
	}
	h.life()
}

// beat notes a heartbeat.
func (h *hearing) beat(p promise) {
	h.promise.Store(uint32(p))
	h.aware.Store(p != unaware)
	h.life()
}

// tick reports whether the other end has missed so many heartbeats in a row that it must be dead. What this end has not read yet, because it is behind,
// may be one.
func (h *hearing) tick(patience int, behind bool) (dead bool) {
	if h.held++; behind && h.held < heldTicks {
		return false
	}
	if !behind {
		h.held = 0
	}
	rests := promise(h.promise.Load()) == resting
	if h.aged++; h.aged >= forgetTicks {
		h.longest, h.aged = max(0, h.longest-1), 0
	}
	if h.missed++; h.lively.Swap(false) {
		if !rests && !h.rested {
			h.longest = max(h.longest, h.missed)
		}
		h.missed = 0
	}
	h.rested = rests
	if rests {
		return h.missed >= patience*restSlower*beatTicks
	}
	return h.missed >= min(max(patience*beatTicks, h.longest+h.longest/2), mostPatient*patience*beatTicks)
}

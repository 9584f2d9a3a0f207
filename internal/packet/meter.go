package packet

import (
	"sync/atomic"
	"time"
)

const (
	meterSlice  = 50 * ms // what is counted together
	meterSlices = 20      // in the window: one second
	meterLeast  = 10      // slices that a rate is an average of, at least: a keyframe at the start is no rate
	meterEntry  = 2       // slices in which the frame comes that a stream begins with
	meterSlow   = 40      // slices that the usual rate is an average of, at most: two seconds

	meterBurst = 2 * int64(time.Second) // of media that a stream begins with at once, at most
	meterClock = 90_000                 // Hz, of all video; slower clocks have less of a burst seen

	// MaxTemporal is how many temporal layers a stream can have here.
	MaxTemporal = 4
)

// Meter measures what one spatial layer of a stream takes, over the last second: bit rate and frame rate, each up to a
// temporal layer. One goroutine counts packets, any may read. It allocates nothing; the zero value is ready.
type Meter struct {
	slices    [meterSlices][MaxTemporal]metered
	now       int64 // number of the present slice
	first     int64 // number of the first slice since the stream began, or began again
	started   bool
	fresh     bool   // the stream has just begun: timestamp is of another
	again     bool   // and something of it is known from before
	known     int64  // slices that the usual rate is an average of; of a stream's first second none are
	timestamp uint32 // of the newest frame
	opening   uint32 // timestamp of the frame that the stream began with
	entry     uint64 // bytes of that
	entryAt   uint8  // its temporal layer
	frame     uint64 // bytes of the newest frame
	largest   uint64 // of the largest since the first, in the layer of that

	at    atomic.Int64               // end of the last slice that was counted
	spare atomic.Int64               // bit/s: a keyframe a second, as long as nothing but a beginning is known
	usual [MaxTemporal]atomic.Int64  // bit/s, smoothed
	rates [MaxTemporal]atomic.Uint64 // bit/s << 16 | frames a second * 64, of all layers up to this
}

// metered is what came in one slice of one temporal layer.
type metered struct{ bytes, frames uint32 }

// Add counts a packet of size bytes that arrived at now, in monotonic nanoseconds that do not go back. Packets with
// one timestamp are one frame; retransmitted ones count for the bit rate alone.
func (m *Meter) Add(size int, timestamp uint32, temporal uint8, now int64) {
	if slice := now / meterSlice; slice != m.now || !m.started {
		m.advance(slice)
	}
	at := &m.slices[m.now%meterSlices][min(temporal, MaxTemporal-1)]
	at.bytes += uint32(size)
	if m.fresh || TimestampDiff(timestamp, m.timestamp) > 0 {
		if m.fresh {
			m.opening, m.entry, m.entryAt = timestamp, 0, min(temporal, MaxTemporal-1)
			m.largest = 0
		}
		at.frames++
		m.fresh, m.timestamp, m.frame = false, timestamp, 0
	}
	switch timestamp {
	case m.opening:
		m.entry += uint64(size)
	case m.timestamp:
		m.frame += uint64(size)
		if min(temporal, MaxTemporal-1) <= m.entryAt {
			m.largest = max(m.largest, m.frame)
		}
	}
}

// advance ends the present slice and begins another, and tells readers what came in the window before it.
func (m *Meter) advance(slice int64) {
	if !m.started || slice-m.now >= meterSlices || slice < m.now {
		m.slices = [meterSlices][MaxTemporal]metered{}
		m.again = m.started && m.now-m.first > meterLeast
		m.started, m.fresh, m.now, m.first = true, true, slice, slice
		m.tell(slice)
		return
	}
	m.tell(slice)
	for m.now < slice {
		m.now++
		m.slices[m.now%meterSlices] = [MaxTemporal]metered{}
	}
}

// tell publishes the rates of the window that ends where slice begins.
func (m *Meter) tell(slice int64) {
	var sums [MaxTemporal]metered
	for n := max(m.first, slice-meterSlices); n <= min(m.now, slice-1); n++ {
		for t, of := range m.slices[n%meterSlices] {
			sums[t].bytes += of.bytes
			sums[t].frames += of.frames
		}
	}
	span := min(max(slice-m.first, meterLeast), meterSlices)
	weighs := int64(meterSlow) // slices that what is known counts for; against the first second, which tells little, all
	if slice-m.first > meterSlices+meterEntry {
		m.known = min(m.known+slice-m.now, meterSlow)
		weighs = m.known
		m.spare.Store(0)
	} else if m.known == 0 {
		m.spare.Store(max(m.spare.Load(), int64(8*m.entry)))
	}
	perSecond := uint64(nanos / meterSlice)
	var bits, frames uint64
	for t, of := range sums {
		bits += uint64(of.bytes) * 8
		frames += uint64(of.frames)
		rate := bits * perSecond / uint64(span)
		m.rates[t].Store(rate<<16 | min(frames*perSecond*64/uint64(span), 1<<16-1))
		if slice-m.first <= meterSlices && frames > 1 && t >= int(m.entryAt) {
			rate = m.begun(bits, max((slice-m.first)*meterSlice, m.lasted()))
		}
		switch usual := m.usual[t].Load(); {
		case slice-m.first > meterSlices && slice-m.first <= meterSlices+meterEntry: // a part of the entry is in the window
		case m.known > 0 && slice-m.first > meterLeast:
			m.usual[t].Store(usual + (int64(rate)-usual)*min(slice-m.now, weighs)/weighs)
		case !m.again || slice-m.first > meterLeast:
			m.usual[t].Store(int64(rate))
		}
	}
	m.at.Store(slice * meterSlice)
}

// begun is the rate of a stream that began so many nanoseconds ago, without the frame that it began with. Where another was asked for soon behind that, it
// counts as the only one of the first second.
func (m *Meter) begun(bits uint64, elapsed int64) uint64 {
	rest := bits - 8*m.entry
	if largest := min(8*m.largest, rest); 2*m.largest > m.entry && elapsed < nanos {
		rest -= largest - largest*uint64(elapsed)/nanos
	}
	return rest * nanos / uint64(elapsed)
}

// lasted is in how many nanoseconds what has come since the stream began was made, by its own clock. It comes in less where it begins with what others have
// seen already.
func (m *Meter) lasted() int64 {
	ticks := int64(TimestampDiff(m.timestamp, m.opening))
	return min(max(0, ticks)*int64(time.Second)/meterClock, meterBurst)
}

// Rate returns bit/s, RTP headers included, and frames a second of all temporal layers up to the one given. Both are 0 when
// nothing has come for a second, and for the first 50 ms.
func (m *Meter) Rate(temporal uint8, now int64) (bitrate int64, frameRate float64) {
	if now-m.at.Load() > meterSlices*meterSlice {
		return 0, 0
	}
	v := m.rates[min(temporal, MaxTemporal-1)].Load()
	return int64(v >> 16), float64(v&0xFFFF) / 64
}

// Spare returns the bit/s to reckon with beside Usual, of a stream that has not been seen for a whole second: it may have a keyframe as large as the one that it
// began with in each. It is 0 of others.
func (m *Meter) Spare() int64 { return m.spare.Load() }

// Usual returns the bit rate like Rate, but so slowly that a keyframe, which can double what one second takes, moves it
// little, and without the frame that the stream began with, which would double it for seconds. It is what to reckon with when a layer is
// chosen.
func (m *Meter) Usual(temporal uint8, now int64) int64 {
	if now-m.at.Load() > meterSlices*meterSlice {
		return 0
	}
	return m.usual[min(temporal, MaxTemporal-1)].Load()
}

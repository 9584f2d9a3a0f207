package packet

// TemporalSelector says which packets of a VP8 stream a viewer gets who is to see it up to a temporal layer (RFC 7741
// section 4.2, TID and Y). It goes down at the next picture, and up where a decoder can: one layer at a picture of that layer
// that needs nothing but the lowest, or all at a keyframe. What is not forwarded is for Rewriter.Skip.
//
// It starts anew with each source, which the zero value forwards the lowest layer of. Join begins with one that has been forwarded
// so far without it.
type TemporalSelector struct {
	wanted, current uint8
	joined          uint8 // temporal layers that were forwarded in front of the first picture seen here
	order           arrivalOrder
	pictures        pictureLog
}

// Join has the selector begin in the middle of a stream of which everything up to newest, a sequence number, was dealt with
// elsewhere: the first so many temporal layers of it were forwarded. A picture that has begun is completed as it began.
func (s *TemporalSelector) Join(newest uint16, layers uint8) {
	*s = TemporalSelector{
		wanted: s.wanted, current: layers - 1, joined: layers, order: arrivalOrder{started: true, highest: newest},
	}
}

// Want sets the highest temporal layer to be forwarded, and reports whether that is higher than what was wanted before.
func (s *TemporalSelector) Want(temporal uint8) (higher bool) {
	higher = temporal > s.wanted
	s.wanted = temporal
	return higher
}

// Climbs reports whether more of a stream with the highest layer top is wanted than is forwarded.
func (s *TemporalSelector) Climbs(top uint8) bool { return s.current < min(s.wanted, top) }

// Complete reports whether nothing of a stream with the highest layer top is left out, whatever it may have above that one day.
func (s *TemporalSelector) Complete(top uint8) bool {
	return s.wanted >= MaxTemporal-1 && s.current >= top
}

// Current returns the highest temporal layer that is forwarded.
func (s *TemporalSelector) Current() uint8 { return s.current }

// Select reports whether a packet of the stream with the descriptor d is to be forwarded. It must be given all packets that
// come, in any order. All packets of a picture share its fate.
func (s *TemporalSelector) Select(h *Header, d *VP8) bool {
	inOrder := s.order.take(h.Sequence)
	if inOrder && s.pictures.isNew(h.Timestamp) {
		if d.Start || s.pictures.count > 0 {
			s.current = min(s.current, s.wanted)
		}
		if d.Keyframe {
			s.current = s.wanted
		} else if d.Start && d.Sync && d.TID == s.current+1 && d.TID <= s.wanted {
			s.current = d.TID
		}
		s.pictures.begin(pictureLimit{timestamp: h.Timestamp, temporal: s.current, behind: s.current})
	}
	limit, ok := s.pictures.find(h.Timestamp)
	if !ok {
		return d.TID < s.joined && s.pictures.count <= pictureLogSize
	}
	return d.TID <= limit.temporal
}

// arrivalOrder tells packets that come in order from those that come late.
type arrivalOrder struct {
	started bool
	highest uint16
}

// take reports whether seq is newer than all before it.
func (o *arrivalOrder) take(seq uint16) bool {
	if o.started && !SeqLess(o.highest, seq) {
		return false
	}
	o.started, o.highest = true, seq
	return true
}

// pictureLimit is what was forwarded of one picture.
type pictureLimit struct {
	timestamp         uint32
	spatial, temporal uint8
	behind            uint8 // temporal layers that can be forwarded from the next picture on
}

const pictureLogSize = 32

// pictureLog remembers how the last pictures were dealt with, so that a packet that comes late is dealt with like the rest
// of its picture.
type pictureLog struct {
	count int // of all pictures; the last few are kept
	ring  [pictureLogSize]pictureLimit
}

func (l *pictureLog) begin(p pictureLimit) {
	l.ring[l.count%pictureLogSize] = p
	l.count++
}

// newest returns the picture that began last; there must be one.
func (l *pictureLog) newest() *pictureLimit { return &l.ring[(l.count-1)%pictureLogSize] }

// isNew reports whether a packet in order begins another picture.
func (l *pictureLog) isNew(timestamp uint32) bool {
	return l.count == 0 || l.newest().timestamp != timestamp
}

// find returns the limits for a packet: those of its picture, or when nothing of that has been seen, those behind the
// picture before it. ok is false when that is not known either.
func (l *pictureLog) find(timestamp uint32) (limit pictureLimit, ok bool) {
	for n := l.count - 1; n >= max(l.count-pictureLogSize, 0); n-- {
		limit = l.ring[n%pictureLogSize]
		if limit.timestamp == timestamp {
			return limit, true
		}
		if TimestampDiff(limit.timestamp, timestamp) < 0 {
			limit.temporal = limit.behind
			return limit, true
		}
	}
	return pictureLimit{}, false
}

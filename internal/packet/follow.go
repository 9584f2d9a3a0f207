package packet

// Follow takes over what other Speakers of the same room have decided: who speaks, in order, and who has which place; places
// stay as they are where heard is nil. What the two hear from then on moves both alike, so that one can go on where the
// other stops. Nobody changes places because of it twice.
func (s *Speakers) Follow(order []Speaker, heard []string, now int64) {
	for _, v := range s.order {
		v.listed = false
	}
	s.order, s.told = s.order[:0], s.told[:0]
	for _, o := range order {
		v := s.voice(o.ID, now)
		if v.listed || len(s.told) == MaxSpeakers {
			continue
		}
		v.believe(o.Level, now)
		v.listed = true
		s.order, s.told = append(s.order, v), append(s.told, o)
	}
	if heard != nil {
		s.seat(heard, now)
	}
}

// believe notes that a voice is said to speak, as loud as level.
func (v *voice) believe(level uint8, now int64) {
	v.score = float64(silence - min(level, silence))
	v.speaking, v.loud, v.loudAt = true, true, max(v.loudAt, now)
}

// seat gives the places to those named, in this order; an empty name leaves one free.
func (s *Speakers) seat(heard []string, now int64) {
	s.resize(0)
	s.resize(len(heard))
	for i, id := range heard {
		if id == "" {
			continue
		}
		if v := s.voice(id, now); !v.placed {
			s.place(i, v)
		}
	}
}

// Bar returns the level, in -dBov, that a packet of somebody without a place must reach to lead to one: any speech does as
// long as there is a free place or one of somebody who does not speak; else it must be clearly louder than the one
// that is given away first.
func (s *Speakers) Bar() uint8 {
	for _, v := range s.places {
		if v == nil {
			return silence
		}
	}
	if len(s.places) == 0 {
		return silence
	}
	worst := s.places[s.worst()]
	if !worst.loud {
		return silence
	}
	return uint8(max(0, silence-worst.score-clearly))
}

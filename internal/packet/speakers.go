package packet

import (
	"cmp"
	"math"
	"slices"
)

// MaxSpeakers is the most that Speakers.Order names.
const MaxSpeakers = 8

const (
	ms = int64(1_000_000)

	silence    = 127      // -dBov of nothing at all
	loudLevel  = 40       // as loud as this counts as speech whatever the sender thinks
	voiceLevel = 50       // as loud as this counts as speech when the sender hears a voice in it
	speakAt    = 45.0     // smoothed loudness at which somebody speaks
	clearly    = 10.0     // dB louder that change an order
	longPacket = 60 * ms  // no packet is evidence for a longer time than this
	holdFor    = 700 * ms // somebody who pauses for less speaks on
	attack     = 100.0    // time constants of smoothing, in ms: getting louder
	calm       = 500.0    // getting quieter while speaking
	fade       = 150.0    // noise of somebody who does not speak
)

// Speaker is one place in the order of those who speak.
type Speaker struct {
	ID    string `json:"id"`
	Level uint8  `json:"level"` // smoothed loudness in -dBov (RFC 6464): 0 is the loudest, 127 is silence
}

// Speakers knows from the audio levels of one room's packets who speaks, and who is to be heard. Times are passed in,
// in monotonic nanoseconds, and never go back.
//
// The order does not flap: it takes about 100 ms of speech to enter it and 700 ms of silence to leave it, and to overtake
// takes being clearly louder, by 10 dB. Clicks and typing do not enter.
type Speakers struct {
	voices map[string]*voice
	order  []*voice  // who speaks
	told   []Speaker // what Order returned
	places []*voice  // who is heard; nil is a free place
	heard  []string  // what Loudest returned
}

// voice is one participant's microphone.
type voice struct {
	id       string
	score    float64 // smoothed loudness: 127 - level
	last     int64   // newest packet
	loudAt   int64   // newest packet with speech in it
	loud     bool    // loudAt is set
	speaking bool
	listed   bool // is in Speakers.order
	placed   bool // is in Speakers.places
}

// Speech reports whether a packet of that level has speech in it: it is loud, or less so and a voice in the sender's
// opinion.
func Speech(level uint8, isVoice bool) bool {
	return level <= loudLevel || isVoice && level <= voiceLevel
}

// Update notes the level of one packet of id (see AudioLevel). It reports whether id speaks but has no place among the
// loudest, in which case Loudest may give it one. It allocates for a new id only.
func (s *Speakers) Update(id string, level uint8, isVoice bool, now int64) (waiting bool) {
	v := s.voice(id, now)
	v.update(level, isVoice, now)
	return !v.placed && v.loud && v.loudAt == now
}

// voice returns what is known of id, from now on at least that there is one.
func (s *Speakers) voice(id string, now int64) *voice {
	v := s.voices[id]
	if v == nil {
		if s.voices == nil {
			s.voices = make(map[string]*voice)
		}
		v = &voice{id: id, last: now - longPacket/3}
		s.voices[id] = v
	}
	return v
}

func (v *voice) update(level uint8, isVoice bool, now int64) {
	gap := now - v.last
	v.last = now
	v.pause(now)
	if gap > longPacket && !v.speaking {
		v.approach(0, gap-longPacket, fade)
		gap = longPacket
	}
	loud := Speech(level, isVoice)
	loudness := float64(silence - min(level, silence))
	switch {
	case loud && loudness > v.score:
		v.approach(loudness, min(gap, longPacket), attack)
	case loud:
		v.approach(loudness, min(gap, longPacket), calm)
	case !v.speaking:
		v.approach(0, gap, fade)
	}
	if loud {
		v.loud, v.loudAt = true, now
		v.speaking = v.speaking || v.score >= speakAt
	}
}

// pause ends speech after holdFor of silence.
func (v *voice) pause(now int64) {
	if v.loud && now-v.loudAt > holdFor {
		v.loud, v.speaking, v.score = false, false, 0
	}
}

// approach moves the score towards target as within the time given.
func (v *voice) approach(target float64, elapsed int64, constant float64) {
	v.score += (target - v.score) * (1 - math.Exp(-float64(elapsed)/float64(ms)/constant))
}

// Remove forgets id. The next Order and Loudest are without it.
func (s *Speakers) Remove(id string) {
	v := s.voices[id]
	if v == nil {
		return
	}
	delete(s.voices, id)
	v.speaking = false // so that Order drops it
	if i := slices.Index(s.places, v); i >= 0 {
		s.places[i] = nil
	}
}

// Order returns who speaks, at most eight, loudest first, and whether those or their order differ from the last call.
// Levels alone are no change. It is worth a call every 100 ms. The slice is valid until the next call.
func (s *Speakers) Order(now int64) (changed bool, speakers []Speaker) {
	for _, v := range s.voices {
		v.pause(now)
	}
	s.order = slices.DeleteFunc(s.order, func(v *voice) bool {
		v.listed = v.speaking
		return !v.speaking
	})
	s.list()
	for i := range s.order {
		for ; i > 0 && s.order[i].score > s.order[i-1].score+clearly; i-- {
			s.order[i], s.order[i-1] = s.order[i-1], s.order[i]
		}
	}
	return s.tell(), s.told
}

// list puts those who began to speak behind those who do, louder ones first.
func (s *Speakers) list() {
	known := len(s.order)
	for _, v := range s.voices {
		if v.speaking && !v.listed {
			v.listed = true
			s.order = append(s.order, v)
		}
	}
	slices.SortFunc(s.order[known:], louderFirst)
}

func louderFirst(a, b *voice) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id))
}

// tell brings told up to date and reports whether anybody has changed places.
func (s *Speakers) tell() (changed bool) {
	n := min(len(s.order), MaxSpeakers)
	changed = n != len(s.told)
	for i, v := range s.order[:n] {
		speaker := Speaker{ID: v.id, Level: uint8(silence - v.score)}
		if i == len(s.told) {
			s.told = append(s.told, speaker)
			continue
		}
		changed = changed || s.told[i].ID != v.id
		s.told[i] = speaker
	}
	s.told = s.told[:n]
	return changed
}

// Loudest returns the n to be heard. Each keeps its place in the slice as long as it is among them; a free place is
// empty. Free places are filled at once, even by the silent. When all are taken, somebody who starts to speak gets the
// place of one who has been silent for 700 ms, or of one than whom they are clearly louder. n is meant to stay the same
// from call to call. The slice is valid until the next call.
func (s *Speakers) Loudest(n int, now int64) []string {
	for _, v := range s.voices {
		v.pause(now)
	}
	s.resize(n)
	for i, v := range s.places {
		if v == nil {
			s.place(i, s.candidate())
		}
	}
	for range s.places {
		next := s.candidate()
		if next == nil || !next.loud {
			break
		}
		worst := s.worst()
		if s.places[worst].deserves(next) {
			break
		}
		s.place(worst, next)
	}
	s.heard = s.heard[:0]
	for _, v := range s.places {
		if v == nil {
			s.heard = append(s.heard, "")
		} else {
			s.heard = append(s.heard, v.id)
		}
	}
	return s.heard
}

func (s *Speakers) resize(n int) {
	for len(s.places) < n {
		s.places = append(s.places, nil)
	}
	for len(s.places) > n {
		last := len(s.places) - 1
		s.place(last, nil)
		s.places = s.places[:last]
	}
}

// place gives place i to v, who may be nobody.
func (s *Speakers) place(i int, v *voice) {
	if old := s.places[i]; old != nil {
		old.placed = false
	}
	if s.places[i] = v; v != nil {
		v.placed = true
	}
}

// candidate returns who is next to get a place, nil when everybody has one.
func (s *Speakers) candidate() (best *voice) {
	for _, v := range s.voices {
		if !v.placed && (best == nil || v.before(best)) {
			best = v
		}
	}
	return best
}

// worst returns the place that is given away first. All are taken, and there is one.
func (s *Speakers) worst() (place int) {
	for i, v := range s.places {
		if s.places[place].before(v) {
			place = i
		}
	}
	return place
}

// before is a total order by the claim to a place: who speaks, the louder first, then who spoke last.
func (v *voice) before(w *voice) bool {
	if v.loud != w.loud {
		return v.loud
	}
	return cmp.Or(cmp.Compare(w.score, v.score), cmp.Compare(w.loudAt, v.loudAt), cmp.Compare(v.id, w.id)) < 0
}

// deserves reports whether v keeps its place against next, who speaks.
func (v *voice) deserves(next *voice) bool {
	return v.loud && (!next.speaking || next.score <= v.score+clearly)
}

package packet

// Speaker is one place in the order of those who speak.
type Speaker struct {
	ID    string
	Level uint8 // smoothed loudness in -dBov: 0 is the loudest
}

// Speakers smooths the audio levels of one room.
type Speakers struct{}

// Update notes one audio packet. It reports whether id is loud but has no place: call Loudest.
func (s *Speakers) Update(id string, level uint8, voice bool, now int64) (waiting bool) { return }

// Order returns who speaks, loudest first, and whether that differs from the last call. The slice is valid until the next call.
func (s *Speakers) Order(now int64) (changed bool, speakers []Speaker) { return }

// Loudest returns the n loudest. The slice is valid until the next call.
func (s *Speakers) Loudest(n int, now int64) []string { return nil }

// Remove forgets id.
func (s *Speakers) Remove(id string) {}

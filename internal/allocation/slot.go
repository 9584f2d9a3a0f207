package allocation

// Kind is what a slot is for. Lower kinds are served first.
type Kind uint8

// The kinds of slots, in the order in which they are served.
const (
	Audio    Kind = iota // always gets what it needs, whatever the budget
	Screen               // a shared screen: gets everything that it can use before cameras get anything
	Pinned               // a camera that the viewer chose
	Speaking             // a camera of somebody who speaks
	Other                // any other camera
)

// Reason says why a slot shows less than it could use.
type Reason uint8

// The reasons for showing less.
const (
	Satisfied Reason = iota // it shows all that it can use, or nobody sends anything
	Bandwidth               // there is no room for more
	Settling                // there is room, but it is not trusted yet: something has just changed or failed
)

// Layer is one way of showing a track: everything up to a spatial and a temporal layer. For simulcast the spatial layer is
// the rank of the stream.
type Layer struct {
	Spatial, Temporal uint8
	Width, Height     int     // of the picture, in pixels; 0 when unknown
	FrameRate         float64 // pictures a second; 0 when unknown
	Bitrate           int64   // bit/s of all that is sent for it, lower layers that it needs included
}

// Slot is one place for a track in a subscriber's picture, or in a link.
//
// The first part says what is wanted, and is the owner's. Grant is the solver's: what it said last, which it reads again
// in the next call. A slot that gets another track starts with a zero Grant.
type Slot struct {
	Kind          Kind
	Priority      int     // among slots of one kind, higher first
	Width, Height int     // of the place in pixels, 0 for no limit: nothing larger than fills it is shown
	Layers        []Layer // that are to be had, by spatial and then by temporal layer, at most maxLevels; not kept
	Grant
}

// Grant is what a slot is to show.
type Grant struct {
	Shown             bool // false: nothing
	Spatial, Temporal uint8
	Bitrate           int64 // bit/s that it was counted with; 0 when not shown
	Reason            Reason

	known   bool  // the slot has been through a Solve
	changed int64 // when Shown, Spatial or Temporal last changed
}

// maxLevels is the most layers that a slot may have: four spatial by four temporal ones.
const maxLevels = 16

// smooth is the frame rate from which more pixels are worth more to a camera than more pictures a second.
const smooth = 12

// ladder is the order in which a slot's layers are climbed.
type ladder struct {
	count int
	at    [maxLevels]uint8 // index into Layers, by level
	cost  [maxLevels]int64 // bit/s that the level adds to the one below; never negative
	held  int              // levels that the slot has now; 0 when it shows nothing
	level int              // levels that it has been given in this solution
	open  bool             // it may still be given more

	lacking int64 // bit/s in all that the level it was refused would have taken it to
}

// climb lays out the ladder of s. It does not depend on bit rates, so that their noise cannot change its order: where a
// higher level measures less than a lower one, it counts as much as that.
func (l *ladder) climb(s *Slot) {
	*l = ladder{open: true}
	layers := s.Layers[:min(len(s.Layers), maxLevels)]
	if len(layers) == 0 {
		return
	}
	top := s.fit(layers)
	if s.Kind == Screen {
		l.climbSharp(layers, top)
	} else {
		l.climbSmooth(layers, top)
	}
	highest := int64(0)
	for level := range l.count {
		layer := &layers[l.at[level]]
		l.cost[level] = max(layer.Bitrate-highest, 0)
		highest = max(highest, layer.Bitrate)
		if s.Shown && (layer.Spatial < s.Spatial || layer.Spatial == s.Spatial && layer.Temporal <= s.Temporal) {
			l.held = level + 1
		}
	}
	if s.Shown && l.held == 0 {
		l.held = 1 // what it shows is not to be had any more: the least takes its place
	}
}

// climbSharp puts resolution before frame rate: a screen is read, not watched.
func (l *ladder) climbSharp(layers []Layer, top uint8) {
	for i := range layers {
		if lowest := i == 0 || layers[i-1].Spatial != layers[i].Spatial; lowest && layers[i].Spatial <= top {
			l.add(i)
		}
	}
	for i := range layers {
		if lowest := i == 0 || layers[i-1].Spatial != layers[i].Spatial; !lowest && layers[i].Spatial == top {
			l.add(i)
		}
	}
}

// climbSmooth goes through spatial layers in turn, each by its temporal ones, but leaves out those that would trade
// fluent motion below for a few large pictures.
func (l *ladder) climbSmooth(layers []Layer, top uint8) {
	for i := range layers {
		jerky := layers[i].FrameRate > 0 && layers[i].FrameRate < smooth
		smoother := i+1 < len(layers) && layers[i+1].Spatial == layers[i].Spatial
		if layers[i].Spatial > top || jerky && smoother && layers[i].Spatial > layers[0].Spatial {
			continue
		}
		l.add(i)
	}
}

func (l *ladder) add(i int) {
	l.at[l.count] = uint8(i)
	l.count++
}

// fit returns the lowest spatial layer that fills the slot's place, stretched by an eighth at most.
func (s *Slot) fit(layers []Layer) uint8 {
	if s.Width > 0 || s.Height > 0 {
		for i := range layers {
			w, h := layers[i].Width, layers[i].Height
			if s.Width > 0 && w*9 >= s.Width*8 || s.Height > 0 && h*9 >= s.Height*8 {
				return layers[i].Spatial
			}
		}
	}
	return layers[len(layers)-1].Spatial
}

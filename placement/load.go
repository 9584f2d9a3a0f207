package placement

import "math"

// Load is how busy a node is. Whoever samples it smooths it over some seconds.
type Load struct {
	CPU              float64 // share of the machine, 0 to 1
	PacketsPerSecond float64 // media, received and sent
	BitsPerSecond    float64
	Participants     int
}

// Pressure says what a node's load means for choosing. The node decides it alone, with hysteresis, and gossips the
// outcome: so everybody acts on the same word, and a load that trembles around a limit changes nothing.
type Pressure int

// Pressures, each worse than the one before.
const (
	Free Pressure = iota // takes anything
	Busy                 // carries clearly more than its region's mean: new rooms go elsewhere first
	Full                 // new participants go elsewhere first, whatever they join
)

// String returns the word for people.
func (p Pressure) String() string {
	switch p {
	case Busy:
		return "busy"
	case Full:
		return "full"
	default:
		return "free"
	}
}

// Limits of pressure. Each is reached at its upper figure and left at its lower one.
const (
	fullAt, fullUntil = 0.85, 0.70 // of the machine
	busyAt, busyUntil = 1.15, 1.05 // of the mean of the region
	busyAbove         = 0.20       // of the machine: below it imbalance harms nobody
)

// next returns the pressure that a load amounts to, given what it was before and the region's mean share of CPU.
func (p Pressure) next(load Load, mean float64) Pressure {
	switch {
	case load.CPU >= fullAt, p == Full && load.CPU >= fullUntil:
		return Full
	case load.CPU < busyAbove*busyUntil/busyAt, p == Free && load.CPU < busyAbove:
		return Free
	case load.CPU >= busyAt*mean, p != Free && load.CPU >= busyUntil*mean:
		return Busy
	default:
		return Free
	}
}

// meanCPU is the mean over nodes that share new work, each by its capacity.
func meanCPU(nodes []Node) float64 {
	var sum, weights float64
	for _, n := range nodes {
		sum += n.Load.CPU * n.weight()
		weights += n.weight()
	}
	if weights == 0 {
		return 0
	}
	return sum / weights
}

// notable says whether a load differs enough from the one told last to be told again.
func (l Load) notable(told Load) bool {
	return math.Abs(l.CPU-told.CPU) >= 0.05 ||
		differs(l.PacketsPerSecond, told.PacketsPerSecond, 100) ||
		differs(l.BitsPerSecond, told.BitsPerSecond, 1e5) ||
		differs(float64(l.Participants), float64(told.Participants), 1)
}

// differs is true from a tenth on, and never below least.
func differs(a, b, least float64) bool {
	return math.Abs(a-b) >= max(least, math.Max(a, b)/10)
}

// sane replaces what is no figure, so that no comparison goes astray.
func (l Load) sane() Load {
	for _, f := range []*float64{&l.CPU, &l.PacketsPerSecond, &l.BitsPerSecond} {
		if math.IsNaN(*f) || math.IsInf(*f, 0) || *f < 0 {
			*f = 0
		}
	}
	l.CPU = min(l.CPU, 1)
	l.Participants = max(l.Participants, 0)
	return l
}

package bench

// What people do, and what is done to the cluster.
const (
	DoChurn    = "churn"    // viewers leave and others come in their place, Rate a second over all rooms
	DoSpeakers = "speakers" // who sends loud audio changes in each room, Every so often
	DoMute     = "mute"     // a Share of those who send mute themselves at the same moment, and unmute after For
	DoHands    = "hands"    // somebody in each room raises a hand, or lowers it, Every so often
	DoChat     = "chat"     // somebody writes to everybody, Rate a second over all rooms
	DoLayout   = "layout"   // a Share of the viewers turn to another Layout at the same moment
	DoMeetings = "meetings" // meetings are made and left empty, Rate a second

	DoDrain = "drain" // a Node sends its people to others; undrained after For
	DoKill  = "kill"  // a Node dies, and is started again after For
	DoNATS  = "nats"  // all NATS servers are away, For so long
	DoLink  = "link"  // the way from a Region to all others gets Delay, Jitter and Loss; undone after For
)

// An Action is something that goes on while it is measured. Which fields it has depends on Do; Scenario.Validate knows.
type Action struct {
	Do     string   `yaml:"do"`
	At     Duration `yaml:"at,omitempty"`  // since measuring began
	For    Duration `yaml:"for,omitempty"` // zero: to the end
	Rate   float64  `yaml:"rate,omitempty"`
	Every  Duration `yaml:"every,omitempty"`
	Away   Duration `yaml:"away,omitempty"`  // churn: from leaving to coming; zero: a second
	Share  float64  `yaml:"share,omitempty"` // zero: all
	Layout string   `yaml:"layout,omitempty"`
	Node   string   `yaml:"node,omitempty"`
	Region string   `yaml:"region,omitempty"`
	Delay  Duration `yaml:"delay,omitempty"` // one way
	Jitter Duration `yaml:"jitter,omitempty"`
	Loss   float64  `yaml:"loss,omitempty"` // share of the packets
}

// trait is what an action of a kind has to have and may have.
type trait struct {
	must, may []string // keys besides do, at and for
	long      bool     // For must be set
	lab       bool     // only the lab can do it
}

// traits are those of all actions.
func traits() map[string]trait {
	return map[string]trait{
		DoChurn:    {must: []string{"rate"}, may: []string{"away"}},
		DoSpeakers: {must: []string{"every"}},
		DoMute:     {must: []string{"for"}, may: []string{"share"}, long: true},
		DoHands:    {must: []string{"every"}},
		DoChat:     {must: []string{"rate"}},
		DoLayout:   {must: []string{"layout"}, may: []string{"share"}},
		DoMeetings: {must: []string{"rate"}},
		DoDrain:    {must: []string{"node"}},
		DoKill:     {must: []string{"node"}, lab: true},
		DoNATS:     {must: []string{"for"}, lab: true, long: true},
		DoLink:     {must: []string{"region"}, may: []string{"delay", "jitter", "loss"}, lab: true},
	}
}

// fields are the keys that the action has set, besides do, at and for.
func (a *Action) fields() map[string]bool {
	return map[string]bool{
		"rate": a.Rate != 0, "every": !a.Every.IsZero(), "away": !a.Away.IsZero(), "share": a.Share != 0, "layout": a.Layout != "",
		"node": a.Node != "", "region": a.Region != "", "delay": !a.Delay.IsZero(), "jitter": !a.Jitter.IsZero(), "loss": a.Loss != 0,
	}
}

func (a *Action) complete() {
	if a.Do == DoChurn && a.Away.IsZero() {
		a.Away = lasting(defaultAway)
	}
	if (a.Do == DoMute || a.Do == DoLayout) && a.Share == 0 {
		a.Share = 1
	}
}

// onCluster says whether it is done to the cluster, and not by people.
func (a *Action) onCluster() bool {
	switch a.Do {
	case DoDrain, DoKill, DoNATS, DoLink:
		return true
	default:
		return false
	}
}

// needsLab says whether only the lab can do it.
func (a *Action) needsLab() bool { return traits()[a.Do].lab }

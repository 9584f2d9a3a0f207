package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-sfu/parley/bench/reel"
)

// A measure is one of the times that a run takes.
type measure string

const (
	timeJoin      measure = "join"         // due → ticket
	timeSocket    measure = "websocket"    // dialling to open
	timeAnswer    measure = "offer_answer" // hello → answer
	timeICE       measure = "ice"
	timeDTLS      measure = "dtls"
	timeAudio     measure = "first_audio" // due → first packet
	timeFrame     measure = "first_frame" // due → first whole frame
	timeVoice     measure = "audio_latency"
	timeVideo     measure = "video_latency"
	timeEvent     measure = "event" // a change of presence: due → told, at everybody
	timeChat      measure = "chat"  // due → told, at everybody
	timeReconnect measure = "reconnect"
	timeMeet      measure = "create" // a meeting: due → made
)

func measures() []measure {
	return []measure{
		timeJoin, timeSocket, timeAnswer, timeICE, timeDTLS, timeAudio, timeFrame, timeVoice, timeVideo, timeEvent, timeChat, timeReconnect, timeMeet,
	}
}

// tallies are one of each measure.
type tallies map[measure]*tally

func newTallies() tallies {
	t := tallies{}
	for _, m := range measures() {
		t[m] = newTally()
	}
	return t
}

func (t tallies) merge(other tallies) {
	for m, mine := range t {
		if theirs := other[m]; theirs != nil {
			mine.merge(theirs)
		}
	}
}

// UnmarshalJSON takes no measure that is not known.
func (t *tallies) UnmarshalJSON(raw []byte) error {
	var read map[measure]*tally
	if err := json.Unmarshal(raw, &read); err != nil {
		return err
	}
	*t = newTallies()
	for m, theirs := range read {
		if !slices.Contains(measures(), m) || theirs == nil {
			return fmt.Errorf("measure %q is not known", m)
		}
		(*t)[m] = theirs
	}
	return nil
}

// counts are sums over people, which those of several agents add up to.
type counts struct {
	Publishers, Viewers int
	Lean                int // of the viewers: lean receivers
	Failed              int // joins
	Throttled           int // answers of 429 that were waited out
	Reconnects          int
	CutOff              int    // without a server at the end
	Moved               int    // to other nodes, because theirs drained
	Churned             int    // who left and were followed by others
	Received            uint64 // packets, by those who watch, while it was measured; likewise the following
	Missed              uint64 // before repair
	Lost                uint64 // after repair
	Freezes             uint64
	Watched, Frozen     float64 // seconds of pictures
	Refused             int     // steps that a server refused, or that found nobody there
	Meetings            int     // made by steps
	Verified            reel.Counts
	Verifiers           int // people who looked at every frame
}

func (c *counts) add(o *counts) {
	c.Publishers, c.Viewers = c.Publishers+o.Publishers, c.Viewers+o.Viewers
	c.Lean += o.Lean
	c.Failed, c.Throttled, c.Reconnects = c.Failed+o.Failed, c.Throttled+o.Throttled, c.Reconnects+o.Reconnects
	c.Moved, c.Churned, c.Refused, c.Meetings = c.Moved+o.Moved, c.Churned+o.Churned, c.Refused+o.Refused, c.Meetings+o.Meetings
	c.Received, c.Missed, c.Lost = c.Received+o.Received, c.Missed+o.Missed, c.Lost+o.Lost
	c.Freezes, c.Watched, c.Frozen = c.Freezes+o.Freezes, c.Watched+o.Watched, c.Frozen+o.Frozen
	c.CutOff, c.Verifiers = c.CutOff+o.CutOff, c.Verifiers+o.Verifiers
	c.Verified.Add(o.Verified)
}

// An outcome is all that the people of one agent went through, or those of all.
type outcome struct {
	Counts  counts
	Times   tallies
	Own     []Usage  // of each agent, while it was measured
	Joining []Usage  // likewise, while people came
	Faults  []string // of joins and steps, the first few
}

const maxFaults = 8 // told of each agent

func newOutcome() *outcome { return &outcome{Times: newTallies()} }

func (o *outcome) merge(other *outcome) {
	o.Counts.add(&other.Counts)
	o.Times.merge(other.Times)
	o.Own = append(o.Own, other.Own...)
	o.Joining = append(o.Joining, other.Joining...)
	for _, fault := range other.Faults {
		if len(o.Faults) < maxFaults && !slices.Contains(o.Faults, fault) {
			o.Faults = append(o.Faults, fault)
		}
	}
}

// faults are those of the outcome, as an error.
func (o *outcome) faults() error {
	all := make([]error, 0, len(o.Faults))
	for _, f := range o.Faults {
		all = append(all, errors.New(f))
	}
	return errors.Join(all...)
}

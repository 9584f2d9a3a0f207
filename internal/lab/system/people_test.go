package system_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// A person is a client in a region, and what it watches.
type person struct {
	*client.Client
	name  string
	node  *lab.Node // that it came through
	sends bool
	watch *mediaWatch
}

// attend brings somebody who is in the region into the meeting through the node, with camera and microphone or as somebody
// who only watches.
func attend(tb testing.TB, n *lab.Node, meeting, name string, sends bool) *person {
	tb.Helper()
	opts := client.Options{VideoSlots: 8, AudioSlots: 3}
	if sends {
		opts.Publish = []*client.Publication{camera(tb), client.NewMicrophone(clip(tb, "tone.ogg").Loop(), nil)}
	}
	p := attendWith(tb, n, meeting, name, client.JoinOptions{}, opts)
	p.sends = sends
	return p
}

// attendWith is attend for those who come in another way.
func attendWith(tb testing.TB, n *lab.Node, meeting, name string, how client.JoinOptions, opts client.Options) *person {
	tb.Helper()
	p := &person{name: name, node: n, watch: newMediaWatch()}
	how.DisplayName, opts.OnPacket = name, p.watch.packet
	p.Client = n.Region.Join(tb, n, meeting, how, opts)
	go drain(p.Client)
	return p
}

// awaitMedia waits until everybody gets some more sound and picture of everybody who sends, and returns how long it took.
func awaitMedia(tb testing.TB, limit time.Duration, everybody ...*person) time.Duration {
	tb.Helper()
	const enough = 10 // packets
	start := time.Now()
	mark(everybody)
	for _, f := range flows(everybody, nil) {
		lab.Until(tb, limit, f.String(), func() bool { return f.now().packets >= enough })
	}
	return time.Since(start)
}

// rosterAgrees says whether everybody knows that everybody is there, and nobody else is.
func rosterAgrees(everybody []*person) bool { return rosterFaults(everybody) == "" }

// rosterFaults says who misses whom, and who knows of somebody who is not there.
func rosterFaults(everybody []*person) string {
	var faults []string
	for _, p := range everybody {
		known := map[string]string{}
		for _, one := range p.Participants() {
			known[one.ID] = one.DisplayName
		}
		for _, other := range everybody {
			if id := other.Self().ID; known[id] == "" {
				faults = append(faults, fmt.Sprintf("%s (%s) misses %s", p.name, p.State(), other.name))
			} else {
				delete(known, id)
			}
		}
		for id, name := range known {
			faults = append(faults, fmt.Sprintf("%s (%s) still knows %s %s", p.name, p.State(), name, id))
		}
	}
	return strings.Join(faults, "; ")
}

// awaitRoster waits until everybody knows that everybody is there, and nobody else is.
func awaitRoster(tb testing.TB, limit time.Duration, everybody []*person) {
	tb.Helper()
	if m := (milestone{is: func() bool { return rosterAgrees(everybody) }}).await(limit); !m.reached {
		tb.Fatalf("the rosters do not agree within %s: %s", limit, rosterFaults(everybody))
	}
}

// raise raises or lowers a hand and returns how long it took until the others saw it, or fails.
func raise(tb testing.TB, limit time.Duration, up bool, who *person, others ...*person) time.Duration {
	tb.Helper()
	start := time.Now()
	if err := who.Presence(tb.Context(), wire.PresenceUpdate{HandRaised: &up}); err != nil {
		tb.Fatal(err)
	}
	for _, watcher := range others {
		lab.Until(tb, limit, fmt.Sprintf("%s sees the hand of %s", watcher.name, who.name), func() bool {
			for _, p := range watcher.Participants() {
				if p.ID == who.Self().ID {
					return p.HandRaised == up
				}
			}
			return false
		})
	}
	return time.Since(start)
}

// flow is what one person receives of another.
type flow struct {
	to, from *person
	kind     string
}

func (f flow) String() string { return fmt.Sprintf("%s of %s at %s", f.kind, f.from.name, f.to.name) }

// now is what came since the last mark.
func (f flow) now() received { return f.to.watch.of(f.from.Self().ID, f.kind) }

// flows are all between people who belong together; a nil rule is for everybody.
func flows(everybody []*person, together func(to, from *person) bool) []flow {
	var all []flow
	for _, to := range everybody {
		for _, from := range everybody {
			if to == from || !from.sends || together != nil && !together(to, from) {
				continue
			}
			all = append(all, flow{to, from, "audio"}, flow{to, from, "video"})
		}
	}
	return all
}

// longest are the longest silences since the mark, by kind, and the worst of them.
func longest(of []flow) (gaps []time.Duration, worst flow) {
	var most time.Duration
	for _, f := range of {
		gap := f.now().longest
		gaps = append(gaps, gap)
		if gap >= most {
			most, worst = gap, f
		}
	}
	return gaps, worst
}

// mark begins a measurement for everybody.
func mark(everybody []*person) {
	for _, p := range everybody {
		p.watch.mark()
	}
}

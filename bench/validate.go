package bench

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
)

const defaultAway = time.Second

// faults collects what is wrong, each with its key.
type faults []error

func (f *faults) add(is bool, key, format string, args ...any) {
	if is {
		*f = append(*f, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
}

func (f *faults) duration(key string, d Duration, least time.Duration) {
	f.add(d.bad != "", key, "%q is no duration, such as 90s", d.bad)
	f.add(d.bad == "" && d.Duration < least, key, "must be at least %s", least)
	f.add(d.Duration > maxDuration, key, "must be at most %s", maxDuration)
}

func (f *faults) oneOf(key, value string, of ...string) {
	f.add(!slices.Contains(of, value), key, "%q is none of %s", value, strings.Join(of, ", "))
}

func (f *faults) number(key string, value, least, most float64) {
	f.add(!(value >= least && value <= most), key, "must be from %g to %g", least, most) // NaN is in no range
}

// Validate reports all faults at once, each naming its key.
func (s *Scenario) Validate() error {
	var f faults
	f.number("rooms", float64(s.Rooms), 1, maxRooms)
	f.duration("duration", s.Duration, time.Second)
	f.add(s.Join.Rate != 0 && !s.Join.Within.IsZero(), "join", "has a rate and a time; one of them is meant")
	f.duration("join.within", s.Join.Within, 0)
	if s.Join.Rate != 0 {
		f.number("join.rate", s.Join.Rate, 0.01, maxRate)
	}
	f.add(len(s.Regions) > maxRegions, "regions", "more than %d", maxRegions)
	for _, name := range slices.Sorted(maps.Keys(s.Regions)) {
		f.add(len(s.Regions[name]) == 0, "regions."+name, "has no URL")
		for i, u := range s.Regions[name] {
			f.add(!isWeb(u), fmt.Sprintf("regions.%s[%d]", name, i), "must begin with http:// or https://")
		}
	}
	f.add(len(s.People) == 0, "people", "nobody would come")
	f.add(len(s.People) > maxGroups, "people", "more than %d groups", maxGroups)
	for i := range s.People {
		s.People[i].check(&f, fmt.Sprintf("people[%d]", i), s.Regions)
	}
	f.add(s.Rooms > 0 && s.perRoom() > maxPeople/s.Rooms, "people", "more than %d in all rooms", maxPeople)
	f.add(len(s.Actions) > maxActions, "actions", "more than %d", maxActions)
	steps := 0.0
	for i := range s.Actions {
		a := &s.Actions[i]
		a.check(&f, fmt.Sprintf("actions[%d]", i), s)
		steps += a.steps(s)
	}
	f.add(steps > maxSteps, "actions", "come to %.0f steps, more than %d", steps, maxSteps)
	return errors.Join(f...)
}

func isWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (g *Group) check(f *faults, key string, regions map[string][]string) {
	f.oneOf(key+".role", g.Role, roleAttendee, roleViewer)
	f.number(key+".count", float64(g.Count), 1, maxPeople)
	f.oneOf(key+".sends", g.Sends, SendsAV, SendsAudio, SendsVideo, SendsNothing)
	f.add(g.Role == roleViewer && g.Sends != SendsNothing, key+".sends", "a viewer may send nothing")
	f.oneOf(key+".codec", g.Codec, reel.VP8, reel.H264)
	f.oneOf(key+".layout", g.Layout, LayoutGrid, LayoutSpeaker, LayoutNone)
	f.number(key+".page", float64(g.Page), 1, maxPage)
	f.oneOf(key+".receiver", g.Receiver, ReceiverWhole, ReceiverLean)
	f.add(g.Receiver == ReceiverLean && g.Sends != SendsNothing, key+".receiver", "a lean one sends nothing")
	f.number(key+".verify", *g.Verify, 0, 1)
	for i, rid := range g.Layers {
		f.oneOf(fmt.Sprintf("%s.layers[%d]", key, i), rid, reel.Rids()...)
	}
	inOrder := slices.IsSortedFunc(g.Layers, func(a, b string) int { return slices.Index(reel.Rids(), a) - slices.Index(reel.Rids(), b) })
	f.add(!inOrder || len(slices.Compact(slices.Clone(g.Layers))) != len(g.Layers), key+".layers", "must be in the order of q, h, f, each once")
	if _, known := regions[g.Region]; g.Region != "" {
		f.add(!known, key+".region", "%q is none of regions", g.Region)
	}
}

func (a *Action) check(f *faults, key string, s *Scenario) {
	kind, known := traits()[a.Do]
	if !known {
		f.oneOf(key+".do", a.Do, slices.Sorted(maps.Keys(traits()))...)
		return
	}
	has := a.fields()
	for _, field := range slices.Sorted(maps.Keys(has)) {
		f.add(has[field] && !slices.Contains(kind.must, field) && !slices.Contains(kind.may, field), key+"."+field, "%s has none", a.Do)
		f.add(!has[field] && slices.Contains(kind.must, field), key+"."+field, "%s needs it", a.Do)
	}
	f.duration(key+".at", a.At, 0)
	f.duration(key+".for", a.For, 0)
	f.add(kind.long && a.For.IsZero(), key+".for", "%s needs it", a.Do)
	f.add(a.At.Duration > s.Duration.Duration, key+".at", "is after the end of the run")
	if has["every"] {
		f.duration(key+".every", a.Every, 100*time.Millisecond)
	}
	f.duration(key+".away", a.Away, 0)
	f.duration(key+".delay", a.Delay, 0)
	f.duration(key+".jitter", a.Jitter, 0)
	f.number(key+".share", a.Share, 0, 1)
	f.number(key+".loss", a.Loss, 0, 1)
	if has["rate"] {
		f.number(key+".rate", a.Rate, 0.001, maxRate)
	}
	if has["layout"] {
		f.oneOf(key+".layout", a.Layout, LayoutGrid, LayoutSpeaker)
	}
}

// steps is about how many steps the action comes to.
func (a *Action) steps(s *Scenario) float64 {
	seconds := a.lasts(s).Seconds()
	switch {
	case a.Rate > 0:
		return 2 * a.Rate * seconds
	case a.Every.Duration > 0:
		return seconds / a.Every.Seconds() * float64(s.Rooms)
	case a.Share > 0:
		return 2 * a.Share * float64(s.Rooms*s.perRoom())
	default:
		return 2
	}
}

// lasts is how long the action goes on, to the end of the run at most.
func (a *Action) lasts(s *Scenario) time.Duration {
	rest := max(s.Duration.Duration-a.At.Duration, 0)
	if a.For.IsZero() {
		return rest
	}
	return min(a.For.Duration, rest)
}

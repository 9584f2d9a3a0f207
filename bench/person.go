package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// Sizes of pictures, in device pixels.
const (
	thumbWidth, thumbHeight = 160, 90
	largeWidth, largeHeight = 1280, 720
)

// A person is who sits in a seat now.
type person struct {
	Viewer
	cast  *cast
	seat  seat
	group *Group

	due, began time.Time // the join, and of it what is after the ticket
	loud       atomic.Bool

	received ledger

	mu   sync.Mutex // protects following
	lost time.Time  // the server; zero: it is not
}

// name is what the person is called. Agents tell by it who is whose.
func (s seat) name(role string) string { return fmt.Sprintf("%s %d", role, s.number) }

// seatOf reads the seat from a name.
func seatOf(name string) (number int, ok bool) {
	_, digits, found := strings.Cut(name, " ")
	number, err := strconv.Atoi(digits)
	return number, found && err == nil
}

// watches says whether the person receives anything.
func (p *person) watches() bool { return p.group.Layout != LayoutNone }

// options are what the person joins with.
func (p *person) options() client.Options {
	s := p.cast.plan.scenario
	opts := client.Options{
		VideoSlots: client.NoSlots, AudioSlots: client.NoSlots, HTTPClient: p.cast.http,
		Codecs: reel.Codecs(s.codecs()), // offers stay small
	}
	if p.watches() {
		opts.AudioSlots = voiceSlots
		if n := s.pictures(p.group); n > 0 {
			opts.VideoSlots = n
		}
	}
	opts.Publish = p.cast.reel.Publications(reel.What{
		Camera: p.group.camera(), Voice: p.group.voice(), Codec: p.group.Codec, Layers: p.group.Layers, Level: p.level,
	})
	if p.cast.place != nil {
		p.cast.place(p.group.Region, &opts)
	}
	return opts
}

// level is how loud the person is. Where nobody is made loud, each is a little less loud than the one before, so that the
// servers' choice of the loudest is the same in every run.
func (p *person) level(time.Duration) client.Level {
	const speaking, first, quiet = 15, 20, 60
	dBov := uint8(first + p.seat.number%80)
	if p.cast.rotates {
		dBov = uint8(quiet + p.seat.number%40)
	}
	if p.loud.Load() {
		dBov = speaking
	}
	return client.Level{DBov: dBov, Voice: p.loud.Load() || !p.cast.rotates}
}

// watch asks for the sizes of a layout. The client knows its slots before the server has said what they carry.
func (p *person) watch(ctx context.Context, layout string) error {
	var mids []string
	for _, s := range p.SlotStats() {
		if s.Slot.Kind == "video" {
			mids = append(mids, s.Slot.MID)
		}
	}
	slots := sizes(layout, len(mids))
	for i, mid := range mids {
		slots[i].MID = mid
	}
	return p.Subscribe(ctx, slots...)
}

// sizes is what so many slots show of a layout.
func sizes(layout string, count int) []wire.SlotRequest {
	slots := make([]wire.SlotRequest, count)
	for i := range slots {
		slots[i] = wire.SlotRequest{MaxWidth: thumbWidth, MaxHeight: thumbHeight}
	}
	if layout == LayoutSpeaker && count > 0 {
		slots[0] = wire.SlotRequest{MaxWidth: largeWidth, MaxHeight: largeHeight, Priority: 1}
	}
	return slots
}

// Presence implements Hearer.
func (p *person) Presence(change wire.PresenceChanged) {
	if change.HandRaised != nil {
		p.cast.noticed(change.ParticipantID, stepHand, *change.HandRaised)
	}
	if change.AudioMuted != nil {
		p.cast.noticed(change.ParticipantID, stepMute, *change.AudioMuted)
	}
}

// Chat implements Hearer.
func (p *person) Chat(text string) {
	if due, ok := chatDue(text); ok {
		p.cast.times[timeChat].add(time.Since(due))
	}
}

// Latency implements Hearer.
func (p *person) Latency(video bool, late time.Duration) {
	if video {
		p.cast.times[timeVideo].add(late)
	} else {
		p.cast.times[timeVoice].add(late)
	}
}

// Moved implements Hearer.
func (p *person) Moved() { p.cast.tell(func(c *counts) { c.Moved++ }) }

// State implements Hearer: it notes how long the person was without a server.
func (p *person) State(state client.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case state == client.StateReconnecting && p.lost.IsZero():
		p.lost = time.Now()
	case state == client.StateJoined && !p.lost.IsZero():
		p.cast.times[timeReconnect].add(time.Since(p.lost))
		p.cast.tell(func(c *counts) { c.Reconnects++ })
		p.lost = time.Time{}
	}
}

// cutOff says whether the person is without a server now. They have waited for so long at least.
func (p *person) cutOff(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost.IsZero() {
		return false
	}
	p.cast.times[timeReconnect].add(now.Sub(p.lost))
	return true
}

const chatPrefix = "swarm "

// chatText says when it was due.
func chatText(due time.Time) string { return chatPrefix + strconv.FormatInt(due.UnixNano(), 10) }

func chatDue(text string) (time.Time, bool) {
	digits, ok := strings.CutPrefix(text, chatPrefix)
	nanos, err := strconv.ParseInt(digits, 10, 64)
	return time.Unix(0, nanos), ok && err == nil
}

// do carries out a step of the person's.
func (p *person) do(ctx context.Context, st step, due time.Time) error {
	switch st.do {
	case stepLoud:
		p.loud.Store(st.on)
		return nil
	case stepMute:
		return p.Viewer.Presence(ctx, wire.PresenceUpdate{AudioMuted: &st.on})
	case stepHand:
		return p.Viewer.Presence(ctx, wire.PresenceUpdate{HandRaised: &st.on})
	case stepChat:
		return p.Viewer.Chat(ctx, chatText(due), "")
	case stepTurn:
		return p.watch(ctx, p.cast.plan.scenario.Actions[st.action].Layout)
	default:
		return errors.New("is no step of a person's: " + string(st.do))
	}
}

// lived is what somebody who leaves for good went through.
func (p *person) lived() counts {
	k := p.received.enter(time.Now(), p.SlotStats)
	k.Churned++
	p.verified(&k)
	return k
}

// verified adds what the person has found in the frames.
func (p *person) verified(c *counts) {
	if found, looked := p.Verified(); looked {
		c.Verifiers++
		c.Verified.Add(found)
	}
}

// timed adds the steps of the person's join. Those of the whole way count from when the join was due. Who still waits for
// sound or picture at the end has waited for so long at least.
func (p *person) timed(to tallies, now time.Time, stayed bool) {
	t := p.Timings()
	for m, d := range map[measure]time.Duration{timeSocket: t.WebSocket, timeAnswer: t.OfferAnswer, timeICE: t.ICE, timeDTLS: t.DTLS} {
		if d > 0 {
			to[m].add(d)
		}
	}
	late := p.began.Sub(p.due) - t.Join
	s := p.cast.plan.scenario
	for _, first := range []struct {
		m    measure
		took time.Duration
		owed bool
	}{
		{timeAudio, t.FirstAudio, p.watches() && s.voices()},
		{timeFrame, t.FirstVideo, s.pictures(p.group) > 0},
	} {
		switch {
		case first.took > 0:
			to[first.m].add(late + first.took)
		case first.owed && stayed:
			to[first.m].add(now.Sub(p.due))
		}
	}
}

// voices says whether anybody sends sound.
func (s *Scenario) voices() bool {
	for i := range s.People {
		if s.People[i].voice() {
			return true
		}
	}
	return false
}

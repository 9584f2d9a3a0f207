package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// A person is one participant of a run.
type person struct {
	*client.Client
	run   *run
	room  *meeting
	sends bool

	began, ended []client.SlotStats // of the measured time
	resumed      atomic.Int64       // sockets that were lost and came back
}

const joinTimeout = 60 * time.Second

// join brings somebody into a room and measures how long every step took.
func (r *run) join(ctx context.Context, room *meeting, number int, sends bool) (*person, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	p := &person{run: r, room: room, sends: sends}
	role, name := "viewer", fmt.Sprintf("viewer %d", number)
	opts := client.Options{
		VideoSlots: client.NoSlots, AudioSlots: voiceSlots, HTTPClient: r.rest.http, OnPacket: p.packet,
		Codecs: []string{"video/VP8"}, // what is published: offers stay small
	}
	if sends {
		role, name = "attendee", fmt.Sprintf("publisher %d", number)
		opts.Publish = r.reel.publications(r.plan.Media, number)
		opts.AudioSlots = client.NoSlots // what publishers receive would count as nobody's
	} else if n := r.plan.videoSlots(); n > 0 {
		opts.VideoSlots = n
	}
	ticket, err := r.ticket(ctx, room.id, client.JoinOptions{DisplayName: name, Role: role, HTTPClient: r.rest.http})
	if err != nil {
		return nil, err
	}
	if p.Client, err = client.Connect(ctx, ticket, opts); err != nil {
		return nil, err
	}
	go p.follow()
	if !sends && opts.VideoSlots > 0 {
		if err := p.watch(ctx); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

// ticket asks for one, and again where the server asks for patience: a thousand people come from one address here.
func (r *run) ticket(ctx context.Context, meeting string, opts client.JoinOptions) (client.Ticket, error) {
	for {
		t, err := client.JoinMeeting(ctx, r.plan.URL, meeting, opts)
		if refused := (*client.Error)(nil); !errors.As(err, &refused) || refused.Status != 429 {
			return t, err
		}
		r.throttled.Add(1)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return client.Ticket{}, err
		}
	}
}

// watch asks for the sizes of the layout. The client knows its slots before the server has said what they carry.
func (p *person) watch(ctx context.Context) error {
	var slots []wire.SlotRequest
	for _, s := range p.SlotStats() {
		if s.Slot.Kind != "video" {
			continue
		}
		want := wire.SlotRequest{MID: s.Slot.MID, MaxWidth: thumbWidth, MaxHeight: thumbHeight}
		if p.run.plan.Layout == LayoutSpeaker && len(slots) == 0 {
			want.MaxWidth, want.MaxHeight, want.Priority = largeWidth, largeHeight, 1
		}
		slots = append(slots, want)
	}
	return p.Subscribe(ctx, slots...)
}

// packet is called for every packet that a viewer receives.
func (p *person) packet(packet client.Packet) {
	if packet.SentAt.IsZero() || packet.Repaired {
		return
	}
	late := packet.Arrived.Sub(packet.SentAt)
	if packet.MimeType == "audio/opus" {
		p.room.audio.add(late)
	} else {
		p.room.video.add(late)
	}
}

// follow hears what the person is told, until it has left.
func (p *person) follow() {
	for event := range p.Events() {
		switch event := event.(type) {
		case client.PresenceChanged:
			if event.HandRaised != nil {
				p.room.hands.saw(event.ParticipantID, *event.HandRaised)
			}
		case client.StateChanged:
			if event.State == client.StateReconnecting {
				p.resumed.Add(1)
			}
		}
	}
}

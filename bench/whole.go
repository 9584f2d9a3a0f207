package bench

import (
	"context"
	"sync"

	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
)

// A wholeViewer is a client of the public library, with all that it does.
type wholeViewer struct {
	*client.Client
	hears  Hearer
	verify *reel.Reel // nil: frames are not looked at

	mu       sync.Mutex // protects following
	checkers map[stream]*reel.Checker
}

// stream is one received stream: a slot of one of a client's connections.
type stream struct {
	connection int
	mid        string
}

// whole is the Connector of whole clients.
func whole(ctx context.Context, e Entry) (Viewer, error) {
	v := &wholeViewer{hears: e.Hears, checkers: map[stream]*reel.Checker{}}
	if e.Verify {
		v.verify = e.Reel
	}
	e.Options.OnPacket = v.packet
	c, err := client.Connect(ctx, e.Ticket, e.Options)
	if err != nil {
		return nil, err
	}
	v.Client = c
	go v.follow()
	return v, nil
}

// ParticipantID implements Viewer.
func (v *wholeViewer) ParticipantID() string { return v.Self().ID }

// packet is called for every packet, by one goroutine a slot.
func (v *wholeViewer) packet(packet client.Packet) {
	if !packet.SentAt.IsZero() && !packet.Repaired {
		v.hears.Latency(packet.Slot.Kind == "video", packet.Arrived.Sub(packet.SentAt))
	}
	if v.verify == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	of := stream{packet.Connection, packet.Slot.MID}
	checker := v.checkers[of]
	if checker == nil {
		checker = v.verify.Checker()
		v.checkers[of] = checker
	}
	checker.Packet(packet)
}

// Verified implements Viewer.
func (v *wholeViewer) Verified() (sum reel.Counts, looked bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, checker := range v.checkers {
		sum.Add(checker.Counts())
	}
	return sum, len(v.checkers) > 0
}

// follow hears what the client is told, until it has left.
func (v *wholeViewer) follow() {
	for event := range v.Events() {
		switch event := event.(type) {
		case client.PresenceChanged:
			v.hears.Presence(event.PresenceChanged)
		case client.ChatReceived:
			v.hears.Chat(event.Text)
		case client.Migrated:
			v.hears.Moved()
		case client.StateChanged:
			v.hears.State(event.State)
		}
	}
}

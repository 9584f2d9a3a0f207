package bench

import (
	"context"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// A Viewer is somebody who has joined, as a run needs them: a whole *client.Client, or a lean receiver that joins like one.
// What its methods promise is what those of *client.Client do.
type Viewer interface {
	Self() wire.Participant
	Participants() []wire.Participant
	Timings() client.Timings
	// SlotStats are asked for once a second. A lean one fills in Slot, Packets, Missed, Lost, Freezes and FreezeTime.
	SlotStats() []client.SlotStats
	// Events has at least PresenceChanged, ChatReceived and StateChanged. The channel is closed once the viewer has left.
	Events() <-chan client.Event

	Subscribe(ctx context.Context, slots ...wire.SlotRequest) error
	Presence(ctx context.Context, update wire.PresenceUpdate) error
	Chat(ctx context.Context, text, to string) error
	Close() error
}

// A Connector joins with a ticket, as client.Connect does. It calls OnPacket for every packet where that is set, in one
// goroutine a slot; lean receivers are given one only where they are to verify what they receive.
type Connector func(context.Context, client.Ticket, client.Options) (Viewer, error)

// whole is the Connector of the public client.
func whole(ctx context.Context, ticket client.Ticket, opts client.Options) (Viewer, error) {
	c, err := client.Connect(ctx, ticket, opts)
	if err != nil {
		return nil, err // no Viewer at all, and not one that is nil inside
	}
	return c, nil
}

package bench

import (
	"context"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// A Viewer is somebody who has joined, as a run needs them: a whole client of the public library, or a lean receiver that
// joins like one. What its methods promise is what those of *client.Client do.
type Viewer interface {
	Timings() client.Timings
	// SlotStats are asked for once a second. A lean one fills in Slot, Packets, Missed, Lost, Freezes and FreezeTime.
	SlotStats() []client.SlotStats
	// Verified says what was found in the frames, and whether they were looked at.
	Verified() (reel.Counts, bool)

	Subscribe(ctx context.Context, slots ...wire.SlotRequest) error
	Presence(ctx context.Context, update wire.PresenceUpdate) error
	Chat(ctx context.Context, text, to string) error
	Close() error
}

// An Entry is how somebody is to join.
type Entry struct {
	Ticket  client.Ticket
	Options client.Options     // slots, codecs, what is published, and where sockets are opened; no OnPacket
	Layout  []wire.SlotRequest // sizes that the picture slots show at first; a lean receiver asks for them while it joins
	Verify  bool               // look at every frame
	Reel    *reel.Reel         // what is published in the run
	Hears   Hearer
}

// A Hearer is told what a viewer is told. Its methods do not block, and are safe for concurrent use.
type Hearer interface {
	// Presence says that somebody's hand or microphone has changed.
	Presence(change wire.PresenceChanged)
	Chat(text string)
	// Latency is the time from a frame's stamp to its arrival. Packets that were repaired are left out.
	Latency(video bool, late time.Duration)
	// State says that the server was lost (client.StateReconnecting), and found again (client.StateJoined).
	State(state client.State)
	// Moved says that the viewer has moved to another node, because its own drains.
	Moved()
}

// A Connector joins.
type Connector func(context.Context, Entry) (Viewer, error)

package bench

import (
	"context"

	"github.com/parley-sfu/parley/signal/client"
)

// A wholeViewer is a client of the public library, with all that it does.
type wholeViewer struct {
	*client.Client
	*inspector
}

// whole is the Connector of whole clients.
func whole(ctx context.Context, e Entry) (Viewer, error) {
	v := &wholeViewer{inspector: newInspector(e)}
	e.Options.OnPacket = v.packet
	c, err := client.Connect(ctx, e.Ticket, e.Options)
	if err != nil {
		return nil, err
	}
	v.Client = c
	go v.follow()
	return v, nil
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

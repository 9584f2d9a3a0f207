package path

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/pion/rtp"

	"github.com/parley-sfu/parley/bench/lean"
	"github.com/parley-sfu/parley/bench/server"
	"github.com/parley-sfu/parley/signal/client"
)

const joiners = 8 // people who join at the same time

// newParley starts a node and brings a load's people into one room of it.
func newParley(ctx context.Context, name, binary string, load Load) (*contender, error) {
	room, err := openParley(ctx, name, binary, load)
	if err != nil {
		return nil, err
	}
	if err = room.publish(ctx, load.Publishers); err == nil {
		err = room.watch(ctx, load.Viewers)
	}
	if err == nil {
		err = room.warmUp(ctx, load)
	}
	if err != nil {
		return nil, errors.Join(err, room.close())
	}
	return &room.contender, nil
}

// A parleyRoom is a room of a node, which people join as all do: REST, WebSocket, ICE, DTLS.
type parleyRoom struct {
	contender

	node    *server.Parley
	meeting string
	fleet   *fleet
	load    Load
	mu      sync.Mutex // protects the contender while people join
}

// openParley starts a node with an empty room for so many people as a load has.
func openParley(ctx context.Context, name, binary string, load Load) (opened *parleyRoom, err error) {
	r := &parleyRoom{contender: contender{name: name}, load: load}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.node, err = server.StartParley(ctx, binary); err != nil {
		return nil, err
	}
	r.process = r.node.Process
	r.later(r.node.Stop)
	if r.meeting, err = r.node.Meeting(ctx, load.Publishers+load.Viewers, load.Publishers); err != nil {
		return nil, err
	}
	var stop func() error
	if r.fleet, stop, err = newFleet(ctx); err != nil {
		return nil, err
	}
	r.people = r.fleet
	r.later(stop)
	return r, nil
}

// publish brings more publishers in, over the public client.
func (r *parleyRoom) publish(ctx context.Context, count int) error {
	err := inParallel(ctx, count, func() error {
		ticket, err := r.ticket(ctx, "attendee")
		if err != nil {
			return err
		}
		pub := r.load.publication()
		p, err := client.Connect(ctx, ticket, client.Options{
			Publish: []*client.Publication{pub}, VideoSlots: client.NoSlots, AudioSlots: client.NoSlots, Transport: client.TransportUDP,
		})
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.later(p.Close)
		r.sources = append(r.sources, publisher{pub})
		return nil
	})
	if err != nil {
		return fmt.Errorf("publishers: %w", err)
	}
	return nil
}

// watch brings more viewers in, lean ones with as many slots as there are to be publishers.
func (r *parleyRoom) watch(ctx context.Context, count int) error {
	opts := lean.Options{AudioSlots: r.load.Publishers}
	if r.load.video() {
		opts = lean.Options{VideoSlots: r.load.Publishers}
	}
	err := inParallel(ctx, count, func() error {
		ticket, err := r.ticket(ctx, "viewer")
		if err != nil {
			return err
		}
		v, err := r.fleet.Join(ctx, ticket, opts)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.later(v.Close)
		r.fleet.add(v)
		r.viewers++
		return nil
	})
	if err != nil {
		return fmt.Errorf("viewers: %w", err)
	}
	return nil
}

func (r *parleyRoom) ticket(ctx context.Context, role string) (client.Ticket, error) {
	return client.JoinMeeting(ctx, r.node.URL, r.meeting, client.JoinOptions{DisplayName: role, Role: role, HTTPClient: http.DefaultClient})
}

// publication is what one publisher sends. Of microphones a node would forward the loudest few; the sound of screens it forwards to all.
func (l Load) publication() *client.Publication {
	name := client.SourceMicrophone
	switch {
	case l.video():
		name = client.SourceCamera
	case l.Publishers > 1:
		name = client.SourceScreenAudio
	}
	return client.NewPublication(name, client.PublicationOptions{}, client.Layer{MimeType: l.mime()})
}

// publisher is a source for Parley.
type publisher struct{ *client.Publication }

// WriteRTP implements source.
func (p publisher) WriteRTP(packet *rtp.Packet) error { return p.Publication.WriteRTP("", packet) }

// inParallel calls f so often, a few calls at a time, and stops at the first error.
func inParallel(ctx context.Context, times int, f func() error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	free := make(chan struct{}, joiners)
	var wg sync.WaitGroup
	for range times {
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-free }()
			if err := f(); err != nil {
				stop(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

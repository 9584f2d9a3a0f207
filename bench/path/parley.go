package path

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/pion/rtp"

	"github.com/parley-sfu/parley/bench/server"
	"github.com/parley-sfu/parley/signal/client"
)

const joiners = 8 // people who join at the same time

// newParley starts a node and brings a load's people into one room of it.
func newParley(ctx context.Context, binary string, load Load) (*contender, error) {
	room, err := openParley(ctx, binary, load)
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

// A parleyRoom is a room of a node, which people join over the public client: REST, WebSocket, ICE, DTLS.
type parleyRoom struct {
	contender

	node    *server.Parley
	meeting string
	network *loopback
	load    Load
	mu      sync.Mutex // protects the contender while people join
}

// openParley starts a node with an empty room for so many people as a load has.
func openParley(ctx context.Context, binary string, load Load) (r *parleyRoom, err error) {
	r = &parleyRoom{contender: contender{name: Parley}, load: load}
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
	r.attend(ctx)
	r.network, err = newLoopback(r.sweeper)
	return r, err
}

// publish brings more publishers in.
func (r *parleyRoom) publish(ctx context.Context, count int) error {
	err := inParallel(ctx, count, func() error {
		pub := r.load.publication()
		opts := client.Options{Publish: []*client.Publication{pub}, VideoSlots: client.NoSlots, AudioSlots: client.NoSlots}
		return r.join(ctx, "attendee", opts, func() { r.sources = append(r.sources, publisher{pub}) })
	})
	if err != nil {
		return fmt.Errorf("publishers: %w", err)
	}
	return nil
}

// watch brings more viewers in.
func (r *parleyRoom) watch(ctx context.Context, count int) error {
	err := inParallel(ctx, count, func() error {
		return r.join(ctx, "viewer", r.load.watching(client.Options{Net: r.network}), func() { r.viewers++ })
	})
	if err != nil {
		return fmt.Errorf("viewers: %w", err)
	}
	return nil
}

// join brings one person in and notes it.
func (r *parleyRoom) join(ctx context.Context, role string, opts client.Options, note func()) error {
	opts.Transport, opts.Codecs = client.TransportUDP, []string{"video/VP8"}
	ticket, err := client.JoinMeeting(ctx, r.node.URL, r.meeting, client.JoinOptions{DisplayName: role, Role: role, HTTPClient: http.DefaultClient})
	if err != nil {
		return err
	}
	p, err := client.Connect(ctx, ticket, opts)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.later(p.Close)
	note()
	return nil
}

// publication is what one publisher sends.
func (l Load) publication() *client.Publication {
	name := client.SourceMicrophone
	if l.video() {
		name = client.SourceCamera
	}
	return client.NewPublication(name, client.PublicationOptions{}, client.Layer{MimeType: l.mime()})
}

// watching asks for as many slots as there are publishers.
func (l Load) watching(opts client.Options) client.Options {
	opts.VideoSlots, opts.AudioSlots = client.NoSlots, client.NoSlots
	if l.video() {
		opts.VideoSlots = l.Publishers
	} else {
		opts.AudioSlots = l.Publishers
	}
	return opts
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

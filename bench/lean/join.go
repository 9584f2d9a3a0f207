package lean

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// receiveBuffer of a socket, in bytes, best effort: a keyframe of every camera between two turns. The kernel takes memory
// only for what lies there.
const receiveBuffer = 1 << 20

// Join brings a viewer into the room of a ticket, and returns it once media can flow. The context bounds joining alone. The
// fleet must be running.
func (f *Fleet) Join(ctx context.Context, ticket client.Ticket, opts Options) (*Viewer, error) {
	if err := validate(opts); err != nil {
		return nil, fmt.Errorf("lean viewer: %w", err)
	}
	v := f.newViewer(ticket, opts)
	if err := v.join(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lean viewer: %w", err), v.Close())
	}
	return v, nil
}

func validate(o Options) error {
	if o.AudioSlots < 0 || o.VideoSlots < 0 || o.AudioSlots+o.VideoSlots == 0 {
		return fmt.Errorf("it would receive %d sounds and %d pictures", o.AudioSlots, o.VideoSlots)
	}
	for _, mime := range o.Codecs {
		if _, ok := payloadOf(mime); !ok {
			return fmt.Errorf("codec %q is not supported", mime)
		}
	}
	return nil
}

func (f *Fleet) newViewer(ticket client.Ticket, opts Options) *Viewer {
	if opts.Codecs == nil {
		opts.Codecs = []string{mimeVP8}
	}
	v := &Viewer{
		fleet: f, ticket: ticket, opts: opts, began: time.Now(),
		ready: make(chan struct{}), entered: make(chan struct{}), refused: make(chan error, 1),
		slots: make([]slot, opts.AudioSlots+opts.VideoSlots), ssrc: random32(),
	}
	v.reader = f.readers[f.next.Add(1)%uint32(len(f.readers))]
	v.timings.Join = ticket.Took
	for i := range v.slots {
		s := &v.slots[i]
		s.mid, s.video = strconv.Itoa(i), i >= opts.AudioSlots
		kind := "audio"
		if s.video {
			kind = "video"
		}
		s.carries = wire.Slot{MID: s.mid, Kind: kind, State: "empty"}
	}
	v.path = path{ufrag: rand.Text()[:8], password: rand.Text() + rand.Text()}
	_, _ = rand.Read(v.path.tieBreaker[:]) // never fails
	return v
}

func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:]) | 1
}

// join goes through all steps, and measures them.
func (v *Viewer) join(ctx context.Context) (err error) {
	started := time.Now()
	if v.signal, err = dial(ctx, v.ticket, v.opts.HTTPClient, &v.fleet.buffers); err != nil {
		return err
	}
	v.took(&v.timings.WebSocket, started)
	v.wg.Go(v.listen)
	started = time.Now()
	a, err := v.hello(ctx)
	if err != nil {
		return err
	}
	v.took(&v.timings.OfferAnswer, started)
	laidOut := v.layOut(ctx)
	started = time.Now()
	if err := v.connect(ctx, a); err != nil {
		return err
	}
	v.took(&v.timings.ICE, started)
	started = time.Now()
	k, err := v.shake(ctx, a.certificate)
	if err != nil {
		return err
	}
	v.took(&v.timings.DTLS, started)
	v.unlock(k)
	return errors.Join(v.enter(ctx), <-laidOut, v.reader.settle(v))
}

// layOut asks for the first layout while the path is being found, and tells what came of it.
func (v *Viewer) layOut(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	if v.opts.Layout == nil {
		done <- nil
		return done
	}
	var slots []wire.SlotRequest
	for i, want := range v.opts.Layout[:min(len(v.opts.Layout), v.opts.VideoSlots)] {
		want.MID = v.slots[v.opts.AudioSlots+i].mid
		slots = append(slots, want)
	}
	v.wg.Go(func() { done <- v.Subscribe(ctx, slots...) })
	return done
}

func (v *Viewer) took(step *time.Duration, since time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	*step = max(1, time.Since(since))
}

// hello greets the server with an offer and takes its answer.
func (v *Viewer) hello(ctx context.Context) (*answer, error) {
	hello := wire.Hello{
		ParticipantID: v.ticket.ParticipantID, DisplayName: v.opts.DisplayName,
		SDPOffer: offer(v.path.ufrag, v.path.password, v.fleet.fingerprint, v.opts.AudioSlots, v.opts.VideoSlots, v.opts.Codecs),
	}
	var said wire.Answer
	if err := v.signal.call(ctx, wire.TypeHello, hello, wire.TypeAnswer, &said); err != nil {
		return nil, v.why(err)
	}
	a, err := parseAnswer(said.SDPAnswer)
	if err != nil {
		return nil, err
	}
	return &a, v.bind(&a)
}

// why prefers what the server said before it closed the socket.
func (v *Viewer) why(err error) error {
	if !errors.Is(err, client.ErrNotConnected) {
		return err
	}
	select {
	case refused := <-v.refused:
		return refused
	default:
		return err
	}
}

// connect finds the path.
func (v *Viewer) connect(ctx context.Context, a *answer) error {
	listen := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if v.fleet.reroute != nil {
		a.candidates = v.fleet.reroute(a.candidates)
	}
	for _, c := range a.candidates {
		if c.Is6() {
			listen = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
	}
	conn, err := udp.Listen(udp.Config{Listen: listen, ReceiveBuffer: receiveBuffer})
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.conn = conn
	v.path.to(a)
	v.path.due(time.Now(), v.sendTo)
	v.due.Store(v.path.next.UnixNano())
	v.mu.Unlock()
	if err := v.reader.add(v); err != nil {
		return err
	}
	v.read = true
	select {
	case <-v.ready:
		return nil
	case refused := <-v.refused:
		return refused
	case <-ctx.Done():
		return fmt.Errorf("ICE: %w", context.Cause(ctx))
	}
}

// enter waits until the server has let the viewer in, which it does with its answer or just after it.
func (v *Viewer) enter(ctx context.Context) error {
	select {
	case <-v.entered:
		return nil
	case refused := <-v.refused:
		return refused
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

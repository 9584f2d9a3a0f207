package lean

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4/packetio"

	"github.com/parley-sfu/parley/internal/udp"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// Options say what one viewer receives and what is told of it. The callbacks must not block; they may be nil.
type Options struct {
	AudioSlots  int      // m-lines to receive sound into
	VideoSlots  int      // m-lines to receive pictures into
	Codecs      []string // MIME types of pictures, best first; nil is video/VP8
	DisplayName string
	HTTPClient  *http.Client // for the WebSocket's handshake; nil is http.DefaultClient

	// Layout is what is asked for in the m-lines of pictures, in their order and without their MIDs, as soon as they are known to the
	// server, like pages do: nothing larger is sent before. Nil asks for nothing.
	Layout []wire.SlotRequest

	// OnPacket makes a verified viewer: it decrypts every packet, and hands it on as a whole client does, though with the time
	// at which the kernel received it, and never with that of its capture. The fleet's reader calls it, one viewer after the other; it must not
	// keep the packet.
	OnPacket func(client.Packet)
	// OnPresence is told of hands and microphones, OnChat of messages, both by the reader of the viewer's WebSocket.
	OnPresence func(wire.PresenceChanged)
	OnChat     func(wire.Chat)
	// OnLost is told once that a viewer that had joined is cut off, whether from signalling or from media.
	OnLost func(error)
}

// Viewer is one receiver. Its methods are safe for concurrent use.
type Viewer struct {
	fleet  *Fleet
	reader *reader
	ticket client.Ticket
	opts   Options
	signal *signalling
	conn   *udp.Conn
	began  time.Time
	ready  chan struct{} // closed when the path is open
	once   sync.Once     // tells OnLost
	ending atomic.Bool   // Close was called
	read   bool          // the reader has it; join's and, after it, Close's own
	due    atomic.Int64  // when it is to be tended next, in nanoseconds since 1970
	wg     sync.WaitGroup

	entered     chan struct{} // closed with the first snapshot
	refused     chan error    // why it cannot enter
	enteredOnce sync.Once

	mu       sync.Mutex // protects following
	path     path
	opened   bool             // ready is closed
	dtls     *packetio.Buffer // nil outside the handshake
	keys     *keys            // nil before its end
	early    []earlyPacket    // came before the keys
	ssrc     uint32           // of its reports
	slots    []slot
	streams  []place // by SSRC, in order
	reportAt time.Time
	lacks    bool // asks again soon
	forged   uint64
	packets  []client.Packet // that OnPacket is to be told of
	timings  client.Timings
}

// place says which slot an SSRC belongs to.
type place struct {
	ssrc   uint32
	slot   int32
	repair bool
}

type earlyPacket struct {
	b  []byte
	at int64
}

const (
	maxEarly  = 512 // packets kept that came before the handshake was over at this end: a keyframe of each camera
	tendAgain = 10 * time.Millisecond
)

// ParticipantID is the viewer's own.
func (v *Viewer) ParticipantID() string { return v.ticket.ParticipantID }

// SlotStats returns what each slot has received. A viewer that is not verified looks for keyframes only where it needs one,
// and counts no others.
func (v *Viewer) SlotStats() []client.SlotStats {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	stats := make([]client.SlotStats, len(v.slots))
	for i := range v.slots {
		stats[i] = v.slots[i].stats(now)
	}
	return stats
}

// Timings returns the steps of the join measured so far.
func (v *Viewer) Timings() client.Timings {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.timings
}

// Forged is how many packets a verified viewer could not authenticate. It counts them nowhere else.
func (v *Viewer) Forged() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.forged
}

// Subscribe asks for tracks and sizes in slots by hand; with no slots the server chooses. A refusal is a *client.Error.
func (v *Viewer) Subscribe(ctx context.Context, slots ...wire.SlotRequest) error {
	wish := wire.SubscriptionUpdate{Slots: slots}
	if len(slots) == 0 {
		wish.Mode = "auto"
	}
	if err := v.signal.call(ctx, wire.TypeSubscriptionUpdate, wish, wire.TypeOK, nil); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// Presence changes the viewer's own presence.
func (v *Viewer) Presence(ctx context.Context, change wire.PresenceUpdate) error {
	if err := v.signal.call(ctx, wire.TypePresenceUpdate, change, wire.TypeOK, nil); err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	return nil
}

// Chat sends a message to everyone, or to one participant.
func (v *Viewer) Chat(ctx context.Context, text, to string) error {
	if err := v.signal.call(ctx, wire.TypeChat, wire.ChatSend{Text: text, To: to}, wire.TypeOK, nil); err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	return nil
}

// Close leaves the meeting and waits until everything of the viewer has stopped. It may be called more than once.
func (v *Viewer) Close() error {
	first := !v.ending.Swap(true)
	if first && v.signal != nil {
		v.signal.leave()
	}
	v.wg.Wait()
	if !first || v.conn == nil {
		return nil
	}
	if v.read {
		v.reader.remove(v)
	}
	return v.conn.Close()
}

// lost tells that the viewer is cut off.
func (v *Viewer) lost(err error) {
	if v.ending.Load() {
		return
	}
	v.once.Do(func() {
		if v.opts.OnLost != nil {
			v.opts.OnLost(err)
		}
	})
}

// listen reads the WebSocket until it ends.
func (v *Viewer) listen() {
	err := v.signal.read(v.told)
	select {
	case v.refused <- err:
	default:
	}
	if v.isIn() {
		v.lost(fmt.Errorf("socket: %w", err))
	}
}

func (v *Viewer) isIn() bool {
	select {
	case <-v.entered:
		return true
	default:
		return false
	}
}

// told handles what the server says. An error ends the socket.
func (v *Viewer) told(kind string, raw []byte) error {
	switch kind {
	case wire.TypeSnapshot, wire.TypeSlots:
		var slots wire.Slots // a snapshot has them too, and much else
		if err := json.Unmarshal(raw, &slots); err != nil {
			return fmt.Errorf("decode %s: %w", kind, err)
		}
		v.assign(slots.Slots)
		if kind == wire.TypeSnapshot {
			v.enteredOnce.Do(func() { close(v.entered) })
		}
	case wire.TypePresenceChanged:
		return decode(raw, v.opts.OnPresence)
	case wire.TypeChat:
		return decode(raw, v.opts.OnChat)
	case wire.TypeError:
		return refusal(raw)
	case wire.TypeWaiting:
		return ErrLobby
	case wire.TypeEnded:
		return ErrEnded
	case wire.TypeMigrate:
		v.lost(ErrMoved) // media goes on until the node stops
	}
	return nil
}

// decode hands a message's body to who wants it; nil: nobody does.
func decode[T any](raw []byte, to func(T)) error {
	if to == nil {
		return nil
	}
	var body T
	if err := json.Unmarshal(raw, &body); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	to(body)
	return nil
}

func (v *Viewer) assign(carried []wire.Slot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range carried {
		if i := slices.IndexFunc(v.slots, func(s slot) bool { return s.mid == c.MID }); i >= 0 {
			v.slots[i].assign(c)
		}
	}
}

// bind learns from the answer which slot each SSRC belongs to.
func (v *Viewer) bind(a *answer) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range a.lines {
		i := slices.IndexFunc(v.slots, func(s slot) bool { return s.mid == l.mid })
		if i < 0 || l.ssrc == 0 {
			continue // refused
		}
		s := &v.slots[i]
		s.media.ssrc, s.repair.ssrc = l.ssrc, l.repairSSRC
		v.streams = append(v.streams, place{l.ssrc, int32(i), false})
		if l.repairSSRC != 0 {
			v.streams = append(v.streams, place{l.repairSSRC, int32(i), true})
		}
	}
	if len(v.streams) == 0 && len(v.slots) > 0 {
		return errors.New("answer: it declares no streams")
	}
	slices.SortFunc(v.streams, func(a, b place) int {
		if a.ssrc < b.ssrc {
			return -1
		}
		return 1
	})
	return nil
}

// sendLocked sends one datagram over the chosen path.
func (v *Viewer) sendLocked(b []byte) { v.sendTo(b, v.path.chosen) }

func (v *Viewer) sendTo(b []byte, to udp.Addr) {
	_, _ = v.conn.WriteTo(b, to) // lost, as on a network
}

package signal

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// The opcodes of RFC 6455, section 5.2, that the attacks use.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
)

// attacker is a client that writes frames by hand.
type attacker struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// attack connects by hand, permessage-deflate included.
func (r *rig) attack(token string) *attacker {
	r.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.server.Listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetReadBuffer(smallBuffer)
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"+
		"Authorization: Bearer %s\r\n\r\n", token)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		r.t.Fatalf("upgrade: %v, %v", res, err)
	}
	res.Body.Close()
	return &attacker{r.t, conn, in}
}

// frame writes the head of a frame, and the payload, which may be shorter than announced. The mask is zero. What the
// server has closed already cannot be written: that is no failure.
func (a *attacker) frame(first byte, size int, payload []byte) {
	head := []byte{first}
	switch {
	case size < 126:
		head = append(head, 0x80|byte(size))
	case size < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 0x80|126), uint16(size))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 0x80|127), uint64(size))
	}
	a.conn.Write(append(append(head, 0, 0, 0, 0), payload...))
}

const (
	fin        = 0x80
	compressed = 0x40
)

func (a *attacker) text(s string) { a.frame(fin|opText, len(s), []byte(s)) }

// next reads a frame.
func (a *attacker) next() (first byte, payload []byte) {
	a.t.Helper()
	if err := a.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		a.t.Fatal(err)
	}
	var head [2]byte
	if _, err := io.ReadFull(a.in, head[:]); err != nil {
		a.t.Fatalf("no frame: %v", err)
	}
	size := uint64(head[1] & 0x7f)
	switch size {
	case 126:
		var n uint16
		binary.Read(a.in, binary.BigEndian, &n)
		size = uint64(n)
	case 127:
		binary.Read(a.in, binary.BigEndian, &size)
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(a.in, payload); err != nil {
		a.t.Fatalf("cut off: %v", err)
	}
	return head[0], payload
}

// closedWith reads until the close frame.
func (a *attacker) closedWith(code uint16) {
	a.t.Helper()
	for {
		first, payload := a.next()
		if first&0xf != opClose {
			continue
		}
		if got := binary.BigEndian.Uint16(payload); got != code {
			a.t.Fatalf("closed with %d %s, want %d", got, payload[2:], code)
		}
		return
	}
}

// bystander talks in the room for as long as an attack goes on; it fails the test when anything disturbs it.
func (r *rig) bystander(during func()) {
	r.t.Helper()
	speaker, listener := r.join("pt_speaker", grant.Attendee), r.join("pt_listener", grant.Attendee)
	done := make(chan struct{})
	go func() {
		defer close(done)
		during()
	}()
	pace := time.NewTicker(25 * time.Millisecond) // within the rate limit
	defer pace.Stop()
	for i, over := 0, false; i == 0 || !over; i++ {
		select {
		case <-done:
			over = true
		case <-pace.C:
		}
		start := time.Now()
		text := fmt.Sprint("still here ", i)
		speaker.ok(wire.TypeChat, wire.ChatSend{Text: text})
		for {
			var chat wire.Chat
			listener.await(wire.TypeChat).read(r.t, &chat)
			if chat.Text == text {
				break
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			r.t.Errorf("a bystander's message took %v", took)
		}
	}
}

// allocated returns how many bytes f made this process allocate.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// bomb is a deflated message that inflates to size zeros, a multiple of a megabyte. Each megabyte is one kilobyte.
func bomb(size int) []byte {
	var block bytes.Buffer
	w, _ := flate.NewWriter(&block, flate.BestCompression)
	w.Write(make([]byte, 1<<20))
	w.Flush()
	return bytes.Repeat(block.Bytes(), size>>20)
}

func TestHostileFrames(t *testing.T) {
	gigabyte := bomb(1 << 30)
	small := bomb(1 << 20)
	for _, tc := range []struct {
		name   string
		attack func(a *attacker)
		code   uint16
	}{
		{"64 MB in one frame", func(a *attacker) {
			a.frame(fin|opText, 64<<20, nil)
			megabyte := make([]byte, 1<<20)
			for range 64 {
				a.conn.Write(megabyte)
			}
		}, wire.CloseTooBig},
		{"a frame that says it has 2^62 bytes", func(a *attacker) {
			a.frame(fin|opText, 1<<62, make([]byte, 200<<10))
		}, wire.CloseTooBig},
		{"1 MB that inflates to 1 GB", func(a *attacker) { a.frame(fin|compressed|opText, len(gigabyte), gigabyte) }, wire.CloseTooBig},
		{"1 KB that inflates to 1 MB", func(a *attacker) { a.frame(fin|compressed|opText, len(small), small) }, wire.CloseTooBig},
		{"one byte over the limit", func(a *attacker) {
			s := `{"type":"chat.message","text":"` + strings.Repeat("x", 128<<10) + `"}`
			a.text(s)
		}, wire.CloseTooBig},
		{"too many fragments of one byte", func(a *attacker) {
			a.frame(opText, 1, []byte("{"))
			for range 130 {
				a.conn.Write(bytes.Repeat([]byte{opContinuation, 0x81, 0, 0, 0, 0, ' '}, 1024))
			}
		}, wire.CloseTooBig},
		{"binary", func(a *attacker) { a.frame(fin|opBinary, 4, []byte("ohai")) }, wire.CloseBadRequest},
		{"a flood of messages", func(a *attacker) {
			for range 300 {
				a.text(`{"type":"presence.update","hand_raised":true}`)
			}
		}, wire.CloseRate},
		{"a flood of rubbish", func(a *attacker) {
			for range 300 {
				a.text(`{{{{`)
			}
		}, wire.CloseRate},
		{"pings, then a message", func(a *attacker) {
			for range 300 {
				a.frame(fin|opPing, 0, nil)
			}
			a.text(`{}`)
		}, wire.CloseRate},
		{"continuation of nothing", func(a *attacker) { a.frame(fin|opContinuation, 1, []byte("x")) }, uint16(websocket.StatusProtocolError)},
		{"reserved bits", func(a *attacker) { a.frame(fin|0x30|opText, 1, []byte("x")) }, uint16(websocket.StatusProtocolError)},
		{"an unknown opcode", func(a *attacker) { a.frame(fin|0x7, 1, []byte("x")) }, uint16(websocket.StatusProtocolError)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			token := r.token(claims("pt_mallory", grant.Attendee, grant.Settings{}))
			r.bystander(func() {
				a := r.attack(token)
				bytes := allocated(func() {
					written := make(chan struct{})
					go func() {
						defer close(written)
						tc.attack(a)
					}()
					a.closedWith(tc.code)
					a.conn.Close()
					<-written
				})
				if limit := int64(16 << 20); bytes > limit {
					t.Errorf("the attack made the process allocate %d bytes", bytes)
				}
			})
			eventually(t, "the attacker is gone", func() bool { return r.svc.metrics.connections.Load() == 2 })
		})
	}
}

func TestGarbageAfterTheUpgrade(t *testing.T) {
	r := newRig(t)
	token := r.token(claims("pt_mallory", grant.Attendee, grant.Settings{}))
	r.bystander(func() {
		for seed := range uint64(20) {
			a := r.attack(token)
			rubbish := make([]byte, 64<<10)
			random := rand.NewChaCha8([32]byte{byte(seed)})
			random.Read(rubbish)
			a.conn.Write(rubbish)
			a.conn.Close()
		}
	})
	eventually(t, "the attackers are gone", func() bool { return r.svc.metrics.connections.Load() == 2 })
}

func TestChatterBeforeHelloBuysNoTime(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.HelloTimeout = 50 * time.Millisecond }))
	a := r.attack(r.token(claims("pt_mallory", grant.Attendee, grant.Settings{})))
	a.text(`{"type":"ice.candidate","candidate":null}`)
	a.closedWith(wire.CloseBadRequest)
}

func TestMessageThatNeverEnds(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.HelloTimeout = 50 * time.Millisecond }))
	a := r.attack(r.token(claims("pt_mallory", grant.Attendee, grant.Settings{})))
	a.frame(opText, 1, []byte("{"))
	a.closedWith(wire.CloseBadRequest)
}

func TestSlowReaderIsDropped(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.MessagesPerSec, c.MessageBurst, c.QueueBytes = 1e6, 1e6, 64<<10 }))
	slow := r.attack(r.token(claims("pt_slow", grant.Attendee, grant.Settings{})))
	slow.text(`{"type":"participant.hello","participant_id":"pt_slow","display_name":"","sdp_offer":""}`)
	eventually(t, "the slow one is in", func() bool { return len(r.svc.Participants("mtg_1")) == 1 })
	before := r.svc.metrics.drops.Value()
	talker := r.join("pt_talker", grant.Attendee)
	random := rand.NewChaCha8([32]byte{})
	for range 2000 {
		if r.svc.metrics.drops.Value() > before {
			break
		}
		noise := make([]byte, maxChatBytes/2) // does not compress much
		random.Read(noise)
		talker.send(wire.TypeChat, wire.ChatSend{Text: hex.EncodeToString(noise)})
		talker.await(wire.TypeChat)
	}
	slow.closedWith(wire.CloseSlow) // now it reads what waited, and learns why
	eventually(t, "the slow one is dropped", func() bool {
		all := r.svc.Participants("mtg_1")
		return r.svc.metrics.drops.Value() == before+1 && len(all) == 2 && all[0].State == Reconnecting
	})
	talker.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	eventually(t, "its queue is gone", func() bool {
		all, _ := r.svc.queued()
		return all == 0
	})
}

// Compressing what is small costs more than it is worth.
func TestLargeMessagesAreCompressed(t *testing.T) {
	r := newRig(t)
	listener := r.attack(r.token(claims("pt_listener", grant.Attendee, grant.Settings{})))
	listener.text(`{"type":"participant.hello","participant_id":"pt_listener","display_name":"","sdp_offer":""}`)
	eventually(t, "it is in", func() bool { return len(r.svc.Participants("mtg_1")) == 1 })
	talker := r.join("pt_talker", grant.Attendee)
	talker.ok(wire.TypeChat, wire.ChatSend{Text: strings.Repeat("small ", 150)})
	talker.ok(wire.TypeChat, wire.ChatSend{Text: strings.Repeat("large", 300)})
	for small := false; ; {
		first, payload := listener.next()
		switch {
		case first&compressed != 0 && !small:
			t.Fatalf("%d bytes are compressed", len(payload))
		case first&compressed != 0:
			return
		case bytes.Contains(payload, []byte("small small")):
			small = true
		case bytes.Contains(payload, []byte("largelarge")):
			t.Fatalf("%d bytes are not compressed", len(payload))
		}
	}
}

func TestHalfOpenSocketIsNoticed(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) {
		c.PingEvery, c.PingTimeout, c.Grace = 50*time.Millisecond, 500*time.Millisecond, time.Hour
	}))
	dead := r.attack(r.token(claims("pt_dead", grant.Attendee, grant.Settings{}))) // reads no ping, answers none
	dead.text(`{"type":"participant.hello","participant_id":"pt_dead","display_name":"","sdp_offer":""}`)
	watcher := r.join("pt_w", grant.Attendee)
	eventually(t, "the dead one is away", func() bool {
		return slices.ContainsFunc(r.svc.Participants("mtg_1"), func(p Participant) bool {
			return p.ID == "pt_dead" && p.State == Reconnecting
		})
	})
	watcher.ok(wire.TypeChat, wire.ChatSend{Text: "I answer pings"})
}

func TestBadConnectionsLeaveNothing(t *testing.T) {
	r := newRig(t)
	token := r.token(claims("pt_mallory", grant.Attendee, grant.Settings{}))
	for range 200 {
		r.attack(token).conn.Close()
	}
	eventually(t, "nothing is left", func() bool {
		return r.svc.metrics.connections.Load() == 0 && r.svc.room("mtg_1") == nil
	})
	r.svc.mu.Lock()
	defer r.svc.mu.Unlock()
	if len(r.svc.live) != 0 {
		t.Errorf("%d sessions are left", len(r.svc.live))
	}
}

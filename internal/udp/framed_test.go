package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stun is the least that passes for a binding request.
var stun = []byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

// framed joins payloads into a stream.
func framed(payloads ...[]byte) []byte {
	var s []byte
	for _, p := range payloads {
		s = binary.BigEndian.AppendUint16(s, uint16(len(p)))
		s = append(s, p...)
	}
	return s
}

// pipe gives a FramedConn and its peer.
func pipe(t *testing.T, cfg FramedConfig) (*FramedConn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c := NewFramedConn(near, cfg)
	t.Cleanup(func() {
		_ = far.Close()
		_ = c.Close()
	})
	return c, far
}

func TestFramedRead(t *testing.T) {
	media, dtls := bytes.Repeat([]byte{0x80}, 1200), bytes.Repeat([]byte{22}, 300)
	big := bytes.Repeat([]byte{20}, maxFrame)
	for _, tc := range []struct {
		name   string
		stream []byte
		want   []byte
		err    error
	}{
		{"frames", framed(stun, media, dtls), framed(stun, media, dtls), io.EOF},
		{"empty frames vanish", framed(stun, nil, dtls, nil), framed(stun, dtls), io.EOF},
		{"largest", framed(stun, big, dtls), framed(stun, big, dtls), io.EOF},
		{"too large", framed(stun, append(big, 0)), framed(stun), ErrFraming},
		{"giant length", append(framed(stun), 0xff, 0xff, 1, 2, 3), framed(stun), ErrFraming},
		{"not STUN first", framed(dtls, stun), nil, ErrNotSTUN},
		{"HTTP", []byte("\x00GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: someone who is lost and does not know it\r\n"), nil, ErrNotSTUN},
		{"ends in a frame", framed(stun, dtls)[:100], framed(stun), io.ErrUnexpectedEOF},
		{"ends in a length", append(framed(stun), 0), framed(stun), io.ErrUnexpectedEOF},
		{"nothing", nil, nil, io.EOF},
	} {
		for _, step := range []int{1, 7, 4096} {
			t.Run(tc.name, func(t *testing.T) {
				c, far := pipe(t, FramedConfig{})
				go func() {
					for chunk := range slices.Chunk(tc.stream, step) {
						if _, err := far.Write(chunk); err != nil {
							return
						}
					}
					_ = far.Close()
				}()
				got, err := readAll(c)
				if !errors.Is(err, tc.err) || !bytes.Equal(got, tc.want) {
					t.Errorf("got %d bytes and %v, want %d and %v", len(got), err, len(tc.want), tc.err)
				}
				_ = c.Close()
			})
		}
	}
}

// readAll reads all frames, and frames them again.
func readAll(c *FramedConn) ([]byte, error) {
	var got []byte
	for {
		b, err := c.ReadFrame()
		if err != nil {
			return got, err
		}
		got = append(got, framed(b)...)
	}
}

// TestFramedPatience: only being vouched for gives a peer time, not what it sends or how slowly it does so.
func TestFramedPatience(t *testing.T) {
	for _, tc := range []struct {
		name  string
		sends []byte        // a byte a second
		vouch time.Duration // when its first frame is whole; 0: not at all
		want  time.Duration // when it ends
	}{
		{"silent", nil, 0, 10 * time.Second},
		{"half a frame", framed(stun)[:9], 0, 10 * time.Second},
		{"drips", framed(stun, stun), 0, 10 * time.Second},
		{"gives a length and no more", []byte{0x1f, 0xff}, 0, 10 * time.Second},
		{"a whole frame that nobody vouches for", framed(stun[:5]), 0, 10 * time.Second},
		{"vouched for", framed(stun[:5]), 30 * time.Second, 37 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, far := pipe(t, FramedConfig{Patience: 10 * time.Second})
				c.spoke = true // a short frame will do
				begun := time.Now()
				var writer sync.WaitGroup
				defer writer.Wait()
				defer far.Close()
				writer.Go(func() {
					for i := range tc.sends {
						time.Sleep(time.Second)
						if _, err := far.Write(tc.sends[i : i+1]); err != nil {
							return
						}
					}
				})
				err := error(nil)
				for err == nil {
					if _, err = c.ReadFrame(); err == nil && tc.vouch > 0 {
						c.Vouch(tc.vouch)
					}
				}
				if took := time.Since(begun); !errors.Is(err, os.ErrDeadlineExceeded) || took != tc.want {
					t.Errorf("%v after %s, want %s", err, took, tc.want)
				}
			})
		})
	}
}

// TestFramedWritersDoNotMix lets checks and media be written at once and reads whole frames at the other end.
func TestFramedWritersDoNotMix(t *testing.T) {
	const each = 2000
	c, far := pipe(t, FramedConfig{WriteBuffer: 64 << 20})
	var writers sync.WaitGroup
	for who := range byte(3) {
		writers.Go(func() {
			for i := range each {
				payload := bytes.Repeat([]byte{who}, 1+(i*37)%1200)
				if who == 0 && !c.WriteUrgent(payload) || who != 0 && !c.WriteFrame(payload) {
					t.Error("dropped")
				}
			}
		})
	}
	r := frameReader{src: far}
	var count, next [3]int
	for range 3 * each {
		frame, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		who, payload := frame[frameHeader], frame[frameHeader:]
		if len(payload) != 1+(next[who]*37)%1200 || bytes.Count(payload, payload[:1]) != len(payload) {
			t.Fatalf("writer %d: frame %d has %d bytes, or others' bytes", who, next[who], len(payload))
		}
		next[who]++
		count[who]++
	}
	writers.Wait()
	if count != [3]int{each, each, each} {
		t.Errorf("frames %v", count)
	}
}

func TestFramedWriteIsBounded(t *testing.T) {
	c, far := pipe(t, FramedConfig{WriteBuffer: 8000})
	frame := make([]byte, 998)
	for i := range 7 { // nobody reads: all stays queued
		if !c.WriteFrame(frame) {
			t.Fatalf("frame %d dropped", i)
		}
	}
	if c.WriteFrame(frame) {
		t.Error("media took what is kept for checks")
	}
	if !c.WriteUrgent(frame) {
		t.Error("no room for a check")
	}
	if c.WriteUrgent(frame) {
		t.Error("room in a full queue")
	}
	if _, err := io.ReadFull(far, make([]byte, 8000)); err != nil {
		t.Fatal(err)
	}
	c.out.wait()
	if !c.WriteFrame(frame) {
		t.Error("no room after the peer has read all")
	}
	if c.WriteFrame(nil) || c.WriteFrame(make([]byte, maxFrame+1)) {
		t.Error("took what is no frame")
	}
}

func TestFramedNoAllocations(t *testing.T) {
	c, far := pipe(t, FramedConfig{})
	payload, buf := make([]byte, 1000), make([]byte, 1002)
	if n := testing.AllocsPerRun(100, func() {
		c.WriteFrame(payload)
		_, _ = io.ReadFull(far, buf)
		c.out.wait()
	}); n != 0 {
		t.Errorf("%v allocations to write a frame", n)
	}
	stream := framed(slices.Repeat([][]byte{stun}, 1000)...)
	in := NewFramedConn(&script{stream: stream, step: 4096}, FramedConfig{})
	if n := testing.AllocsPerRun(100, func() { _, _ = in.ReadFrame() }); n != 0 {
		t.Errorf("%v allocations to read frames", n)
	}
}

func TestFramedClose(t *testing.T) {
	c, far := pipe(t, FramedConfig{})
	c.WriteFrame(stun) // its goroutine is stuck: nobody reads
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c.WriteFrame(stun) {
		t.Error("wrote after Close")
	}
	if c.WriteUrgent(stun) {
		t.Error("wrote a check after Close")
	}
	if _, err := c.ReadFrame(); err == nil {
		t.Error("read after Close")
	}
	if _, err := far.Read(make([]byte, 10)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer sees %v", err)
	}
}

func TestFramedPeerGone(t *testing.T) {
	c, far := pipe(t, FramedConfig{})
	_ = far.Close()
	c.WriteFrame(stun)
	c.out.wait()
	if c.WriteFrame(stun) {
		t.Error("wrote to a peer that has gone")
	}
}

func TestFramedConfig(t *testing.T) {
	if err := FramedDefaults().Validate(); err != nil {
		t.Error(err)
	}
	bad := FramedConfig{MaxConns: -1, MaxConnsPerAddr: -1, Patience: -1, WriteBuffer: -1}
	err := bad.Validate()
	for _, key := range []string{"max_conns:", "max_conns_per_addr:", "patience:", "write_buffer:"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(key)) {
			t.Errorf("%v does not name %s", err, key)
		}
	}
	if _, err := NewFramedListener(nil, bad); err == nil {
		t.Error("a listener took it")
	}
}

// FuzzFramedConn compares what ReadFrame returns with a reading of the whole stream at once.
func FuzzFramedConn(f *testing.F) {
	f.Add(framed(stun, []byte{0x80, 1}, nil, []byte{22, 3}), byte(3))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), byte(1))
	f.Add(append(framed(stun), 0xff, 0xff), byte(200))
	f.Fuzz(func(t *testing.T, stream []byte, step byte) {
		c := NewFramedConn(&script{stream: stream, step: int(step) + 1}, FramedConfig{})
		got, err := readAll(c)
		if err == nil || len(c.in.mem) > laterRead {
			t.Fatalf("%v, with %d bytes of memory", err, len(c.in.mem))
		}
		var want []byte
		for rest := stream; len(rest) >= frameHeader; {
			size := int(binary.BigEndian.Uint16(rest))
			if size > maxFrame || len(rest) < frameHeader+size {
				break
			}
			payload := rest[frameHeader : frameHeader+size]
			rest = rest[frameHeader+size:]
			if size == 0 {
				continue
			}
			if want == nil && !isSTUN(payload) {
				break
			}
			want = append(want, framed(payload)...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%x, want %x", got, want)
		}
	})
}

// script is a connection that reads from memory, a few bytes at a time.
type script struct {
	net.Conn
	stream []byte
	step   int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.stream) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.stream[:min(s.step, len(s.stream))])
	s.stream = s.stream[n:]
	return n, nil
}

func (s *script) RemoteAddr() net.Addr            { return &net.TCPAddr{} }
func (s *script) SetReadDeadline(time.Time) error { return nil }

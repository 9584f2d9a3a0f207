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
		{"passes on", framed(stun, dtls), framed(stun, dtls), io.EOF},
		{"tap consumes media", framed(stun, media, dtls, media), framed(stun, dtls), io.EOF},
		{"empty frames vanish", framed(stun, nil, dtls, nil), framed(stun, dtls), io.EOF},
		{"largest", framed(stun, big, dtls), framed(stun, big, dtls), io.EOF},
		{"too large", framed(stun, append(big, 0)), framed(stun), ErrFraming},
		{"not STUN first", framed(dtls, stun), nil, ErrNotSTUN},
		{"HTTP", []byte("\x00GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: someone who is lost and does not know it\r\n"), nil, ErrNotSTUN},
		{"ends in a frame", framed(stun, dtls)[:100], framed(stun), io.ErrUnexpectedEOF},
		{"ends in a length", append(framed(stun), 0), framed(stun), io.ErrUnexpectedEOF},
		{"nothing", nil, nil, io.EOF},
	} {
		for _, step := range []int{1, 7, 4096} {
			t.Run(tc.name, func(t *testing.T) {
				c, far := pipe(t, FramedConfig{})
				c.OnFrame(func(b []byte) bool { return b[0] == 0x80 })
				go func() {
					for chunk := range slices.Chunk(tc.stream, step) {
						if _, err := far.Write(chunk); err != nil {
							return
						}
					}
					_ = far.Close()
				}()
				got, err := readAll(c, step)
				if !errors.Is(err, tc.err) || !bytes.Equal(got, tc.want) {
					t.Errorf("got %d bytes and %v, want %d and %v", len(got), err, len(tc.want), tc.err)
				}
				_ = c.Close()
			})
		}
	}
}

func readAll(r io.Reader, step int) ([]byte, error) {
	var got []byte
	buf := make([]byte, step)
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return got, err
		}
	}
}

func TestFramedTapCanBeTakenAway(t *testing.T) {
	c, far := pipe(t, FramedConfig{})
	var seen int
	c.OnFrame(func([]byte) bool { seen++; return true })
	buf := make([]byte, 64)
	go func() { _, _ = far.Write(framed(stun, stun)); c.OnFrame(nil); _, _ = far.Write(framed(stun)) }()
	if n, err := c.Read(buf); n == 0 || err != nil || seen == 0 {
		t.Errorf("read %d, %v after %d frames", n, err, seen)
	}
}

func TestFramedFirstFrameLimit(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ask   time.Duration // deadline that the reader asks for; 0: none
		sends []byte
		want  time.Duration
	}{
		{"silent", 0, nil, 10 * time.Second},
		{"reader is more patient", time.Minute, nil, 10 * time.Second},
		{"reader is less patient", time.Second, nil, time.Second},
		{"half a frame", time.Minute, framed(stun)[:12], 10 * time.Second},
		{"whole frame", time.Minute, framed(stun), time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, far := pipe(t, FramedConfig{FirstFrame: 10 * time.Second})
				begun := time.Now()
				if tc.ask > 0 {
					if err := c.SetDeadline(begun.Add(tc.ask)); err != nil {
						t.Fatal(err)
					}
				}
				if tc.sends != nil {
					go func() { _, _ = far.Write(tc.sends) }()
				}
				_, err := readAll(c, 64)
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != tc.want {
					t.Errorf("%v after %s, want %s", err, time.Since(begun), tc.want)
				}
			})
		})
	}
}

// TestFramedWritersDoNotMix lets pion and media write at once and reads whole frames at the other end.
func TestFramedWritersDoNotMix(t *testing.T) {
	const each = 2000
	c, far := pipe(t, FramedConfig{WriteBuffer: 64 << 20})
	var writers sync.WaitGroup
	for who := range byte(3) {
		writers.Go(func() {
			for i := range each {
				payload := bytes.Repeat([]byte{who}, 1+(i*37)%1200)
				if who == 0 {
					if _, err := c.Write(framed(payload)); err != nil {
						t.Error(err)
					}
				} else if !c.WriteFrame(payload) {
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
		t.Error("media took what is kept for pion")
	}
	if n, err := c.Write(framed(frame)); n != 1000 || err != nil {
		t.Error(n, err)
	}
	if _, err := c.Write(framed(frame)); !errors.Is(err, ErrQueueFull) {
		t.Errorf("Write into a full queue: %v", err)
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
	for name, b := range map[string][]byte{"short": {0}, "torn": {0, 2, 1}, "tail": append(framed(frame), 9)} {
		if _, err := c.Write(b); !errors.Is(err, ErrFraming) {
			t.Errorf("%s: %v", name, err)
		}
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
	var frames int
	in := NewFramedConn(&script{stream: stream, step: 4096}, FramedConfig{})
	in.OnFrame(func([]byte) bool { frames++; return frames%8 != 0 }) // so that Read returns at times
	if n := testing.AllocsPerRun(100, func() { _, _ = in.Read(buf) }); n != 0 {
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
	if _, err := c.Write(framed(stun)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if _, err := c.Read(make([]byte, 10)); err == nil {
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
	bad := FramedConfig{MaxConns: -1, MaxConnsPerAddr: -1, FirstFrame: -1, WriteBuffer: -1}
	err := bad.Validate()
	for _, key := range []string{"max_conns:", "max_conns_per_addr:", "first_frame:", "write_buffer:"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(key)) {
			t.Errorf("%v does not name %s", err, key)
		}
	}
	if _, err := NewFramedListener(nil, bad); err == nil {
		t.Error("a listener took it")
	}
}

// FuzzFramedConn compares what Read passes on with a reading of the whole stream at once.
func FuzzFramedConn(f *testing.F) {
	f.Add(framed(stun, []byte{0x80, 1}, nil, []byte{22, 3}), byte(3), byte(5))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), byte(1), byte(1))
	f.Add(append(framed(stun), 0xff, 0xff), byte(200), byte(9))
	f.Fuzz(func(t *testing.T, stream []byte, step, readStep byte) {
		var tapped [][]byte
		c := NewFramedConn(&script{stream: stream, step: int(step) + 1}, FramedConfig{})
		c.OnFrame(func(b []byte) bool {
			tapped = append(tapped, bytes.Clone(b))
			return b[0]&1 == 1
		})
		got, err := readAll(c, int(readStep)+1)
		if err == nil || len(c.in.mem) > laterRead {
			t.Fatalf("%v, with %d bytes of memory", err, len(c.in.mem))
		}
		var want []byte
		var seen int
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
			if seen == 0 && !isSTUN(payload) {
				break
			}
			if seen >= len(tapped) || !bytes.Equal(tapped[seen], payload) {
				t.Fatalf("the tap did not see frame %d as it came", seen)
			}
			seen++
			if payload[0]&1 == 0 {
				want = append(want, framed(payload)...)
			}
		}
		if seen != len(tapped) || !bytes.Equal(got, want) {
			t.Fatalf("%d frames tapped, want %d; passed on %x, want %x", len(tapped), seen, got, want)
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

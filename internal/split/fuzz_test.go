package split

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// answerAll answers each connection with the side's letter and with what it says, once it has said all.
func answerAll(ln net.Listener, side string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer c.Close()
			said, err := io.ReadAll(c)
			if err == nil {
				_, _ = c.Write(append([]byte(side), said...))
			}
		})
	}
}

// fuzzPort runs one port for all inputs.
func fuzzPort(f *testing.F) (*rig, *pipes) {
	f.Helper()
	cert, roots := selfSigned(f)
	cfg := Defaults()
	cfg.HandshakesPerSec, cfg.HandshakeBurst = 1e9, 1e9
	cfg.AddressHandshakesPerSec, cfg.AddressHandshakeBurst = 1e9, 1e9
	ln := newPipes()
	p, err := New(cfg, Deps{
		Name: f.Name(), Listener: ln, Log: discard(),
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"acme-tls/1"}},
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			f.Error(err)
		}
	})
	wg.Go(func() { answerAll(p.HTTP(), "H") })
	wg.Go(func() { answerAll(p.TURN(), "T") })
	f.Cleanup(func() {
		cancel()
		_ = p.HTTP().Close()
		_ = p.TURN().Close()
		wg.Wait()
		if p.door.open != 0 || p.door.pending.Len() != 0 {
			f.Errorf("%d connections are still counted, %d pending", p.door.open, p.door.pending.Len())
		}
	})
	return &rig{tb: f, port: p, roots: roots}, ln
}

// Whatever a connection says instead of a handshake, the port goes on.
func FuzzHandshake(f *testing.F) {
	r, ln := fuzzPort(f)
	hello := r.clientHello()
	f.Add(hello)
	f.Add(hello[:len(hello)/2])
	f.Add(append(bytes.Clone(hello), hello...))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(binding())
	f.Add([]byte{22, 3, 1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, said []byte) {
		c := ln.connect("192.0.2.1")
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, c)
		}()
		_, _ = c.Write(said)
		c.Close()
		<-drained
		r.stillServes(t, ln)
	})
}

// stillServes makes a whole call of the port.
func (r *rig) stillServes(t *testing.T, ln *pipes) {
	t.Helper()
	if side, said := r.converse(t, ln, []byte("GET /")); side != "H" || string(said) != "GET /" {
		t.Fatalf("the port answers %q, %q", side, said)
	}
}

// converse says something over a connection of its own, and returns which side answered, and what it heard.
func (r *rig) converse(t *testing.T, ln *pipes, say []byte) (side string, heard []byte) {
	t.Helper()
	c := ln.connect("192.0.2.2")
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	secure, err := r.secured(c)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := secure.Write(say); err == nil {
			_ = secure.CloseWrite()
		}
	}()
	answer, _ := io.ReadAll(secure)
	if len(answer) == 0 {
		return "", nil
	}
	return string(answer[:1]), answer[1:]
}

// What a connection says after its handshake reaches the right side whole, or nobody.
func FuzzConversation(f *testing.F) {
	r, ln := fuzzPort(f)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add(binding())
	f.Add([]byte{0x40, 0, 0, 1, 'x'})
	f.Add([]byte{0x80, 0x60})
	f.Add([]byte{0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, say []byte) {
		side, heard := r.converse(t, ln, say)
		letter := len(say) > 0 && ('A' <= say[0]&^0x20 && say[0]&^0x20 <= 'Z')
		switch {
		case len(say) > 0 && say[0] < 4:
			if side != "T" {
				t.Fatalf("STUN went to %q", side)
			}
		case letter:
			if side != "H" {
				t.Fatalf("HTTP went to %q", side)
			}
		default:
			if side != "" {
				t.Fatalf("%q went to %q", say, side)
			}
			return
		}
		if !bytes.Equal(heard, say) {
			t.Fatalf("heard %q, said %q", heard, say)
		}
	})
}

package udp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// directPair is a TCP connection on loopback and its other end.
func directPair(t *testing.T) (d *Direct, conn, other *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	conn, other = a.(*net.TCPConn), b.(*net.TCPConn)
	return NewDirect(conn), conn, other
}

func TestDirectCarriesWhatIsWritten(t *testing.T) {
	d, _, other := directPair(t)
	go other.Write([]byte("there"))
	b := make([]byte, 100)
	if n, err := d.Read(b); err != nil || string(b[:n]) != "there" {
		t.Fatalf("read %q, %v", b[:n], err)
	}
	if n, err := d.TryWrite([]byte("and back")); err != nil || n != 8 {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if _, err := io.ReadFull(other, b[:8]); err != nil || string(b[:8]) != "and back" {
		t.Fatalf("read %q, %v", b[:8], err)
	}
	other.Close()
	if n, err := d.Read(b); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

// A connection that takes nothing more holds up nobody, and what it took is all there.
func TestDirectNeverWaitsToWrite(t *testing.T) {
	d, _, other := directPair(t)
	chunk, sent := bytes.Repeat([]byte("x"), 1<<16), 0
	for {
		n, err := d.TryWrite(chunk)
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; n == 0 {
			break
		}
	}
	if n, err := io.CopyN(io.Discard, other, int64(sent)); err != nil {
		t.Errorf("%d of %d bytes came: %v", n, sent, err)
	}
}

func TestDirectHeedsDeadlinesAndClosing(t *testing.T) {
	d, conn, _ := directPair(t)
	conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the deadline: %v", err)
	}
	conn.SetReadDeadline(time.Time{})
	ended := make(chan error, 1)
	go func() {
		_, err := d.Read(make([]byte, 1))
		ended <- err
	}()
	conn.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
	if _, err := d.TryWrite([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing after closing: %v", err)
	}
}

package cascade

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/sctp"
)

// losing is a net.Conn that loses one of the packets that are written to it.
type losing struct {
	net.Conn
	which   int32 // counted from 1
	written atomic.Int32
}

func (c *losing) Write(b []byte) (int, error) {
	if c.written.Add(1) == c.which {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestControlPacketLost: whichever packet of the control channel is lost, of either end, a message is there before the second is over
// that SCTP would wait for by itself.
func TestControlPacketLost(t *testing.T) {
	for n := range int32(3) { // INIT or its answer, COOKIE ECHO or its answer, the message or its answer
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d of the client %t", n+1, byClient), func(t *testing.T) {
				t.Parallel()
				client, server := pair(t)
				if byClient {
					client.which = n + 1
				} else {
					server.which = n + 1
				}
				began := time.Now()
				got := make(chan error, 1)
				go func() {
					control, closing, err := openControl(server, false, time.Millisecond)
					if err != nil {
						got <- err
						return
					}
					defer closing()
					_, err = control.Read(make([]byte, 100))
					got <- err
				}()
				control, closing, err := openControl(client, true, time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				defer closing()
				if _, err := control.WriteSCTP([]byte("{}"), sctp.PayloadTypeWebRTCString); err != nil {
					t.Fatal(err)
				}
				if err := <-got; err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took >= time.Second {
					t.Errorf("the message took %s", took)
				}
			})
		}
	}
}

// pair returns the ends of a way for packets.
func pair(t *testing.T) (client, server *losing) {
	t.Helper()
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	first, err := net.ListenUDP("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	port := first.LocalAddr().(*net.UDPAddr)
	second, err := net.DialUDP("udp4", loopback, port)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if first, err = net.DialUDP("udp4", port, second.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = first.Close(), second.Close() })
	return &losing{Conn: first}, &losing{Conn: second}
}

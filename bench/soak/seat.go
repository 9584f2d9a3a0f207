package soak

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/parley-sfu/parley/bench/server"
	"github.com/parley-sfu/parley/signal/client"
)

// A seat is where one guest sits after another.
type seat struct {
	node    *server.Parley
	meeting string

	guest   *client.Client
	cut     int           // sockets of the guest that were cut
	resumed *atomic.Int64 // and how many times it came back
	line    *line
	hearing sync.WaitGroup
}

// enter lets the next guest in.
func (s *seat) enter(ctx context.Context) error {
	s.line = &line{}
	own := &http.Client{Transport: &http.Transport{DialContext: s.line.dial}}
	ticket, err := client.JoinMeeting(ctx, s.node.URL, s.meeting, client.JoinOptions{DisplayName: "guest", HTTPClient: own})
	if err != nil {
		return err
	}
	own.CloseIdleConnections()
	s.guest, err = client.Connect(ctx, ticket, client.Options{
		HTTPClient: own, VideoSlots: 4, AudioSlots: 3, Codecs: []string{"video/VP8"}, Transport: client.TransportUDP,
		Publish: []*client.Publication{client.NewCamera(picture()), client.NewMicrophone(voice(), nil)},
	})
	if err != nil {
		return err
	}
	resumed, guest := &atomic.Int64{}, s.guest
	s.cut, s.resumed = 0, resumed
	s.hearing.Go(func() {
		away := false
		for event := range guest.Events() {
			change, ok := event.(client.StateChanged)
			if !ok {
				continue
			}
			if away && change.State == client.StateJoined {
				resumed.Add(1)
			}
			away = change.State == client.StateReconnecting
		}
	})
	return nil
}

// leave sends the guest home.
func (s *seat) leave() error {
	if s.guest == nil {
		return nil
	}
	err := s.guest.Close()
	s.hearing.Wait()
	s.line.cut()
	s.guest = nil
	return err
}

// lose cuts the guest's socket, which the client then resumes.
func (s *seat) lose() {
	s.cut++
	s.line.cut()
}

// received counts the packets of the guest.
func (s *seat) received() (packets uint64) {
	for _, slot := range s.guest.SlotStats() {
		packets += slot.Packets
	}
	return packets
}

// A line is what a guest's TCP connections go over.
type line struct {
	mu    sync.Mutex // protects following
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, conn)
	return conn, nil
}

// cut closes all connections that were opened so far, as a network does that goes away.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		conn.Close()
	}
	l.conns = nil
}

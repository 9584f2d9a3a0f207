package client

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal"
)

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

// realServer is a whole node without its REST plane: NATS, token keys, SFU and signalling in this process, on loopback.
type realServer struct {
	t    *testing.T
	keys *grant.Keyring
	http *httptest.Server
	sfu  *node.Node

	mu     sync.Mutex
	joined int
}

func newRealServer(t *testing.T) *realServer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	busConfig := bus.Defaults()
	busConfig.DataDir = t.TempDir()
	nats, err := bus.New(busConfig, log)
	must(err)
	revoked := grant.NewRevocations(nil, log)
	keys, err := grant.New(grant.Defaults(), nil, log)
	must(err)
	nodeConfig := node.Defaults()
	nodeConfig.Media.Listen = "127.0.0.1:0"
	speakers := signal.NewSpeakers()
	sfu, err := node.New(nodeConfig, speakers, nil, log)
	must(err)
	alone, err := placement.NewSingle(placement.Node{ID: "n1", Region: "local", SFUEndpoint: sfu.Endpoint(), SignalEndpoint: "ws://127.0.0.1"})
	must(err)
	svc, err := signal.New(signal.Defaults(), signal.Deps{
		Media: signal.OnNode(sfu), Speakers: speakers, Bus: nats, Cluster: alone, Locator: alone, Keys: keys, Revoked: revoked, NodeID: "n1", Log: log,
	})
	must(err)
	run(t, nats.Run)
	select {
	case <-nats.Ready():
	case <-time.After(patience):
		t.Fatal("NATS is not ready")
	}
	run(t, sfu.Run)
	run(t, svc.Run)
	s := &realServer{t: t, keys: keys, http: httptest.NewServer(svc), sfu: sfu}
	t.Cleanup(func() {
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

// run runs a part of the server until the test's end; the last one started stops first.
func run(t *testing.T, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
	})
}

// ticket lets somebody into the one meeting of the test.
func (s *realServer) ticket(role grant.Role, settings grant.Settings) Ticket {
	s.t.Helper()
	s.mu.Lock()
	s.joined++
	id := fmt.Sprintf("pt_%d", s.joined)
	s.mu.Unlock()
	token, expires, err := s.keys.IssueJoin(grant.Claims{
		MeetingID: "mtg_1", ParticipantID: id, DisplayName: id, Role: role, Settings: settings,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return Ticket{
		ParticipantID: id, JoinToken: token, ExpiresAt: expires,
		SignalEndpoint: "ws" + strings.TrimPrefix(s.http.URL, "http") + "/v1/signal",
	}
}

// join connects an attendee.
func (s *realServer) join(opts Options) *Client {
	s.t.Helper()
	return connect(s.t, s.ticket(grant.Attendee, grant.Settings{}), opts)
}

// person is a camera in three layers and a microphone, both stamped.
func person(t *testing.T) []*Publication {
	t.Helper()
	stamped := PublicationOptions{Stamp: true, Level: ConstantLevel(20)}
	return []*Publication{
		NewPublication(SourceCamera, stamped,
			Layer{RID: "q", From: loadClip(t, "vp8-q.ivf").Loop()},
			Layer{RID: "h", From: loadClip(t, "vp8-h.ivf").Loop()},
			Layer{RID: "f", From: loadClip(t, "vp8-f.ivf").Loop()}),
		NewPublication(SourceMicrophone, stamped, Layer{From: loadClip(t, "tone.ogg").Loop()}),
	}
}

// eventually polls what only packets can change, until it is so.
func eventually(t *testing.T, c *Client, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-poll.C:
		case <-c.Done():
			t.Fatalf("the client ended before %s: %v", what, c.Wait(t.Context()))
		case <-limit:
			t.Fatalf("not within %s: %s\nslots %+v", patience, what, c.SlotStats())
		}
	}
}

// receiving finds the slot that carries a participant's source.
func receiving(c *Client, participantID, source string) (SlotStats, bool) {
	stats := c.SlotStats()
	i := slices.IndexFunc(stats, func(s SlotStats) bool {
		return s.Slot.ParticipantID == participantID && s.Slot.Source == source
	})
	if i < 0 {
		return SlotStats{}, false
	}
	return stats[i], true
}

// flows says whether a participant's sound and picture come in well.
func flows(c, from *Client) func() bool {
	id := from.ticket.ParticipantID
	return func() bool {
		video, seen := receiving(c, id, SourceCamera)
		audio, heard := receiving(c, id, SourceMicrophone)
		return seen && heard && video.Frames > 10 && audio.Packets > 20
	}
}

// cut drops the socket as a broken network does.
func cut(c *Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sock.abort()
}

// exchanges counts the requests a client has made, offers among them, and returns its last answer.
func exchanges(c *Client) (requests uint64, answer string) {
	c.calls.mu.Lock()
	requests = c.calls.last
	c.calls.mu.Unlock()
	return requests, c.currentMedia().pc.RemoteDescription().SDP
}

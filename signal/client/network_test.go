package client

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

func TestAwayIsWaitedForButNotForEver(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(n *network, cancel context.CancelFunc)
		want time.Duration
	}{
		{"the network is there", func(n *network, _ context.CancelFunc) { n.note(false, false) }, 0},
		{"it does not come", func(*network, context.CancelFunc) {}, awayLimit},
		{"it comes", func(n *network, _ context.CancelFunc) {
			go func() {
				time.Sleep(time.Second)
				n.note(false, true)
			}()
		}, time.Second},
		{"the client leaves", func(_ *network, cancel context.CancelFunc) { time.AfterFunc(2*time.Second, cancel) }, 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(nil)
				n.note(true, false)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				tc.do(n, cancel)
				start := time.Now()
				n.await(ctx)
				if got := time.Since(start); got != tc.want {
					t.Errorf("waited %s, want %s", got, tc.want)
				}
			})
		})
	}
}

func TestAChangeEndsWhatWasBegunBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(nil)
		ctx, cancel := n.until(t.Context())
		defer cancel()
		n.note(true, false)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatal("ended without a change")
		}
		n.note(false, true)
		<-ctx.Done()
		again, cancel := n.until(t.Context())
		defer cancel()
		synctest.Wait()
		if again.Err() != nil {
			t.Error("the change ended what was begun after it")
		}
	})
}

func TestDoorsWhileComingBack(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    doors
		want []string
	}{
		{"the last one comes first, every time", doors{urls: []string{"a", "b", "c"}, at: 1}, []string{"b", "c", "b", "a", "b", "c"}},
		{"one alone", doors{urls: []string{"a"}}, []string{"a", "a", "a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for n := range tc.want {
				got = append(got, tc.d.try(n))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("tries %v, want %v", got, tc.want)
			}
		})
	}
}

// A node that takes connections and says nothing more is passed over, soon, for the next candidate.
func TestDeadNodeIsPassedOver(t *testing.T) {
	first, second := newFakeServer(t), newFakeServer(t)
	ticket := first.ticket()
	ticket.Alternates = []Endpoints{{SignalEndpoint: second.ticket().SignalEndpoint}}
	var dead atomic.Bool
	var asked sync.WaitGroup
	asked.Add(1)
	release := make(chan struct{})
	served := first.http.Config.Handler
	first.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if dead.CompareAndSwap(true, false) {
			asked.Done()
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		served.ServeHTTP(w, r)
	})
	defer close(release)
	c := connect(t, ticket, withoutMedia())
	dead.Store(true)
	start := time.Now()
	first.next(t).conn.CloseNow() //nolint:errcheck // the point is to lose it
	asked.Wait()
	if took := time.Since(start); took > time.Second {
		t.Errorf("the first try was made after %s, want at once", took)
	}
	second.next(t)
	await(t, c, "resumption", func(e StateChanged) bool { return e.State == StateJoined })
	if took := time.Since(start); took > resumeTime+2*time.Second {
		t.Errorf("the next candidate was reached after %s", took)
	}
}

// Fresh credentials take the place of those of the join call, also for a connection that there is.
func TestICEServersAreRenewed(t *testing.T) {
	server := newFakeServer(t)
	ticket := server.ticket()
	ticket.ICEServers = []ICEServer{{URLs: []string{"turn:127.0.0.1:9?transport=tcp"}, Username: "1:pt_self", Credential: "old"}}
	c := connect(t, ticket, Options{VideoSlots: 1, AudioSlots: NoSlots})
	session := server.next(t)
	const url = "turn:127.0.0.2:9?transport=tcp"
	session.send(wire.Envelope{Type: wire.TypeICEServers}, wire.ICEServers{ICEServers: []wire.ICEServer{
		{URLs: []string{url}, Username: "2:pt_self", Credential: "new"},
	}})
	session.event(wire.TypeChat, wire.Chat{Text: "after"})
	await(t, c, "what comes after", func(ChatReceived) bool { return true })
	m := c.currentMedia()
	eventually(t, c, "the first candidates", func() bool { return m.pc.ICEGatheringState() == webrtc.ICEGatheringStateComplete })
	if err := c.RestartICE(t.Context()); err != nil {
		t.Fatal(err)
	}
	used := m.pc.GetConfiguration().ICEServers
	if len(used) != 1 || used[0].URLs[0] != url {
		t.Errorf("the connection uses %v, want %s", used, url)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.servers) != 1 || c.servers[0].URLs[0] != url {
		t.Errorf("the next connection would use %v, want %s", c.servers, url)
	}
}

// Everybody loses the network at the same moment, and all are back within seconds.
func TestEverybodyComesBack(t *testing.T) {
	const people = 100
	server := newRealServer(t)
	clients, old := make([]*Client, people), make([]*socket, people)
	for i := range clients {
		clients[i] = server.join(withoutMedia())
		old[i], _ = clients[i].liveSocket()
	}
	start := time.Now()
	for _, sock := range old {
		sock.abort()
	}
	for i, c := range clients {
		eventually(t, c, "another socket", func() bool {
			sock, err := c.liveSocket()
			return err == nil && sock != old[i] && c.State() == StateJoined
		})
	}
	t.Logf("%d clients were back within %s", people, time.Since(start))
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("all were back after %s", took)
	}
}

package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// script answers JetStream's API in the place of a cluster that is hard to bring into such a state. It has one bucket, "b".
type script struct {
	opened   atomic.Int32 // times that the bucket was to be made
	deaf     int32        // of which this many get no answer
	reads    atomic.Int32 // of a copy
	asked    atomic.Int32 // of the leader
	copies   func(key string) *nats.Msg
	leader   func() string // nil: there is none
	replicas int
}

// stage runs a NATS server without JetStream, the script, and a Bus.
func (s *script) stage(t *testing.T) *Bus {
	t.Helper()
	ext := startServer(t, server.Options{})
	conn, err := nats.Connect(ext.srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	s.serve(t, conn, "$JS.API.INFO", func(*nats.Msg) string { return `{"memory":0,"api":{"level":2}}` })
	s.serve(t, conn, "$JS.API.STREAM.UPDATE.KV_b", func(*nats.Msg) string {
		return `{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`
	})
	s.serve(t, conn, "$JS.API.STREAM.CREATE.KV_b", func(m *nats.Msg) string {
		if s.opened.Add(1) <= s.deaf {
			return ""
		}
		return fmt.Sprintf(`{"config":%s,"did_create":true}`, m.Data)
	})
	s.serve(t, conn, "$JS.API.STREAM.MSG.GET.KV_b", func(m *nats.Msg) string {
		var ask leaderRequest
		if err := json.Unmarshal(m.Data, &ask); err != nil || ask.LastBySubject != "$KV.b.key" {
			t.Errorf("the leader is asked %s", m.Data)
		}
		s.asked.Add(1)
		if s.leader == nil {
			return ""
		}
		return s.leader()
	})
	if _, err := conn.Subscribe("$JS.API.DIRECT.GET.KV_b.>", func(m *nats.Msg) {
		s.reads.Add(1)
		if err := m.RespondMsg(s.copies(m.Subject)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	cfg := ext.config()
	cfg.Replicas = s.replicas
	b, _ := start(t, cfg)
	awaitConnected(t, b, true)
	return b
}

func (s *script) serve(t *testing.T, conn *nats.Conn, subject string, answer func(*nats.Msg) string) {
	t.Helper()
	_, err := conn.Subscribe(subject, func(m *nats.Msg) {
		text := answer(m)
		if text == "" {
			return
		}
		if err := m.Respond([]byte(text)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func notYet(string) *nats.Msg { return &nats.Msg{Header: nats.Header{"Status": {"404"}}} }

func there(string) *nats.Msg {
	return &nats.Msg{Data: []byte("copy"), Header: nats.Header{
		"Nats-Stream": {"KV_b"}, "Nats-Subject": {"$KV.b.key"}, "Nats-Sequence": {"7"}, "Nats-Time-Stamp": {"2026-11-25T12:00:00Z"},
	}}
}

// A copy that has not heard of a key yet does not decide that there is none.
func TestTheLeaderHasTheLastWord(t *testing.T) {
	says := func(text string) func() string { return func() string { return text } }
	missing := says(`{"error":{"code":404,"err_code":10037,"description":"no message found"}}`)
	found := says(`{"message":{"subject":"$KV.b.key","seq":8,"data":"bGVhZGVy","time":"2026-11-25T12:00:00Z"}}`)
	deleted := says(`{"message":{"subject":"$KV.b.key","seq":9,"hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==","time":"2026-11-25T12:00:00Z"}}`)
	for name, tc := range map[string]struct {
		replicas int
		key      string
		copies   func(string) *nats.Msg
		leader   func() string
		want     string
		err      error
		asked    int32
	}{
		"a copy has it":              {3, "key", there, found, "copy", nil, 0},
		"only the leader has it":     {3, "key", notYet, found, "leader", nil, 1},
		"nobody has it":              {3, "key", notYet, missing, "", ErrNotFound, 1},
		"the leader deleted it":      {3, "key", notYet, deleted, "", ErrNotFound, 1},
		"the leader is away":         {3, "key", notYet, nil, "", ErrUnavailable, 1},
		"the leader has no leader":   {3, "key", notYet, says(`{"error":{"code":503,"err_code":10008}}`), "", ErrUnavailable, 1},
		"one copy is the leader":     {1, "key", notYet, found, "", ErrNotFound, 0},
		"a key that there cannot be": {3, "no key", notYet, found, "", ErrNotFound, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{copies: tc.copies, leader: tc.leader, replicas: tc.replicas}
			k := bucket(t, s.stage(t), BucketConfig{Name: "b"})
			began := time.Now()
			e, err := k.Get(t.Context(), tc.key)
			if string(e.Value) != tc.want || !errors.Is(err, tc.err) || s.asked.Load() != tc.asked {
				t.Errorf("Get = %q, %v, the leader asked %d times, want %q, %v, %d", e.Value, err, s.asked.Load(), tc.want, tc.err, tc.asked)
			}
			if took := time.Since(began); took > leaderTimeout+time.Second {
				t.Errorf("it took %s", took)
			}
			if tc.want == "leader" && (e.Key != "key" || e.Revision != 8 || e.Created.IsZero()) {
				t.Errorf("Get = %+v", e)
			}
		})
	}
}

// Nodes that make a bucket at the same moment leave one another without an answer: they ask again before they give up.
func TestABucketIsAskedForAgain(t *testing.T) {
	s := &script{deaf: 1, copies: there, replicas: 3}
	b := s.stage(t)
	began := time.Now()
	k, err := b.Bucket(t.Context(), BucketConfig{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(t.Context(), "key"); err != nil || s.opened.Load() != 2 {
		t.Errorf("Get = %v, asked %d times", err, s.opened.Load())
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

// What was read a moment ago is not read again, until somebody writes.
func TestRecentReadsAskNobody(t *testing.T) {
	s := &script{copies: there, replicas: 3}
	b := s.stage(t)
	k := bucket(t, b, BucketConfig{Name: "b"})
	get := func(want int32) {
		t.Helper()
		if e, err := k.GetRecent(t.Context(), "key"); err != nil || string(e.Value) != "copy" || e.Revision != 7 || s.reads.Load() != want {
			t.Fatalf("GetRecent = %+v, %v, after %d reads, want %d", e, err, s.reads.Load(), want)
		}
	}
	get(1)
	get(1)
	e, err := k.GetRecent(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	clear(e.Value) // is the caller's
	get(1)
	heard := make(chan struct{}, 1)
	if _, err := b.Subscribe("$KV.b.key", func(string, []byte) { heard <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish("$KV.b.key", []byte("another node writes")); err != nil {
		t.Fatal(err)
	}
	await(t, heard)
	for deadline := time.Now().Add(patience); s.reads.Load() == 1 && time.Now().Before(deadline); {
		if _, err := k.GetRecent(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
	}
	if s.reads.Load() != 2 {
		t.Errorf("%d reads after a write", s.reads.Load())
	}
}

func TestWhatIsRemembered(t *testing.T) {
	start := time.Unix(1, 0)
	link, other := make(chan struct{}), make(chan struct{})
	entry := Entry{Key: "a", Value: []byte("1")}
	for name, tc := range map[string]struct {
		happens func(r *recent)
		later   time.Duration
		link    <-chan struct{}
		known   bool
	}{
		"a read":                        {func(r *recent) { r.keep(entry, start) }, recentFor - 1, link, true},
		"an old read":                   {func(r *recent) { r.keep(entry, start) }, recentFor, link, false},
		"a read over a link that broke": {func(r *recent) { r.keep(entry, start) }, 1, other, false},
		"a read before a write":         {func(r *recent) { r.keep(entry, start); r.bar("a", start.Add(1)) }, 2, link, false},
		"a read during a write":         {func(r *recent) { r.bar("a", start.Add(1)); r.keep(entry, start) }, 2, link, false},
		"a read soon after a write":     {func(r *recent) { r.bar("a", start); r.keep(entry, start.Add(recentBar-1)) }, recentBar, link, false},
		"a read long after a write":     {func(r *recent) { r.bar("a", start); r.keep(entry, start.Add(recentBar)) }, 2 * recentBar, link, true},
		"a write of another key":        {func(r *recent) { r.keep(entry, start); r.bar("b", start) }, 1, link, true},
		"too many keys": {func(r *recent) {
			r.keep(entry, start)
			for i := range 3 * recentKeys {
				r.bar(fmt.Sprint(i), start.Add(1))
			}
		}, 2, link, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recent{listens: true}
			if _, ok := r.find("a", start, link); ok {
				t.Fatal("it knows what was never read")
			}
			tc.happens(r)
			if len(r.reads) > recentKeys {
				t.Errorf("it remembers %d keys", len(r.reads))
			}
			if _, ok := r.find("a", start.Add(tc.later), tc.link); ok != tc.known {
				t.Errorf("known: %t, want %t", ok, tc.known)
			}
		})
	}
}

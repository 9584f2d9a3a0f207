package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/parley-sfu/parley/signal/wire"
)

const goodTicket = `{"participant_id":"pt_1","join_token":"t","expires_at":"2026-01-02T03:04:05Z","region":"eu",
	"sfu_endpoint":"127.0.0.1:7881","signal_endpoint":"ws://127.0.0.1:7880/v1/signal","alternates":[],
	"ice_servers":[{"urls":["turn:127.0.0.1"],"username":"u","credential":"c"}]}`

func TestJoinMeeting(t *testing.T) {
	tests := []struct {
		name     string
		status   int
		body     string
		wantCode string // of an *Error
		wantFail bool
	}{
		{"a ticket", http.StatusOK, goodTicket, "", false},
		{"a problem", http.StatusGone, `{"code":"meeting_ended","detail":"It is over."}`, "meeting_ended", true},
		{"a problem without detail", http.StatusForbidden, `{"code":"denied","title":"Denied"}`, "denied", true},
		{"an error of a proxy", http.StatusBadGateway, "<html>", "http_status", true},
		{"no JSON", http.StatusOK, "hello", "", true},
		{"no token", http.StatusOK, `{"signal_endpoint":"ws://127.0.0.1/v1/signal"}`, "", true},
		{"no endpoint", http.StatusOK, `{"join_token":"t"}`, "", true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var got map[string]any
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
					t.Error(err)
				}
				if r.Method != http.MethodPost || r.URL.Path != "/v1/meetings/mtg_1/join" ||
					r.Header.Get("Authorization") != "Bearer user" || len(got) != 2 ||
					got["display_name"] != "Ann" || got["host_key"] != "key" {
					t.Errorf("%s %s %v: %v", r.Method, r.URL.Path, r.Header, got)
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer server.Close()
			ticket, err := JoinMeeting(t.Context(), server.URL+"/", "mtg_1", JoinOptions{
				UserToken: "user", DisplayName: "Ann", HostKey: "key", HTTPClient: server.Client(),
			})
			if (err != nil) != tc.wantFail {
				t.Fatalf("err = %v", err)
			}
			var refusal *Error
			if errors.As(err, &refusal) && (refusal.Code != tc.wantCode || refusal.Status != tc.status) {
				t.Errorf("refusal = %+v, want %s with %d", refusal, tc.wantCode, tc.status)
			}
			if err != nil {
				return
			}
			if ticket.Took <= 0 || ticket.ParticipantID != "pt_1" || len(ticket.iceServers(TransportAny)) != 1 {
				t.Errorf("ticket = %+v", ticket)
			}
		})
	}
}

func TestOptionFaults(t *testing.T) {
	clip := loadClip(t, "vp8-q.ivf")
	tests := []struct {
		name string
		opts Options
	}{
		{"unknown codec", Options{Codecs: []string{"video/flip"}}},
		{"negative buffer", Options{EventBuffer: -1}},
		{"nil publication", Options{Publish: []*Publication{nil}}},
		{"unknown source", Options{Publish: []*Publication{NewPublication("window", PublicationOptions{}, Layer{From: clip.Loop()})}}},
		{"no layers", Options{Publish: []*Publication{NewCamera()}}},
		{"four layers", Options{Publish: []*Publication{NewCamera(clip.Loop(), clip.Loop(), clip.Loop(), clip.Loop())}}},
		{"video as microphone", Options{Publish: []*Publication{NewMicrophone(clip.Loop(), nil)}}},
		{"layers of two codecs", Options{Publish: []*Publication{NewCamera(clip.Loop(), loadClip(t, "h264-q.h264").Loop())}}},
		{"two layers of one name", Options{Publish: []*Publication{NewPublication(SourceCamera, PublicationOptions{},
			Layer{RID: "q", From: clip.Loop()}, Layer{RID: "q", From: clip.Loop()})}}},
		{"layer without codec", Options{Publish: []*Publication{NewPublication(SourceCamera, PublicationOptions{}, Layer{})}}},
	}
	ticket := Ticket{JoinToken: "t", SignalEndpoint: "ws://127.0.0.1/v1/signal"}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := New(ticket, tc.opts); err == nil {
				t.Error("New took it")
			}
		})
	}
	if _, err := New(Ticket{}, Options{}); err == nil {
		t.Error("New took an empty ticket")
	}
}

func TestEventQueue(t *testing.T) {
	q := newEventQueue(2)
	for _, text := range []string{"a", "b", "lost", "lost"} {
		q.push(ChatReceived{wire.Chat{Text: text}})
	}
	<-q.ch
	q.push(ChatReceived{wire.Chat{Text: "lost too"}}) // there is room for the Overflow alone
	<-q.ch
	q.push(Admitted{})
	q.close()
	q.push(Admitted{})
	var rest []Event
	for e := range q.ch {
		rest = append(rest, e)
	}
	overflow, ok := rest[0].(Overflow)
	if !ok || overflow.Lost != 2 {
		t.Errorf("after the loss came %+v, want an Overflow of 2", rest)
	}
}

package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node/grant"
)

func (r *rig) join(meetingID string, body any, changes ...with) joinView {
	r.t.Helper()
	got := r.post("/v1/meetings/"+meetingID+"/join", body, changes...)
	got.want(http.StatusOK)
	var v joinView
	got.into(&v)
	return v
}

// countingKV counts the calls to the bucket behind it.
type countingKV struct {
	kv
	gets, others atomic.Int64
}

func (c *countingKV) Get(ctx context.Context, key string) (bus.Entry, error) {
	c.gets.Add(1)
	return c.kv.Get(ctx, key)
}

func (c *countingKV) GetRecent(ctx context.Context, key string) (bus.Entry, error) {
	c.gets.Add(1)
	return c.kv.GetRecent(ctx, key)
}

func (c *countingKV) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	c.others.Add(1)
	return c.kv.Create(ctx, key, value)
}

func (c *countingKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	c.others.Add(1)
	return c.kv.Update(ctx, key, value, revision)
}

func (c *countingKV) List(ctx context.Context, after string, limit int) ([]bus.Entry, error) {
	c.others.Add(1)
	return c.kv.List(ctx, after, limit)
}

// countReads puts a counter before the meetings' bucket.
func (r *rig) countReads() *countingKV {
	r.t.Helper()
	b, err := r.server.store.buckets()
	if err != nil {
		r.t.Fatal(err)
	}
	c := &countingKV{kv: b.meetings}
	r.server.store.opened.Store(&buckets{meetings: c, keys: b.keys})
	return c
}

func TestJoinReadsTheStoreOnce(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	counted := r.countReads()
	for name, body := range map[string]any{
		"guest": object{}, "host": object{"role": "host", "host_key": m.HostKey}, "user": object{"display_name": "Ada"},
	} {
		counted.gets.Store(0)
		r.join(m.ID, body, bearer(r.token(rightJoin)))
		if gets, others := counted.gets.Load(), counted.others.Load(); gets != 1 || others != 0 {
			t.Errorf("%s: %d reads, %d other calls; want 1 and 0", name, gets, others)
		}
	}
}

func TestJoinToken(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x", "settings": object{"max_participants": 7, "waiting_room": true}})
	v := r.join(m.ID, object{"display_name": " Ada ", "role": "viewer"}, bearer(r.token(rightJoin)), header("X-Request-Id", "trace-me"))
	c, err := r.keys.VerifyJoin(v.JoinToken)
	if err != nil {
		t.Fatal(err)
	}
	if c.MeetingID != m.ID || c.ParticipantID != v.ParticipantID || c.DisplayName != "Ada" || c.Role != grant.Viewer || c.Region != "here" ||
		c.Subject != "ada" || c.RequestID != "trace-me" || len(c.Nodes) != 1 || c.Nodes[0].Node != "n1" {
		t.Errorf("claims = %+v", c)
	}
	if want := (grant.Settings{Revision: 1, MaxParticipants: 7, MaxCameras: 25, WaitingRoom: true}); c.Settings != want {
		t.Errorf("settings = %+v, want %+v", c.Settings, want)
	}
	if !v.ExpiresAt.Equal(c.ExpiresAt) || time.Until(v.ExpiresAt) > 5*time.Minute {
		t.Errorf("expires_at = %s, the token's %s", v.ExpiresAt, c.ExpiresAt)
	}
	if v.Region != "here" || v.SFUEndpoint != "127.0.0.1:7881" || v.SignalEndpoint != "ws://127.0.0.1:7880/v1/signal" {
		t.Errorf("view = %+v", v)
	}
}

func TestWhoMayJoin(t *testing.T) {
	r := newRig(t)
	private := r.create(object{"title": "private"})
	open := r.create(object{"title": "open", "settings": object{"guests": true}})
	for _, tc := range []struct {
		name   string
		m      createdView
		body   object
		rights []string // nil: no token
		role   grant.Role
		code   string
	}{
		{"guest in private", private, object{}, nil, "", "unauthenticated"},
		{"guest in open", open, object{}, nil, grant.Attendee, ""},
		{"guest viewer in open", open, object{"role": "viewer"}, nil, grant.Viewer, ""},
		{"guest as host", open, object{"role": "host"}, nil, "", "host_key_required"},
		{"user in private", private, object{}, []string{rightJoin}, grant.Attendee, ""},
		{"user as host", private, object{"role": "host"}, []string{rightJoin}, "", "host_key_required"},
		{"user with right to host", private, object{"role": "host"}, []string{rightHost}, grant.Host, ""},
		{"user without the right", private, object{}, []string{rightRead}, "", "forbidden"},
		{"host key", private, object{"role": "host", "host_key": private.HostKey}, nil, grant.Host, ""},
		{"host key alone makes a host", private, object{"host_key": private.HostKey}, nil, grant.Host, ""},
		{"host key for a viewer", private, object{"role": "viewer", "host_key": private.HostKey}, nil, grant.Viewer, ""},
		{"another's host key", private, object{"role": "host", "host_key": open.HostKey}, nil, "", "host_key_invalid"},
		{"empty host key", private, object{"role": "host", "host_key": ""}, nil, "", "host_key_invalid"},
		{"wrong host key in open", open, object{"host_key": "x"}, nil, "", "host_key_invalid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			var changes []with
			if tc.rights != nil {
				changes = append(changes, bearer(r.token(tc.rights...)))
			}
			got := r.post("/v1/meetings/"+tc.m.ID+"/join", tc.body, changes...)
			if tc.code != "" {
				got.wantProblem(got.status, tc.code)
				return
			}
			var v joinView
			got.want(http.StatusOK)
			got.into(&v)
			if v.Role != tc.role {
				t.Errorf("role = %s, want %s", v.Role, tc.role)
			}
		})
	}
}

func TestJoinFaults(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	many := object{}
	for i := range 65 {
		many[strings.Repeat("a", i+1)] = 1
	}
	for _, tc := range []struct {
		name     string
		body     object
		pointers []string
	}{
		{"role", object{"role": "king"}, []string{"#/role"}},
		{"long name", object{"display_name": strings.Repeat("x", 65)}, []string{"#/display_name"}},
		{"name with control characters", object{"display_name": "a\u0007b"}, []string{"#/display_name"}},
		{"negative time", object{"region_rtts": object{"a": -1}}, []string{"#/region_rtts"}},
		{"huge time", object{"region_rtts": object{"a": 1e9}}, []string{"#/region_rtts"}},
		{"too many regions", object{"region_rtts": many}, []string{"#/region_rtts"}},
		{
			"everything",
			object{"role": "", "region": strings.Repeat("x", 65), "region_rtts": object{"": -1}},
			[]string{"#/region", "#/role", "#/region_rtts", "#/region_rtts"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			p := r.post("/v1/meetings/"+m.ID+"/join", tc.body).wantProblem(http.StatusUnprocessableEntity, "validation_failed")
			var pointers []string
			for _, f := range p.Errors {
				pointers = append(pointers, f.Pointer)
			}
			if !slices.Equal(pointers, tc.pointers) {
				t.Errorf("pointers = %v, want %v", pointers, tc.pointers)
			}
		})
	}
}

func TestJoinWithoutABody(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	if v := r.join(m.ID, nil); v.Role != grant.Attendee {
		t.Errorf("role = %s", v.Role)
	}
}

func TestJoinCandidates(t *testing.T) {
	var asked JoinRequest
	nodes := []grant.Candidate{
		{Node: "a", Region: "eu", SFUEndpoint: "a:1", SignalEndpoint: "wss://a/v1/signal"},
		{Node: "b", Region: "eu", SFUEndpoint: "b:1", SignalEndpoint: "wss://b/v1/signal"},
		{Node: "c", Region: "us", SFUEndpoint: "c:1", SignalEndpoint: "wss://c/v1/signal"},
	}
	var none error
	r := newRig(t, func(_ *Config, d *Deps) {
		d.Locator = locate(func(_ context.Context, req JoinRequest) ([]grant.Candidate, error) {
			asked = req
			return nodes, none
		})
	})
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	v := r.join(m.ID, object{"region": "eu", "region_rtts": object{"eu": 12.5, "us": 80}})
	if want := []alternate{{"eu", "b:1", "wss://b/v1/signal"}, {"us", "c:1", "wss://c/v1/signal"}}; v.SFUEndpoint != "a:1" || !slices.Equal(v.Alternates, want) {
		t.Errorf("view = %+v, want alternates %+v", v, want)
	}
	if asked.Room != m.ID || asked.Region != "eu" || asked.RegionRTTs["eu"] != 12.5 || asked.RemoteIP.String() != "127.0.0.1" {
		t.Errorf("asked = %+v", asked)
	}
	r.signal.set(func(f *fakeSignal) {
		if want := []string{m.ID + " 100 wss://a/v1/signal"}; !slices.Equal(f.expects, want) {
			t.Errorf("signalling was told to expect %q, want %q", f.expects, want)
		}
		f.expects = nil
	})
	none, nodes = errors.New("all full"), nil
	defer r.signal.set(func(f *fakeSignal) {
		if f.expects != nil {
			t.Errorf("nobody was let in, and signalling expects %q", f.expects)
		}
	})
	if got := r.post("/v1/meetings/"+m.ID+"/join", nil); got.header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After on %s", got.body)
	} else {
		got.wantProblem(http.StatusServiceUnavailable, "no_node")
	}
}

// Removing somebody bars the person behind a token that can only join, and not the many behind a service's token.
func TestRemovedUser(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	v := r.join(m.ID, nil, bearer(r.tokenOf("mallory", rightJoin)))
	claims, err := r.keys.VerifyJoin(v.JoinToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.revoked.Subject(t.Context(), m.ID, claims.Subject); err != nil {
		t.Fatal(err)
	}
	r.post("/v1/meetings/"+m.ID+"/join", nil, bearer(r.tokenOf("mallory", rightJoin))).wantProblem(http.StatusForbidden, "removed")
	r.join(m.ID, nil, bearer(r.tokenOf("ada", rightJoin)))
	other := r.create(object{"title": "y"})
	r.join(other.ID, nil, bearer(r.tokenOf("mallory", rightJoin)))

	service := r.join(m.ID, nil, bearer(r.tokenOf("calendar", rightJoin, rightCreate)))
	if claims, err = r.keys.VerifyJoin(service.JoinToken); err != nil || claims.Subject != "" {
		t.Errorf("subject of a service = %q, %v; want none", claims.Subject, err)
	}
}

package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parley-sfu/parley/node/grant"
)

func TestCreateAndRead(t *testing.T) {
	r := newRig(t)
	made := r.create(object{"title": " Weekly review ", "scheduled_at": "2026-12-01T10:00:00+01:00", "settings": object{"max_cameras": 0, "guests": true}})
	if made.Title != "Weekly review" || made.Host != "ada" || made.Status != "open" || made.Revision != 1 {
		t.Errorf("made = %+v", made)
	}
	if want := (settings{MaxParticipants: 100, MaxCameras: 0, Guests: true}); made.Settings != want {
		t.Errorf("settings = %+v, want %+v", made.Settings, want)
	}
	if want := "http://127.0.0.1:7880/m/" + made.ID; made.JoinURL != want {
		t.Errorf("join_url = %s, want %s", made.JoinURL, want)
	}
	got := r.get("/v1/meetings/"+made.ID, bearer(r.token(rightRead)))
	got.want(http.StatusOK)
	if strings.Contains(string(got.body), made.HostKey) || strings.Contains(string(got.body), "host_key") {
		t.Errorf("the host key is told twice: %s", got.body)
	}
	var read meetingView
	got.into(&read)
	if !read.ScheduledAt.Equal(*made.ScheduledAt) || read.Settings != made.Settings || !read.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("read = %+v, made %+v", read, made.meetingView)
	}
	r.get("/v1/meetings/"+made.ID, header(HostKeyHeader, made.HostKey)).want(http.StatusOK)
}

func TestHostKeyIsNotStored(t *testing.T) {
	r := newRig(t)
	made := r.create(object{"title": "x"}, header(IdempotencyKeyHeader, "k1"))
	b, err := r.server.store.buckets()
	if err != nil {
		t.Fatal(err)
	}
	for name, bucket := range map[string]kv{"meetings": b.meetings, "keys": b.keys} {
		entries, err := bucket.List(t.Context(), "", 10)
		if err != nil || len(entries) == 0 {
			t.Fatalf("%s: %d entries, %v", name, len(entries), err)
		}
		for _, e := range entries {
			if strings.Contains(string(e.Value), made.HostKey) {
				t.Errorf("%s has the host key", name)
			}
		}
	}
}

func TestCreateFaults(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		name     string
		body     any
		status   int
		code     string
		pointers []string
	}{
		{"no title", object{}, 422, "validation_failed", []string{"#/title"}},
		{"blank title", object{"title": " \t "}, 422, "validation_failed", []string{"#/title"}},
		{"long title", object{"title": strings.Repeat("ä", 201)}, 422, "validation_failed", []string{"#/title"}},
		{"control characters", object{"title": "a\x00b"}, 422, "validation_failed", []string{"#/title"}},
		{
			"every fault at once",
			object{"title": "", "settings": object{"max_participants": 0, "max_cameras": 51}},
			422, "validation_failed",
			[]string{"#/title", "#/settings/max_participants", "#/settings/max_cameras"},
		},
		{"too many participants", object{"title": "x", "settings": object{"max_participants": 1001}}, 422, "validation_failed", []string{"#/settings/max_participants"}},
		{"negative cameras", object{"title": "x", "settings": object{"max_cameras": -1}}, 422, "validation_failed", []string{"#/settings/max_cameras"}},
		{"unknown field", object{"title": "x", "colour": "red"}, 400, "unknown_field", []string{"#/colour"}},
		{"unknown setting", object{"title": "x", "settings": object{"colour": "red"}}, 400, "unknown_field", []string{"#/settings/colour"}},
		{"other case", object{"Title": "x"}, 400, "unknown_field", []string{"#/Title"}},
		{"duplicate field", `{"title":"a","title":"b"}`, 400, "duplicate_field", []string{"#/title"}},
		{"duplicate setting", `{"title":"a","settings":{"guests":true,"guests":false}}`, 400, "duplicate_field", []string{"#/settings/guests"}},
		{"title is a number", object{"title": 1}, 400, "invalid_type", []string{"#/title"}},
		{"title is null", object{"title": nil}, 400, "invalid_type", []string{"#/title"}},
		{"settings are a list", object{"title": "x", "settings": []int{}}, 400, "invalid_type", []string{"#/settings"}},
		{"fraction", object{"title": "x", "settings": object{"max_cameras": 1.5}}, 400, "invalid_type", []string{"#/settings/max_cameras"}},
		{"not a time", object{"title": "x", "scheduled_at": "tomorrow"}, 400, "invalid_type", []string{"#/scheduled_at"}},
		{"a list", `[]`, 400, "invalid_type", []string{"#"}},
		{"empty", ``, 400, "invalid_json", nil},
		{"broken", `{"title":`, 400, "invalid_json", nil},
		{"trailing data", `{"title":"x"}{}`, 400, "invalid_json", nil},
		{"trailing word", `{"title":"x"} x`, 400, "invalid_json", nil},
		{"bad UTF-8", "{\"title\":\"\xff\"}", 400, "invalid_json", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			got := r.post("/v1/meetings", tc.body, bearer(r.token(rightCreate))).wantProblem(tc.status, tc.code)
			var pointers []string
			for _, f := range got.Errors {
				pointers = append(pointers, f.Pointer)
			}
			if !slices.Equal(pointers, tc.pointers) {
				t.Errorf("pointers = %v, want %v", pointers, tc.pointers)
			}
		})
	}
}

func TestRights(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	at, pid := "/v1/meetings/"+m.ID, newID(participantPrefix)
	for _, tc := range []struct {
		method, path string
		rights       []string // any of which suffices
	}{
		{"POST", "/v1/meetings", []string{rightCreate}},
		{"GET", "/v1/meetings", []string{rightRead}},
		{"GET", at, []string{rightRead}},
		{"PATCH", at, []string{rightUpdate}},
		{"GET", at + "/participants", []string{rightRead, rightModerate}},
		{"POST", at + "/participants/" + pid + "/admit", []string{rightModerate}},
		{"POST", at + "/participants/" + pid + "/deny", []string{rightModerate}},
		{"POST", at + "/participants/" + pid + "/mute", []string{rightModerate}},
		{"POST", at + "/participants/" + pid + "/remove", []string{rightModerate}},
		{"POST", at + "/lock", []string{rightModerate}},
		{"POST", at + "/unlock", []string{rightModerate}},
		{"POST", at + "/end", []string{rightEnd}},
		{"DELETE", at, []string{rightDelete}},
		{"POST", at + "/join", []string{rightJoin, rightHost}},
	} {
		t.Run(tc.method+" "+strings.Replace(tc.path, m.ID, "{id}", 1), func(t *testing.T) {
			r := r.in(t)
			r.do(tc.method, tc.path, nil).wantProblem(http.StatusUnauthorized, "unauthenticated")
			var others []string
			for _, right := range allRights {
				if !slices.Contains(tc.rights, right) {
					others = append(others, right)
				}
			}
			r.do(tc.method, tc.path, nil, bearer(r.token(others...))).wantProblem(http.StatusForbidden, "forbidden")
		})
	}
	for _, right := range []string{rightRead, rightUpdate, rightModerate, rightEnd, rightDelete} {
		if got := r.do("PATCH", at, object{}, bearer(r.token(right))); (got.status == http.StatusOK) != (right == rightUpdate) {
			t.Errorf("PATCH with %s = %d", right, got.status)
		}
	}
}

func TestList(t *testing.T) {
	r := newRig(t)
	var made []string
	for i := range 7 {
		made = append(made, r.create(object{"title": fmt.Sprint("m", i)}).ID)
	}
	slices.Sort(made)
	var listed []string
	path := "/v1/meetings?limit=3"
	for pages := 0; path != ""; pages++ {
		if pages > 3 {
			t.Fatal("the pages do not end")
		}
		got := r.get(path, bearer(r.token(rightRead)))
		got.want(http.StatusOK)
		var page listView
		got.into(&page)
		for _, m := range page.Meetings {
			listed = append(listed, m.ID)
		}
		path = ""
		if page.NextCursor != "" {
			path = "/v1/meetings?limit=3&cursor=" + page.NextCursor
		}
	}
	if !slices.Equal(listed, made) {
		t.Errorf("listed = %v, want %v", listed, made)
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "limit=1&limit=2", "cursor=abc", "cursor=", "order=title"} {
		r.get("/v1/meetings?"+query, bearer(r.token(rightRead))).wantProblem(http.StatusUnprocessableEntity, "validation_failed")
	}
}

func TestListOfNothing(t *testing.T) {
	r := newRig(t)
	got := r.get("/v1/meetings", bearer(r.token(rightRead)))
	got.want(http.StatusOK)
	if string(got.body) != `{"meetings":[]}` {
		t.Errorf("body = %s", got.body)
	}
}

func TestChange(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "old", "scheduled_at": "2026-12-01T10:00:00Z"})
	change := func(body any) meetingView {
		t.Helper()
		got := r.do("PATCH", "/v1/meetings/"+m.ID, body, bearer(r.token(rightUpdate)))
		got.want(http.StatusOK)
		var v meetingView
		got.into(&v)
		return v
	}
	if v := change(object{"settings": object{"waiting_room": true}}); !v.Settings.WaitingRoom || v.Title != "old" || v.ScheduledAt == nil || v.Revision != 2 {
		t.Errorf("after settings: %+v", v)
	}
	if got := r.signal.took(); !slices.Equal(got, []string{"settings " + m.ID}) {
		t.Errorf("rooms heard %v", got)
	}
	if want := (grant.Settings{Revision: 2, MaxParticipants: 100, MaxCameras: 25, WaitingRoom: true}); r.signal.granted != want {
		t.Errorf("granted = %+v, want %+v", r.signal.granted, want)
	}
	if v := change(object{"title": "new", "scheduled_at": nil}); v.Title != "new" || v.ScheduledAt != nil || !v.Settings.WaitingRoom || v.Revision != 3 {
		t.Errorf("after title: %+v", v)
	}
	if got := r.signal.took(); got != nil {
		t.Errorf("rooms heard %v of a title", got)
	}
	r.do("PATCH", "/v1/meetings/"+m.ID, object{"settings": object{"max_cameras": 99}}, bearer(r.token(rightUpdate))).
		wantProblem(http.StatusUnprocessableEntity, "validation_failed")
	r.do("PATCH", "/v1/meetings/"+newID(meetingPrefix), object{}, bearer(r.token(rightUpdate))).
		wantProblem(http.StatusNotFound, "meeting_not_found")
}

// A room that cannot be told its settings does not undo what is on disk.
func TestChangeWithoutRoom(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	r.signal.set(func(f *fakeSignal) { f.err = errNoSuchParticipant })
	r.do("PATCH", "/v1/meetings/"+m.ID, object{"settings": object{"guests": true}}, bearer(r.token(rightUpdate))).want(http.StatusOK)
}

func TestConcurrentChangesAllCount(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	const changes = 4 // each may lose to the three others
	var wg sync.WaitGroup
	for i := range changes {
		wg.Go(func() {
			r.do("PATCH", "/v1/meetings/"+m.ID, object{"title": fmt.Sprint(i)}, bearer(r.token(rightUpdate))).want(http.StatusOK)
		})
	}
	wg.Wait()
	var v meetingView
	r.get("/v1/meetings/"+m.ID, bearer(r.token(rightRead))).into(&v)
	if v.Revision != 1+changes {
		t.Errorf("revision = %d, want %d", v.Revision, 1+changes)
	}
}

func TestEnd(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	at := "/v1/meetings/" + m.ID
	held := r.join(m.ID, object{})
	for range 2 {
		r.post(at+"/end", nil, bearer(r.token(rightEnd))).want(http.StatusNoContent)
	}
	if got := r.signal.took(); !slices.Equal(got, []string{"end " + m.ID, "end " + m.ID}) {
		t.Errorf("rooms heard %v", got)
	}
	claims, err := r.keys.VerifyJoin(held.JoinToken)
	if err != nil || !r.revoked.Revoked(claims) {
		t.Errorf("a token from before: revoked = %v, %v", r.revoked.Revoked(claims), err)
	}
	var v meetingView
	r.get(at, bearer(r.token(rightRead))).into(&v)
	if v.Status != "ended" || v.EndedAt == nil || v.Revision != 2 {
		t.Errorf("ended = %+v", v)
	}
	r.post(at+"/join", object{}).wantProblem(http.StatusGone, "meeting_ended")
	r.post(at+"/lock", nil, bearer(r.token(rightModerate))).wantProblem(http.StatusGone, "meeting_ended")
	r.do("PATCH", at, object{"title": "y"}, bearer(r.token(rightUpdate))).wantProblem(http.StatusGone, "meeting_ended")
}

func TestEndByHostKey(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	r.post("/v1/meetings/"+m.ID+"/end", nil, header(HostKeyHeader, r.create(object{"title": "y"}).HostKey)).
		wantProblem(http.StatusForbidden, "host_key_invalid")
	r.post("/v1/meetings/"+m.ID+"/end", nil, header(HostKeyHeader, m.HostKey)).want(http.StatusNoContent)
}

func TestDelete(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	at := "/v1/meetings/" + m.ID
	held := r.join(m.ID, object{})
	r.do("DELETE", at, nil, bearer(r.token(rightDelete))).want(http.StatusNoContent)
	if got := r.signal.took(); !slices.Equal(got, []string{"end " + m.ID}) {
		t.Errorf("rooms heard %v", got)
	}
	claims, err := r.keys.VerifyJoin(held.JoinToken)
	if err != nil || !r.revoked.Revoked(claims) {
		t.Errorf("a token from before: revoked = %v, %v", r.revoked.Revoked(claims), err)
	}
	r.post(at+"/join", object{}).wantProblem(http.StatusNotFound, "meeting_not_found")
	r.get(at, bearer(r.token(rightRead))).wantProblem(http.StatusNotFound, "meeting_not_found")
	r.do("DELETE", at, nil, bearer(r.token(rightDelete))).wantProblem(http.StatusNotFound, "meeting_not_found")
}

func TestForeignIDsReachNoStore(t *testing.T) {
	r := newRig(t)
	counted := r.countReads()
	for _, id := range []string{"x", "mtg_", "mtg_*", "mtg_>", "mtg_a.b", "pt_4zv6ktx3yq2m5n7abcdefghijk", "mtg_" + strings.Repeat("a", 200), "mtg_4ZV6KTX3YQ2M5N7ABCDEFGHIJK"} {
		r.get("/v1/meetings/"+id, bearer(r.token(rightRead))).wantProblem(http.StatusNotFound, "meeting_not_found")
	}
	if got := counted.gets.Load(); got != 0 {
		t.Errorf("reads = %d, want 0", got)
	}
}

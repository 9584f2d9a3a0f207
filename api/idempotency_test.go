package api

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/parley-sfu/parley/internal/bus"
)

func (r *rig) count() int {
	r.t.Helper()
	var page listView
	r.get("/v1/meetings?limit=100", bearer(r.token(rightRead))).into(&page)
	return len(page.Meetings)
}

func TestIdempotentCreate(t *testing.T) {
	r := newRig(t)
	body := object{"title": "x"}
	first := r.create(body, header(IdempotencyKeyHeader, "one"))
	again := r.post("/v1/meetings", body, bearer(r.token(allRights...)), header(IdempotencyKeyHeader, "one"))
	again.want(http.StatusCreated)
	var replayed createdView
	again.into(&replayed)
	if replayed.ID != first.ID || replayed.HostKey != first.HostKey || !replayed.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("replayed = %+v, want %+v", replayed, first)
	}
	if again.header.Get(ReplayedHeader) != "true" {
		t.Error("the replay does not say that it is one")
	}
	r.join(first.ID, object{"host_key": replayed.HostKey})

	r.post("/v1/meetings", object{"title": "y"}, bearer(r.token(allRights...)), header(IdempotencyKeyHeader, "one")).
		wantProblem(http.StatusUnprocessableEntity, "idempotency_key_reused")
	if other := r.create(body, header(IdempotencyKeyHeader, "two")); other.ID == first.ID {
		t.Error("another key gave the same meeting")
	}
	if other := r.create(body, header(IdempotencyKeyHeader, "one"), bearer(r.tokenOf("bob", rightCreate))); other.ID == first.ID {
		t.Error("another caller's key gave the same meeting")
	}
	if got := r.count(); got != 3 {
		t.Errorf("meetings = %d, want 3", got)
	}
}

func TestIdempotencyKeyFaults(t *testing.T) {
	r := newRig(t)
	long := make([]byte, maxKeyBytes+1)
	for i := range long {
		long[i] = 'a'
	}
	for name, key := range map[string]string{"long": string(long), "space": "a b", "not ASCII": "schlüssel"} {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			r.post("/v1/meetings", object{"title": "x"}, bearer(r.token(rightCreate)), header(IdempotencyKeyHeader, key)).
				wantProblem(http.StatusUnprocessableEntity, "validation_failed")
		})
	}
}

func TestConcurrentCreatesMakeOneMeeting(t *testing.T) {
	r := newRig(t)
	token := r.token(rightCreate)
	const callers = 100
	made := make([]createdView, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			got := r.post("/v1/meetings", object{"title": "x"}, bearer(token), header(IdempotencyKeyHeader, "same"))
			if got.status != http.StatusCreated {
				t.Errorf("status = %d: %s", got.status, got.body)
				return
			}
			got.into(&made[i])
		})
	}
	wg.Wait()
	for _, m := range made {
		if m.ID != made[0].ID || m.HostKey != made[0].HostKey {
			t.Fatalf("two answers: %+v and %+v", made[0], m)
		}
	}
	if got := r.count(); got != 1 {
		t.Errorf("meetings = %d, want 1", got)
	}
}

// brokenKV fails once where the test says, as if the process had died there.
type brokenKV struct {
	kv
	create, update bool
}

func (b *brokenKV) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if b.create {
		b.create = false
		return 0, bus.ErrUnavailable
	}
	return b.kv.Create(ctx, key, value)
}

func (b *brokenKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if b.update {
		b.update = false
		return 0, bus.ErrUnavailable
	}
	return b.kv.Update(ctx, key, value, revision)
}

// A request that breaks off between its three writes is finished by the next with its key.
func TestBrokenCreateIsFinished(t *testing.T) {
	for name, broken := range map[string]func(*buckets){
		"before the key":     func(b *buckets) { b.keys = &brokenKV{kv: b.keys, create: true} },
		"before the meeting": func(b *buckets) { b.meetings = &brokenKV{kv: b.meetings, update: true} },
		"before the end":     func(b *buckets) { b.keys = &brokenKV{kv: b.keys, update: true} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b, err := r.server.store.buckets()
			if err != nil {
				t.Fatal(err)
			}
			hurt := *b
			broken(&hurt)
			r.server.store.opened.Store(&hurt)
			key := header(IdempotencyKeyHeader, "k")
			r.post("/v1/meetings", object{"title": "x"}, bearer(r.token(rightCreate)), key).wantProblem(http.StatusServiceUnavailable, "store_unavailable")
			m := r.create(object{"title": "x"}, key, bearer(r.token(rightCreate)))
			r.get("/v1/meetings/"+m.ID, header(HostKeyHeader, m.HostKey)).want(http.StatusOK)
			if got := r.count(); got != 1 {
				t.Errorf("meetings = %d, want 1", got)
			}
		})
	}
}

func TestReplayDoesNotReviveADeletedMeeting(t *testing.T) {
	r := newRig(t)
	key := header(IdempotencyKeyHeader, "k")
	m := r.create(object{"title": "x"}, key)
	r.do("DELETE", "/v1/meetings/"+m.ID, nil, bearer(r.token(rightDelete))).want(http.StatusNoContent)
	if again := r.create(object{"title": "x"}, key); again.ID != m.ID {
		t.Errorf("replay made %s, want the answer of %s", again.ID, m.ID)
	}
	r.get("/v1/meetings/"+m.ID, bearer(r.token(rightRead))).wantProblem(http.StatusNotFound, "meeting_not_found")

	// The slow twin of a request: it read the intent before the first was done, and writes after the deletion.
	b, err := r.server.store.buckets()
	if err != nil {
		t.Fatal(err)
	}
	twin := intent{MeetingID: m.ID}
	entries, err := b.keys.List(t.Context(), "", 1)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d intents, %v", len(entries), err)
	}
	if err := r.server.store.fulfil(t.Context(), entries[0].Key, twin, entries[0].Revision-1, &meeting{ID: m.ID}); err != nil {
		t.Fatal(err)
	}
	r.get("/v1/meetings/"+m.ID, bearer(r.token(rightRead))).wantProblem(http.StatusNotFound, "meeting_not_found")
}

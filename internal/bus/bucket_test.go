package bus

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func bucket(t *testing.T, b *Bus, cfg BucketConfig) *Bucket {
	t.Helper()
	k, err := b.Bucket(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func put(t *testing.T, k *Bucket, key, value string) uint64 {
	t.Helper()
	rev, err := k.Put(t.Context(), key, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestCompareAndSet(t *testing.T) {
	k := bucket(t, startEmbeddedBus(t), BucketConfig{Name: "cas"})
	ctx := t.Context()
	first, err := k.Create(ctx, "a", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Create(ctx, "a", []byte("2")); !errors.Is(err, ErrExists) {
		t.Errorf("Create again = %v, want ErrExists", err)
	}
	second, err := k.Update(ctx, "a", []byte("3"), first)
	if err != nil || second <= first {
		t.Fatalf("Update = %d, %v, want more than %d", second, err, first)
	}
	if _, err := k.Update(ctx, "a", []byte("4"), first); !errors.Is(err, ErrConflict) || errors.Is(err, ErrExists) {
		t.Errorf("Update of an old revision = %v, want ErrConflict", err)
	}
	if _, err := k.Update(ctx, "none", []byte("4"), 99); !errors.Is(err, ErrConflict) {
		t.Errorf("Update of no key = %v, want ErrConflict", err)
	}
	e, err := k.Get(ctx, "a")
	if err != nil || string(e.Value) != "3" || e.Revision != second || e.Key != "a" || time.Since(e.Created) > time.Minute {
		t.Errorf("Get = %+v, %v", e, err)
	}
	if err := k.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Get(ctx, "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get of a deleted key = %v, want ErrNotFound", err)
	}
	if err := k.Delete(ctx, "a"); err != nil {
		t.Errorf("Delete again = %v", err)
	}
	if _, err := k.Update(ctx, "a", nil, second); !errors.Is(err, ErrConflict) {
		t.Errorf("Update of a deleted key = %v, want ErrConflict", err)
	}
	if _, err := k.Create(ctx, "a", []byte("5")); err != nil {
		t.Errorf("Create of a deleted key = %v", err)
	}
}

func TestOneOfManyWritersWins(t *testing.T) {
	k := bucket(t, startEmbeddedBus(t), BucketConfig{Name: "race"})
	rev := put(t, k, "lease", "free")
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			_, err := k.Update(t.Context(), "lease", fmt.Append(nil, i), rev)
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, ErrConflict):
				lost.Add(1)
			default:
				t.Errorf("Update = %v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 31 {
		t.Errorf("%d won and %d lost", won.Load(), lost.Load())
	}
}

func TestKeysThatCannotBe(t *testing.T) {
	k := bucket(t, startEmbeddedBus(t), BucketConfig{Name: "keys"})
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a b", "*", ">", "a.>", "é", "a\x00", "a\r\nb"} {
		t.Run(key, func(t *testing.T) {
			if _, err := k.Get(t.Context(), key); !errors.Is(err, ErrNotFound) {
				t.Errorf("Get = %v, want ErrNotFound", err)
			}
			if _, err := k.Put(t.Context(), key, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("Put = %v, want ErrInvalid", err)
			}
			if err := k.Delete(t.Context(), key); !errors.Is(err, ErrInvalid) {
				t.Errorf("Delete = %v, want ErrInvalid", err)
			}
		})
	}
}

func TestBucketsThatCannotBe(t *testing.T) {
	b := startEmbeddedBus(t)
	tests := map[string]BucketConfig{
		"no name":          {},
		"name with a dot":  {Name: "a.b"},
		"negative ttl":     {Name: "a", TTL: -1},
		"too much history": {Name: "a", History: 65},
		"more than disk":   {Name: "a", MaxBytes: 2 << 30},
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := b.Bucket(t.Context(), cfg); err == nil || errors.Is(err, ErrUnavailable) {
				t.Errorf("Bucket = %v, want a refusal", err)
			}
		})
	}
}

func TestListByCursor(t *testing.T) {
	k := bucket(t, startEmbeddedBus(t), BucketConfig{Name: "list", History: 3})
	const n = 25
	for i := range n {
		put(t, k, fmt.Sprintf("mtg_%02d", (i*7)%n), "old")
		put(t, k, fmt.Sprintf("mtg_%02d", (i*7)%n), fmt.Sprint((i*7)%n))
	}
	if err := k.Delete(t.Context(), "mtg_13"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for after := ""; ; {
		page, err := k.List(t.Context(), after, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			got = append(got, e.Key+":"+string(e.Value))
		}
		if len(page) < 10 {
			break
		}
		after = page[len(page)-1].Key
	}
	var want []string
	for i := range n {
		if i != 13 {
			want = append(want, fmt.Sprintf("mtg_%02d:%d", i, i))
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("listed %v\nwant   %v", got, want)
	}
	for name, limit := range map[string]int{"nothing": 0, "less than nothing": -1} {
		if page, err := k.List(t.Context(), "", limit); err != nil || len(page) != 0 {
			t.Errorf("%s: List = %v, %v", name, page, err)
		}
	}
	if page, err := k.List(t.Context(), "zzz", 10); err != nil || len(page) != 0 {
		t.Errorf("List behind the end = %v, %v", page, err)
	}
}

func TestOldKeysDisappearAndWatchersHearIt(t *testing.T) {
	k := bucket(t, startEmbeddedBus(t), BucketConfig{Name: "ttl", TTL: time.Second})
	heard := watch(t, k)
	await(t, heard.caughtUp)
	put(t, k, "a", "1")
	if c := await(t, heard.changes); c != "a=1" {
		t.Fatalf("heard %q", c)
	}
	if c := await(t, heard.changes); c != "a gone" {
		t.Fatalf("heard %q", c)
	}
	if _, err := k.Get(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
	if _, err := k.Create(t.Context(), "a", nil); err != nil {
		t.Errorf("Create = %v", err)
	}
}

// A cluster of which some servers are away, or have not come yet, is away: nobody stops for it.
func TestClusterWithoutItsServersIsAway(t *testing.T) {
	for name, tc := range map[string]struct {
		err  jetstream.APIError
		away bool
	}{
		"no leader":         {jetstream.APIError{Code: 503, ErrorCode: 10008}, true},
		"too few servers":   {jetstream.APIError{Code: 400, ErrorCode: noPeers}, true},
		"refused for good":  {jetstream.APIError{Code: 400, ErrorCode: 10052}, false},
		"no right to do so": {jetstream.APIError{Code: 403}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if away := errors.Is(fail("open", &tc.err), ErrUnavailable); away != tc.away {
				t.Errorf("away: %t, want %t", away, tc.away)
			}
		})
	}
}

package grant

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// background runs f until the test's bubble or the test ends; stop waits for it.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}
	return stop
}

// kids are the key ids of the JWK Set, which must hold no private member.
func kids(t *testing.T, k *Keyring) []string {
	t.Helper()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(k.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, key := range set.Keys {
		if _, private := key["d"]; private || key["use"] != "sig" || key["alg"] != "EdDSA" {
			t.Errorf("JWKS has %v", key)
		}
		ids = append(ids, key["kid"].(string))
	}
	slices.Sort(ids)
	return ids
}

func TestANodesKeyReachesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		here, there := newKeyring(t, Defaults(), store), newKeyring(t, Defaults(), store)
		token := issueJoin(t, here, anna())
		if _, err := there.VerifyJoin(token); !errors.Is(err, ErrTokenUnknownKey) {
			t.Fatalf("VerifyJoin before the key is known = %v", err)
		}
		defer background(t, here.Run)()
		defer background(t, there.Run)()
		synctest.Wait()
		if _, err := there.VerifyJoin(token); err != nil {
			t.Errorf("VerifyJoin = %v", err)
		}
		if a, b := kids(t, here), kids(t, there); len(a) != 2 || !slices.Equal(a, b) {
			t.Errorf("JWKS %v here and %v there, want the same two keys", a, b)
		}
	})
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		cfg := Defaults()
		cfg.KeyFile = filepath.Join(t.TempDir(), "key.json")
		signer, other := newKeyring(t, cfg, store), newKeyring(t, Defaults(), store)
		defer background(t, signer.Run)()
		defer background(t, other.Run)()
		synctest.Wait()
		oldJoin := issueJoin(t, signer, anna())
		oldResume, _, err := signer.IssueResume(anna())
		if err != nil {
			t.Fatal(err)
		}
		before := kids(t, signer)

		if err := signer.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if after := kids(t, signer); len(before) != 2 || len(after) != 3 {
			t.Errorf("JWKS had %v, has %v; want one more", before, after)
		}
		newJoin := issueJoin(t, signer, anna())
		if strings.Split(newJoin, ".")[0] == strings.Split(oldJoin, ".")[0] {
			t.Error("the new token names the old key")
		}
		for name, k := range map[string]*Keyring{"signer": signer, "other": other} {
			for which, token := range map[string]string{"old": oldJoin, "new": newJoin} {
				if _, err := k.VerifyJoin(token); err != nil {
					t.Errorf("%s: VerifyJoin of the %s token = %v", name, which, err)
				}
			}
		}

		time.Sleep(23 * time.Hour)
		for name, k := range map[string]*Keyring{"signer": signer, "other": other} {
			if _, err := k.VerifyResume(oldResume); err != nil {
				t.Errorf("%s: VerifyResume after 23 hours = %v", name, err)
			}
			if _, err := k.VerifyJoin(oldJoin); !errors.Is(err, ErrTokenExpired) {
				t.Errorf("%s: VerifyJoin after 23 hours = %v, want ErrTokenExpired", name, err)
			}
		}
		time.Sleep(2 * time.Hour)
		for name, k := range map[string]*Keyring{"signer": signer, "other": other} {
			if _, err := k.VerifyResume(oldResume); !errors.Is(err, ErrTokenUnknownKey) {
				t.Errorf("%s: VerifyResume after the old key's end = %v, want ErrTokenUnknownKey", name, err)
			}
			if ids := kids(t, k); len(ids) != 2 {
				t.Errorf("%s: JWKS has %v, want the two current keys", name, ids)
			}
		}
		if n := store.keys(); n != 2 {
			t.Errorf("the store keeps %d keys, want 2", n)
		}
	})
}

func TestRotationNeedsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		k := newKeyring(t, Defaults(), store)
		before := kids(t, k)
		store.setAway(true)
		if err := k.Rotate(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("Rotate = %v, want the store's error", err)
		}
		if after := kids(t, k); !slices.Equal(before, after) {
			t.Errorf("a rotation that failed changed the keys from %v to %v", before, after)
		}
		store.setAway(false)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := k.Rotate(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Rotate = %v, want context.Canceled", err)
		}
	})
}

func TestRotationByAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		cfg := Defaults()
		cfg.KeyFile = filepath.Join(t.TempDir(), "key.json")
		node, other := newKeyring(t, cfg, store), newKeyring(t, Defaults(), store)
		defer background(t, node.Run)()
		defer background(t, other.Run)()
		synctest.Wait()
		old := issueJoin(t, node, anna())

		tool := newKeyring(t, cfg, nil)
		if err := tool.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * tidyEvery)
		token := issueJoin(t, node, anna())
		if _, err := tool.VerifyJoin(token); err != nil {
			t.Errorf("the node signs with another key than the file's: %v", err)
		}
		for _, one := range []string{old, token} {
			if _, err := other.VerifyJoin(one); err != nil {
				t.Errorf("VerifyJoin = %v", err)
			}
		}
	})
}

func TestKeysArePublishedOnceTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.setAway(true)
		k := newKeyring(t, Defaults(), store)
		defer background(t, k.Run)()
		time.Sleep(time.Minute)
		if k.Published() {
			t.Error("the key is said to be published while the store is away")
		}
		store.setAway(false)
		time.Sleep(2 * publishAgain)
		if store.keys() != 1 || !k.Published() {
			t.Errorf("%d keys are published, said: %t", store.keys(), k.Published())
		}
		store.setAway(true)
		time.Sleep(2 * publishEvery)
		if !k.Published() {
			t.Error("a store that is away later takes back what is published")
		}
	})
}

func TestAStoreThatLosesEverythingLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		here, there := newKeyring(t, Defaults(), store), newKeyring(t, Defaults(), store)
		defer background(t, here.Run)()
		defer background(t, there.Run)()
		synctest.Wait()
		for _, id := range kids(t, here) {
			if err := store.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if _, err := there.VerifyJoin(issueJoin(t, here, anna())); err != nil {
			t.Errorf("VerifyJoin = %v", err)
		}
		if store.keys() != 2 {
			t.Errorf("the store has %d keys, want both published again", store.keys())
		}
	})
}

func TestStoredKeysThatAreNone(t *testing.T) {
	k, donor := newKeyring(t, Defaults(), nil), newKeyring(t, Defaults(), nil)
	before := kids(t, k)
	good, err := recordOf(donor.own.signing.pub, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	id := donor.own.signing.id
	encode := func(r record) []byte {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tests := map[string]struct {
		id    string
		value []byte
	}{
		"not JSON":            {id, []byte("{")},
		"empty":               {id, nil},
		"no key":              {id, encode(record{Key: json.RawMessage(`{}`), Expires: good.Expires})},
		"no expiry":           {id, encode(record{Key: good.Key})},
		"under another's id":  {"another", encode(good)},
		"a private key":       {id, encode(record{Key: donor.own.signing.json, Expires: good.Expires})},
		"a symmetric key":     {id, encode(record{Key: json.RawMessage(`{"kty":"oct","k":"c2VjcmV0"}`), Expires: good.Expires})},
		"an RSA key":          {id, encode(record{Key: json.RawMessage(`{"kty":"RSA","n":"AQAB","e":"AQAB"}`), Expires: good.Expires})},
		"a curve that is not": {id, encode(record{Key: json.RawMessage(`{"kty":"OKP","crv":"X25519","x":"AA"}`), Expires: good.Expires})},
		"a short Ed25519 key": {id, encode(record{Key: json.RawMessage(`{"kty":"OKP","crv":"Ed25519","x":"AA"}`), Expires: good.Expires})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			k.learn(tc.id, tc.value, false)
			if after := kids(t, k); !slices.Equal(before, after) {
				t.Errorf("learnt %v", after)
			}
		})
	}
	k.learn(id, encode(good), false)
	if len(kids(t, k)) != len(before)+1 {
		t.Error("a good key was refused: the table proves nothing")
	}
}

func TestRunFailsWhenTheStoreRefuses(t *testing.T) {
	store := refusing{newMemory()}
	if err := newKeyring(t, Defaults(), store).Run(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("Keyring.Run = %v, want the store's error", err)
	}
	if err := NewRevocations(store, discard()).Run(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("Revocations.Run = %v, want the store's error", err)
	}
}

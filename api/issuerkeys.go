package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// When the issuer's keys are fetched.
const (
	refreshEvery = 15 * time.Minute
	retryAfter   = 10 * time.Second // after a fetch that failed
	askAgain     = 30 * time.Second // the least between fetches that unknown key ids cause
	fetchTimeout = 5 * time.Second
	maxJWKSBytes = 1 << 20
)

// issuerKeys has the issuer's public keys. It asks the issuer on a schedule of its own, whatever the issuer's cache
// headers say, and keeps the keys it has while the issuer is away. A token with an unknown key id makes it ask before
// its time, which strangers can cause once in askAgain and no more.
type issuerKeys struct {
	url    string
	client *http.Client
	log    *slog.Logger
	wake   chan struct{}

	mu     sync.Mutex // protects following
	keys   map[string]jwk.Key
	tried  time.Time     // of the newest fetch that ended
	settle chan struct{} // closed when the fetch that is wanted has ended; nil when none is
}

func newIssuerKeys(url string, log *slog.Logger) *issuerKeys {
	return &issuerKeys{
		url: url,
		client: &http.Client{
			Timeout:       fetchTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log:    log,
		wake:   make(chan struct{}, 1),
		settle: make(chan struct{}),
	}
}

// run keeps the keys fresh until ctx ends.
func (k *issuerKeys) run(ctx context.Context) {
	defer k.client.CloseIdleConnections()
	for {
		next := refreshEvery
		if err := k.refresh(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("issuer's keys not fetched", "url", k.url, "error", err)
			next = retryAfter
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.wake:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// find returns the key with that id. An unknown id has the keys fetched, and waits for that.
func (k *issuerKeys) find(ctx context.Context, kid string) (jwk.Key, error) {
	key, settled, err := k.lookup(kid, time.Now())
	if settled == nil {
		return key, err
	}
	select {
	case <-settled:
	case <-ctx.Done():
		return nil, errIssuerAway(ctx.Err())
	}
	key, settled, err = k.lookup(kid, time.Now())
	if settled != nil {
		return nil, errIssuerAway(errors.New("the fetch took too long"))
	}
	return key, err
}

// lookup returns the key, the error that there is none, or a channel to wait on before looking again.
func (k *issuerKeys) lookup(kid string, now time.Time) (jwk.Key, <-chan struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[kid]; ok {
		return key, nil, nil
	}
	if k.settle == nil && now.Sub(k.tried) < askAgain {
		if k.keys == nil {
			return nil, nil, errIssuerAway(errors.New("no keys yet"))
		}
		return nil, nil, errTokenInvalid("The token is signed with a key that its issuer does not publish.")
	}
	if k.settle == nil {
		k.settle = make(chan struct{})
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
	return nil, k.settle, nil
}

func errIssuerAway(cause error) *failure {
	return fail(http.StatusServiceUnavailable, "issuer_unavailable",
		"The keys of the token's issuer cannot be fetched now.").after(retryAfter).because(cause)
}

// refresh fetches the keys once and tells those who wait.
func (k *issuerKeys) refresh(ctx context.Context) error {
	keys, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.keys = keys
	}
	k.tried = time.Now()
	if k.settle != nil {
		close(k.settle)
		k.settle = nil
	}
	return err
}

func (k *issuerKeys) fetch(ctx context.Context) (map[string]jwk.Key, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for keys: %w", err)
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for keys: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for keys: status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKSBytes))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return usableKeys(body)
}

// usableKeys picks the public signature keys that have an id. Shared secrets have no place in a published set.
func usableKeys(body []byte) (map[string]jwk.Key, error) {
	set, err := jwk.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("parse keys: %w", err)
	}
	keys := map[string]jwk.Key{}
	for i := range set.Len() {
		key, ok := set.Key(i)
		if !ok || key.KeyID() == "" || key.KeyType() == jwa.OctetSeq || key.KeyUsage() != "" && key.KeyUsage() != string(jwk.ForSignature) {
			continue
		}
		public, err := key.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", key.KeyID(), err)
		}
		keys[key.KeyID()] = public
	}
	return keys, nil
}

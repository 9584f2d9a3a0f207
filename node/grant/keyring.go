package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

const (
	tidyEvery    = 5 * time.Second        // look at the key file, drop what expired
	publishEvery = 10 * time.Minute       // say again that our keys live
	publishAgain = 500 * time.Millisecond // when our keys could not be published
	publishLimit = 2 * time.Second        // for a key to be stored, before it is tried again
	settle       = time.Second            // for a new key to reach the other nodes before a token needs it
)

// Keyring issues and verifies tokens. All methods are safe for concurrent use; those for tokens never wait for
// anything, and work without Run, but then with the keys of this node alone.
type Keyring struct {
	cfg   Config
	store Store // nil: a cluster of one
	log   *slog.Logger
	view  atomic.Pointer[view]
	wake  chan struct{} // holds one token when our keys should be published now
	known atomic.Bool   // our keys have been published
	said  bool          // that they could not be; for publish alone

	changing sync.Mutex // held while own is replaced, which takes file and network

	mu     sync.Mutex // protects following
	own    ring
	stamp  time.Time            // of the key file when it was last read or written
	others map[string]publicKey // by id
}

// view is what tokens are signed and verified with. It is never changed, only replaced.
type view struct {
	signing   privateKey
	verifying map[string]publicKey // by id
	jwks      []byte
}

// New reads this node's key, which it makes when it is missing. A nil store is for a node on its own, and for tools.
func New(cfg Config, store Store, log *slog.Logger) (*Keyring, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	own, err := openRing(cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	k := &Keyring{cfg: cfg, store: store, log: log, wake: make(chan struct{}, 1), others: make(map[string]publicKey)}
	if err := k.use(own); err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return k, nil
}

// Run publishes this node's public keys, learns those of other nodes, and notices when the key file is replaced. It
// returns nil when ctx ends, and an error when the store refuses to be watched.
func (k *Keyring) Run(ctx context.Context) error {
	own, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	if k.store != nil {
		wg.Go(func() { stop(k.store.WatchValues(own, k.learn, nil)) })
	}
	wg.Go(func() { k.tend(own) })
	<-own.Done()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("grant: watch keys: %w", context.Cause(own))
}

// tend keeps this node's keys published, and all keys up to date.
func (k *Keyring) tend(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	publish := time.NewTimer(k.publish(ctx))
	defer publish.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
			publish.Reset(k.publish(ctx))
		case <-publish.C:
			publish.Reset(k.publish(ctx))
		case <-tick.C:
			k.reload(ctx)
			k.tidy(ctx)
		}
	}
}

// Published says whether this node's keys have been stored for the other nodes since Run began: until then they may refuse
// its tokens.
func (k *Keyring) Published() bool { return k.store == nil || k.known.Load() }

// JWKS is the JWK Set (RFC 7517) of all live public keys, this node's and the others'.
func (k *Keyring) JWKS() []byte { return slices.Clone(k.view.Load().jwks) }

// Rotate replaces the key that this node signs with. The new public key goes out first; the old one stays until the
// last token signed with it has expired, though its private half is gone at once. An error means that nothing changed.
// A Keyring that runs elsewhere with the same KeyFile follows within seconds.
func (k *Keyring) Rotate(ctx context.Context) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	next, err := generate()
	if err != nil {
		return fmt.Errorf("grant: rotate: %w", err)
	}
	if err := k.announce(ctx, next.pub); err != nil {
		return fmt.Errorf("grant: rotate: %w", err)
	}
	k.mu.Lock()
	old := k.own
	k.mu.Unlock()
	now := time.Now()
	own := old.retire(next, now, now.Add(k.cfg.ResumeTTL+2*leeway))
	if k.cfg.KeyFile != "" {
		if err := writeRing(k.cfg.KeyFile, own, os.Rename); err != nil {
			return fmt.Errorf("grant: rotate: %w", err)
		}
	}
	if err := k.use(own); err != nil {
		return fmt.Errorf("grant: rotate: %w", err)
	}
	k.wakeUp() // to publish when the old key ends
	k.log.Info("grant: signing key rotated", "kid", next.id, "old", old.signing.id)
	return nil
}

// announce publishes a key before the first token is signed with it, and gives the other nodes time to hear.
func (k *Keyring) announce(ctx context.Context, key publicKey) error {
	if k.store == nil {
		return nil
	}
	if err := k.put(ctx, key, time.Now().Add(2*k.cfg.ResumeTTL)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(settle):
		return nil
	}
}

// reload follows a key file that another process has rotated.
func (k *Keyring) reload(ctx context.Context) {
	if k.cfg.KeyFile == "" || !k.changing.TryLock() {
		return
	}
	defer k.changing.Unlock()
	k.mu.Lock()
	current, stamp := k.own.signing.id, k.stamp
	k.mu.Unlock()
	if fileStamp(k.cfg.KeyFile).Equal(stamp) {
		return
	}
	own, err := readRing(k.cfg.KeyFile)
	if err == nil && own.signing.id != current {
		err = k.announce(ctx, own.signing.pub)
	}
	if err == nil {
		err = k.use(own)
	}
	if err != nil {
		k.log.Error("grant: the key file changed, but cannot be used; the old key stays in use", "err", err)
		return
	}
	k.wakeUp()
	k.log.Info("grant: key file read again", "kid", own.signing.id)
}

// use makes own the keys of this node.
func (k *Keyring) use(own ring) error {
	stamp := fileStamp(k.cfg.KeyFile)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.own, k.stamp = own, stamp
	return k.refreshLocked()
}

// learn takes a public key of another node. A deleted one stays until it expires: the tokens of it are good, and a
// store that lost its data should lock nobody out.
func (k *Keyring) learn(id string, value []byte, deleted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ownsLocked(id) {
		if deleted {
			k.wakeUp()
		}
		return
	}
	if deleted {
		return
	}
	var r record
	err := json.Unmarshal(value, &r)
	var key publicKey
	if err == nil {
		key, err = parsePublic(r)
	}
	if err == nil && key.id != id {
		err = fmt.Errorf("the key's own id is %s", key.id)
	}
	if err != nil {
		k.log.Warn("grant: a stored key is unusable", "kid", id, "err", err)
		return
	}
	k.others[id] = key
	if err := k.refreshLocked(); err != nil {
		k.log.Error("grant: learn a key", "kid", id, "err", err)
	}
}

func (k *Keyring) ownsLocked(id string) bool {
	return id == k.own.signing.id || slices.ContainsFunc(k.own.retired, func(old publicKey) bool { return old.id == id })
}

// publish stores this node's live public keys, and says how long to wait until it is done again.
func (k *Keyring) publish(ctx context.Context) (again time.Duration) {
	now := time.Now()
	if k.store == nil {
		return publishEvery
	}
	k.mu.Lock()
	own := k.own
	k.mu.Unlock()
	err := k.put(ctx, own.signing.pub, now.Add(2*k.cfg.ResumeTTL))
	for _, old := range own.retired {
		if err == nil && old.live(now) {
			err = k.put(ctx, old, old.expires)
		}
	}
	if err != nil {
		if !k.said && ctx.Err() == nil {
			k.said = true
			k.log.Warn("grant: public keys are not published yet; other nodes may refuse this node's tokens", "err", err)
		}
		return publishAgain
	}
	k.said = false
	k.known.Store(true)
	return publishEvery
}

func (k *Keyring) put(ctx context.Context, key publicKey, expires time.Time) error {
	r, err := recordOf(key, expires)
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", key.id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	if _, err := k.store.Put(ctx, key.id, text); err != nil {
		return fmt.Errorf("publish key %s: %w", key.id, err)
	}
	return nil
}

// tidy forgets keys that have expired, and deletes them for everybody.
func (k *Keyring) tidy(ctx context.Context) {
	now := time.Now()
	var gone []string
	k.mu.Lock()
	own := k.own
	own.retired = nil
	for _, old := range k.own.retired {
		if old.live(now) {
			own.retired = append(own.retired, old)
		} else {
			gone = append(gone, old.id)
		}
	}
	k.own = own
	for id, key := range k.others {
		if !key.live(now) {
			delete(k.others, id)
			gone = append(gone, id)
		}
	}
	var err error
	if len(gone) > 0 {
		err = k.refreshLocked()
	}
	k.mu.Unlock()
	for _, id := range gone {
		if k.store != nil && err == nil {
			err = k.store.Delete(ctx, id)
		}
	}
	if err != nil {
		k.log.Warn("grant: forget expired keys", "err", err)
	}
}

// refreshLocked replaces the view after a change of the keys.
func (k *Keyring) refreshLocked() error {
	v := &view{signing: k.own.signing, verifying: maps.Clone(k.others)}
	v.verifying[k.own.signing.id] = k.own.signing.pub
	for _, old := range k.own.retired {
		v.verifying[old.id] = old
	}
	set := jwk.NewSet()
	for _, id := range slices.Sorted(maps.Keys(v.verifying)) {
		if err := set.AddKey(v.verifying[id].jwk); err != nil {
			return fmt.Errorf("jwks: %w", err)
		}
	}
	var err error
	if v.jwks, err = json.Marshal(set); err != nil {
		return fmt.Errorf("jwks: %w", err)
	}
	k.view.Store(v)
	return nil
}

func (k *Keyring) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// fileStamp tells whether a file was replaced; zero for none.
func fileStamp(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

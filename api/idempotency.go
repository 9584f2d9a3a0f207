package api

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/parley-sfu/parley/internal/bus"
)

// The headers of idempotent creation.
const (
	IdempotencyKeyHeader = "Idempotency-Key"      // chosen by the caller
	ReplayedHeader       = "Idempotency-Replayed" // "true" on an answer that an earlier request earned
)

const maxKeyBytes = 255

// intent is what an Idempotency-Key is remembered with. It is written before the meeting is, and has all that is needed
// to finish the work of a request that died in between; so two requests with one key make one meeting, whichever of them
// gets how far.
type intent struct {
	BodySHA256 []byte    `json:"body_sha256"`
	MeetingID  string    `json:"meeting_id"`
	HostKey    []byte    `json:"host_key"` // sealed: only who knows the Idempotency-Key can open it
	CreatedAt  time.Time `json:"created_at"`
	Done       bool      `json:"done"` // the meeting was written: never write it again, it may have been deleted since
}

// createOnce gives m its id, key and time, and writes it. With an Idempotency-Key the first request decides them.
func (s *Server) createOnce(ctx context.Context, c *gin.Context, m *meeting, body []byte) (hostKey string, err error) {
	m.ID, m.CreatedAt, hostKey = newID(meetingPrefix), now(), newSecret()
	m.HostKeySHA256 = sumOf(hostKey)
	key := c.GetHeader(IdempotencyKeyHeader)
	if key == "" {
		return hostKey, s.store.create(ctx, m)
	}
	if err := checkKey(key); err != nil {
		return "", err
	}
	secrets, err := deriveSecrets(callerOf(c).id, key)
	if err != nil {
		return "", err
	}
	return s.createFor(ctx, c, secrets, m, hostKey, sha256.Sum256(body))
}

func checkKey(key string) error {
	ok := len(key) <= maxKeyBytes
	for i := range len(key) {
		ok = ok && key[i] > ' ' && key[i] <= '~'
	}
	if !ok {
		return invalid([]Fault{{Parameter: IdempotencyKeyHeader, Detail: fmt.Sprintf("must be 1 to %d visible ASCII characters", maxKeyBytes)}})
	}
	return nil
}

func (s *Server) createFor(ctx context.Context, c *gin.Context, secrets keySecrets, m *meeting, hostKey string, body [32]byte) (string, error) {
	mine := intent{BodySHA256: body[:], MeetingID: m.ID, HostKey: secrets.seal(hostKey), CreatedAt: m.CreatedAt}
	first, revision, err := s.store.claim(ctx, secrets.name, mine)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(first.BodySHA256, body[:]) {
		return "", fail(http.StatusUnprocessableEntity, "idempotency_key_reused", "The Idempotency-Key was used for another body.")
	}
	if first.MeetingID != m.ID {
		c.Header(ReplayedHeader, "true")
		if hostKey, err = secrets.open(first.HostKey); err != nil {
			return "", err
		}
		m.ID, m.CreatedAt, m.HostKeySHA256 = first.MeetingID, first.CreatedAt, sumOf(hostKey)
	}
	if first.Done {
		return hostKey, nil
	}
	return hostKey, s.store.fulfil(ctx, secrets.name, first, revision, m)
}

// claim writes the intent, or returns the one that was there first.
func (s *store) claim(ctx context.Context, name string, mine intent) (intent, uint64, error) {
	b, err := s.buckets()
	if err != nil {
		return intent{}, 0, err
	}
	value, err := json.Marshal(mine)
	if err != nil {
		return intent{}, 0, fmt.Errorf("encode idempotency key: %w", err)
	}
	revision, err := b.keys.Create(ctx, name, value)
	if err == nil {
		return mine, revision, nil
	}
	if !errors.Is(err, bus.ErrExists) {
		return intent{}, 0, fmt.Errorf("write idempotency key: %w", err)
	}
	e, err := b.keys.Get(ctx, name)
	if err != nil {
		return intent{}, 0, fmt.Errorf("read idempotency key: %w", err)
	}
	var first intent
	if err := json.Unmarshal(e.Value, &first); err != nil {
		return intent{}, 0, fmt.Errorf("stored idempotency key: %w", err)
	}
	return first, e.Revision, nil
}

// fulfil writes the meeting and then notes that it was written. Other requests with the same key may be doing the same;
// one of them writes it, also when it was deleted again before the slowest of them came to try.
func (s *store) fulfil(ctx context.Context, name string, in intent, revision uint64, m *meeting) error {
	if err := s.create(ctx, m); err != nil && !errors.Is(err, bus.ErrConflict) {
		return err
	}
	b, err := s.buckets()
	if err != nil {
		return err
	}
	in.Done = true
	value, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode idempotency key: %w", err)
	}
	if _, err = b.keys.Update(ctx, name, value, revision); err != nil && !errors.Is(err, bus.ErrConflict) {
		return fmt.Errorf("settle idempotency key: %w", err)
	}
	return nil
}

// keySecrets are what a caller and its Idempotency-Key are turned into: the name under which the store knows them, which
// tells nothing of either, and a key that seals what is stored there.
type keySecrets struct {
	name string
	aead cipher.AEAD
}

func deriveSecrets(callerID, key string) (keySecrets, error) {
	secret := fmt.Appendf(nil, "%d:%s%s", len(callerID), callerID, key)
	name, err := hkdf.Key(sha256.New, secret, nil, "parley idempotency name", sha256.Size)
	if err != nil {
		return keySecrets{}, fmt.Errorf("derive name: %w", err)
	}
	sealing, err := hkdf.Key(sha256.New, secret, nil, "parley idempotency seal", sha256.Size)
	if err != nil {
		return keySecrets{}, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return keySecrets{}, fmt.Errorf("cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return keySecrets{name: hex.EncodeToString(name), aead: aead}, err
}

func (k keySecrets) seal(hostKey string) []byte {
	return k.aead.Seal(nil, nil, []byte(hostKey), nil)
}

func (k keySecrets) open(sealed []byte) (string, error) {
	hostKey, err := k.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return "", fmt.Errorf("open stored host key: %w", err)
	}
	return string(hostKey), nil
}

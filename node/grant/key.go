package grant

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// privateKey signs.
type privateKey struct {
	id   string
	alg  jwa.SignatureAlgorithm
	raw  any // ed25519.PrivateKey or *ecdsa.PrivateKey
	json json.RawMessage
	pub  publicKey
}

// publicKey verifies. Its algorithm follows from what kind of key it is, never from what a token says.
type publicKey struct {
	id      string // the key's thumbprint (RFC 7638), so that an id cannot be taken by another key
	alg     jwa.SignatureAlgorithm
	raw     any // ed25519.PublicKey or *ecdsa.PublicKey
	jwk     jwk.Key
	expires time.Time // zero: never, as for the key that this node signs with
}

func (k publicKey) live(now time.Time) bool { return k.expires.IsZero() || now.Before(k.expires) }

// record is a public key as it is stored and replicated.
type record struct {
	Key     json.RawMessage `json:"key"`     // a JWK (RFC 7517)
	Expires time.Time       `json:"expires"` // no token of the key is accepted from then on
}

// generate makes a new Ed25519 key.
func generate() (privateKey, error) {
	_, raw, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return privateKey{}, fmt.Errorf("generate a key: %w", err)
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		return privateKey{}, fmt.Errorf("generate a key: %w", err)
	}
	return newPrivate(key)
}

// parsePrivate reads a private JWK: Ed25519 or P-256.
func parsePrivate(data []byte) (privateKey, error) {
	key, err := jwk.ParseKey(data)
	if err != nil {
		return privateKey{}, errors.New("not a JWK") // the cause could repeat the secret
	}
	return newPrivate(key)
}

func newPrivate(key jwk.Key) (privateKey, error) {
	var raw any
	if err := key.Raw(&raw); err != nil {
		return privateKey{}, errors.New("not a usable key")
	}
	switch raw.(type) {
	case ed25519.PrivateKey, *ecdsa.PrivateKey:
	default:
		return privateKey{}, errors.New("not a private Ed25519 or P-256 key")
	}
	public, err := jwk.PublicKeyOf(key)
	if err != nil {
		return privateKey{}, fmt.Errorf("public key: %w", err)
	}
	pub, err := newPublic(public)
	if err != nil {
		return privateKey{}, err
	}
	if err := describe(key, pub.id, pub.alg); err != nil {
		return privateKey{}, err
	}
	text, err := json.Marshal(key)
	if err != nil {
		return privateKey{}, errors.New("not a usable key")
	}
	return privateKey{id: pub.id, alg: pub.alg, raw: raw, json: text, pub: pub}, nil
}

// parsePublic reads a replicated or retired public key.
func parsePublic(r record) (publicKey, error) {
	key, err := jwk.ParseKey(r.Key)
	if err != nil {
		return publicKey{}, fmt.Errorf("not a JWK: %w", err)
	}
	pub, err := newPublic(key)
	if err != nil {
		return publicKey{}, err
	}
	if r.Expires.IsZero() {
		return publicKey{}, errors.New("a public key without an expiry")
	}
	pub.expires = r.Expires
	return pub, nil
}

func newPublic(key jwk.Key) (publicKey, error) {
	k := publicKey{jwk: key}
	if err := key.Raw(&k.raw); err != nil {
		return publicKey{}, fmt.Errorf("not a usable key: %w", err)
	}
	switch raw := k.raw.(type) {
	case ed25519.PublicKey:
		k.alg = jwa.EdDSA
	case *ecdsa.PublicKey:
		if raw.Curve != elliptic.P256() {
			return publicKey{}, errors.New("an elliptic curve other than P-256")
		}
		k.alg = jwa.ES256
	default:
		return publicKey{}, errors.New("not a public Ed25519 or P-256 key")
	}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return publicKey{}, fmt.Errorf("thumbprint: %w", err)
	}
	k.id = base64.RawURLEncoding.EncodeToString(sum)
	return k, describe(key, k.id, k.alg)
}

// describe sets the members by which users of the JWK Set choose a key.
func describe(key jwk.Key, id string, alg jwa.SignatureAlgorithm) error {
	return errors.Join(key.Set(jwk.KeyIDKey, id), key.Set(jwk.AlgorithmKey, alg), key.Set(jwk.KeyUsageKey, "sig"))
}

// recordOf is how k is stored.
func recordOf(k publicKey, expires time.Time) (record, error) {
	text, err := json.Marshal(k.jwk)
	if err != nil {
		return record{}, fmt.Errorf("encode key %s: %w", k.id, err)
	}
	return record{Key: text, Expires: expires.UTC()}, nil
}

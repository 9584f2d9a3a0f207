package system_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/internal/lab"
)

type object = map[string]any

// forger makes join tokens, good and bad ones: it has read the node's private key, so that a token it makes differs from
// a real one in nothing but what it means to differ in.
type forger struct {
	kid    string
	key    ed25519.PrivateKey
	public []byte // the JWK set that everybody can fetch
	header object // of a real token
	claims object // likewise
}

// newForger takes a real token apart.
func newForger(tb testing.TB, n *lab.Node, genuine string) *forger {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join(n.DataDir, "keys.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var file struct {
		Signing struct {
			KID string `json:"kid"`
			D   string `json:"d"`
		} `json:"signing"`
	}
	if err := json.Unmarshal(body, &file); err != nil {
		tb.Fatal(err)
	}
	seed, err := base64.RawURLEncoding.DecodeString(file.Signing.D)
	if err != nil || len(seed) != ed25519.SeedSize {
		tb.Fatalf("the node's key is no Ed25519 key: %v", err)
	}
	var set json.RawMessage
	if status := n.Call(tb, http.MethodGet, "/.well-known/jwks.json", nil, &set); status != http.StatusOK {
		tb.Fatalf("GET jwks.json = %d", status)
	}
	parts := strings.Split(genuine, ".")
	return &forger{
		kid: file.Signing.KID, key: ed25519.NewKeyFromSeed(seed), public: set,
		header: decodePart(tb, parts[0]), claims: decodePart(tb, parts[1]),
	}
}

func decodePart(tb testing.TB, part string) (o object) {
	tb.Helper()
	body, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(body, &o)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// with is a copy of o with some members changed; nil removes one.
func with(o, changes object) object {
	changed := maps.Clone(o)
	for key, value := range changes {
		if changed[key] = value; value == nil {
			delete(changed, key)
		}
	}
	return changed
}

func encode(o object) string {
	body, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return base64.RawURLEncoding.EncodeToString(body)
}

// sign makes a token with the node's own key, or with another one.
func (f *forger) sign(header, claims object, key ed25519.PrivateKey) string {
	signed := encode(with(f.header, header)) + "." + encode(with(f.claims, claims))
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(signed)))
}

// hmac makes a token that is signed with a secret that is none.
func (f *forger) hmac(secret []byte) string {
	signed := encode(with(f.header, object{"alg": "HS256"})) + "." + encode(f.claims)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

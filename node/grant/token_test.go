package grant

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// moving is somebody who is moved to another node.
func moving() Claims {
	c := anna()
	c.Tracks = []Track{{ID: "tr_1", Source: "camera"}, {ID: "tr_2", Source: "microphone"}}
	c.Seat = &Seat{JoinedAt: 1764000000000, AudioMuted: true, HandRaised: true}
	return c
}

// What is carried of tracks is bounded, so that a token with all that it may carry is not too long.
func TestTracksOfATokenAreBounded(t *testing.T) {
	k := newKeyring(t, Defaults(), nil)
	most := moving()
	most.Tracks = nil
	for range MaxTracks {
		most.Tracks = append(most.Tracks, Track{ID: strings.Repeat("x", maxTrackID), Source: "screen_audio"})
	}
	token, _, err := k.IssueJoin(most)
	if err != nil || len(token) > maxToken {
		t.Errorf("a token of %d bytes: %v", len(token), err)
	}
	for name, change := range map[string]func(*Claims){
		"too many":         func(c *Claims) { c.Tracks = append(c.Tracks, c.Tracks[0]) },
		"a long id":        func(c *Claims) { c.Tracks[0].ID += "x" },
		"no id":            func(c *Claims) { c.Tracks[0].ID = "" },
		"a strange source": func(c *Claims) { c.Tracks[0].Source = strings.Repeat("x", maxTrackID+1) },
	} {
		c := most
		c.Tracks = slices.Clone(most.Tracks)
		change(&c)
		if _, _, err := k.IssueJoin(c); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
}

func TestTokensSayWhatTheyWereGiven(t *testing.T) {
	kinds := map[string]struct {
		issue  func(*Keyring, Claims) (string, time.Time, error)
		verify func(*Keyring, string) (Claims, error)
		ttl    time.Duration
	}{
		"join":   {(*Keyring).IssueJoin, (*Keyring).VerifyJoin, 5 * time.Minute},
		"resume": {(*Keyring).IssueResume, (*Keyring).VerifyResume, 24 * time.Hour},
	}
	guest := Claims{MeetingID: "mtg_1", ParticipantID: "pt_2", Role: Viewer}
	for name, kind := range kinds {
		for who, want := range map[string]Claims{"user": anna(), "guest": guest, "participant who moves": moving()} {
			t.Run(name+" of a "+who, func(t *testing.T) {
				k := newKeyring(t, Defaults(), nil)
				token, expires, err := kind.issue(k, want)
				if err != nil {
					t.Fatal(err)
				}
				got, err := kind.verify(k, token)
				if err != nil {
					t.Fatal(err)
				}
				if got.ID == "" || !got.ExpiresAt.Equal(expires) {
					t.Errorf("jti %q, expires %v, want %v", got.ID, got.ExpiresAt, expires)
				}
				if left := time.Until(expires); left > kind.ttl || left < kind.ttl-2*time.Second {
					t.Errorf("expires in %v, want %v", left, kind.ttl)
				}
				want.ID, want.IssuedAt, want.ExpiresAt = got.ID, got.IssuedAt, got.ExpiresAt
				if !reflect.DeepEqual(got, want) {
					t.Errorf("claims = %+v\nwant     %+v", got, want)
				}
			})
		}
	}
}

// TestJSONNames holds the names that are part of the contract.
func TestJSONNames(t *testing.T) {
	token := issueJoin(t, newKeyring(t, Defaults(), nil), anna())
	var got map[string]any
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"iss", "aud", "sub", "jti", "iat", "nbf", "exp", "meetingId", "participantId", "displayName", "role", "region",
		"nodes", "settings", "rid",
	} {
		if _, ok := got[name]; !ok {
			t.Errorf("claim %s is missing", name)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("claims that are not in the contract: %v", got)
	}
}

func TestClaimsThatCannotBeIssued(t *testing.T) {
	k := newKeyring(t, Defaults(), nil)
	for name, change := range map[string]func(*Claims){
		"no meeting":     func(c *Claims) { c.MeetingID = "" },
		"no participant": func(c *Claims) { c.ParticipantID = "" },
		"no role":        func(c *Claims) { c.Role = "" },
		"unknown role":   func(c *Claims) { c.Role = "admin" },
		"too many nodes": func(c *Claims) { c.Nodes = make([]Candidate, 4) },
		"too long":       func(c *Claims) { c.DisplayName = strings.Repeat("x", maxToken) },
	} {
		t.Run(name, func(t *testing.T) {
			c := anna()
			change(&c)
			if token, _, err := k.IssueJoin(c); err == nil || token != "" {
				t.Errorf("IssueJoin = %q, %v, want an error", token, err)
			}
		})
	}
}

// forge makes a token by hand, with any header and claims.
func forge(header, claims string, sign func(signed string) []byte) string {
	signed := b64(header) + "." + b64(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// attacker has the cluster's public key and, for tokens that only our bugs could make, the private one.
type attacker struct {
	k      *Keyring
	kid    string
	claims map[string]any
}

func newAttacker(t *testing.T) attacker {
	t.Helper()
	k := newKeyring(t, Defaults(), nil)
	return attacker{k: k, kid: k.own.signing.id, claims: map[string]any{
		"iss": "parley", "aud": "parley", "jti": "x", "iat": time.Now().Unix(), "nbf": time.Now().Unix(),
		"exp": time.Now().Add(time.Minute).Unix(), "meetingId": "mtg_1", "participantId": "pt_1", "role": "host",
	}}
}

func (a attacker) own(signed string) []byte {
	return ed25519.Sign(a.k.own.signing.raw.(ed25519.PrivateKey), []byte(signed))
}

func (a attacker) header() string {
	return fmt.Sprintf(`{"alg":"EdDSA","kid":"%s","typ":"parley-join+jwt"}`, a.kid)
}

// with returns the claims as JSON, changed; a nil value removes one.
func (a attacker) with(changes map[string]any) string {
	all := maps.Clone(a.claims)
	for name, value := range changes {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// signed is a token of the real key with another header.
func (a attacker) signed(header string) string {
	return forge(strings.ReplaceAll(header, "KID", a.kid), a.with(nil), a.own)
}

// saying is a token of the real key and header with other claims.
func (a attacker) saying(changes map[string]any) string {
	return forge(a.header(), a.with(changes), a.own)
}

func (a attacker) hmacWithPublicKey(t *testing.T, secret func(publicKey) []byte) string {
	t.Helper()
	header := fmt.Sprintf(`{"alg":"HS256","kid":"%s","typ":"parley-join+jwt"}`, a.kid)
	return forge(header, a.with(nil), func(signed string) []byte {
		mac := hmac.New(sha256.New, secret(a.k.own.signing.pub))
		mac.Write([]byte(signed))
		return mac.Sum(nil)
	})
}

func TestAttackerCanMakeAGoodToken(t *testing.T) {
	a := newAttacker(t)
	if _, err := a.k.VerifyJoin(a.saying(nil)); err != nil {
		t.Fatalf("the tokens that the attacks start from are bad: %v", err)
	}
}

func TestAttacks(t *testing.T) {
	a := newAttacker(t)
	good := a.saying(nil)
	parts := strings.Split(good, ".")
	stranger := newAttacker(t)
	resume, _, err := a.k.IssueResume(anna())
	if err != nil {
		t.Fatal(err)
	}
	raw := func(k publicKey) []byte { return k.raw.(ed25519.PublicKey) }
	asJWK := func(k publicKey) []byte { text, _ := json.Marshal(k.jwk); return text }
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()

	tests := map[string]struct {
		token string
		want  error
	}{
		"alg none":                 {b64(strings.Replace(a.header(), "EdDSA", "none", 1)) + "." + parts[1] + ".", ErrTokenInvalid},
		"alg none, signed":         {a.signed(`{"alg":"none","kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"alg NONE":                 {a.signed(`{"alg":"NonE","kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"HS256 with the key":       {a.hmacWithPublicKey(t, raw), ErrTokenInvalid},
		"HS256 with the JWK":       {a.hmacWithPublicKey(t, asJWK), ErrTokenInvalid},
		"ES256 of an Ed25519 key":  {a.signed(`{"alg":"ES256","kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"alg missing":              {a.signed(`{"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"alg twice":                {a.signed(`{"alg":"none","alg":"EdDSA","kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"alg in other letters":     {a.signed(`{"ALG":"EdDSA","kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"alg not a string":         {a.signed(`{"alg":{},"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"kid missing":              {a.signed(`{"alg":"EdDSA","typ":"parley-join+jwt"}`), ErrTokenUnknownKey},
		"kid unknown":              {a.signed(`{"alg":"EdDSA","kid":"other","typ":"parley-join+jwt"}`), ErrTokenUnknownKey},
		"kid a path":               {a.signed(`{"alg":"EdDSA","kid":"../../dev/null","typ":"parley-join+jwt"}`), ErrTokenUnknownKey},
		"kid twice":                {a.signed(`{"alg":"EdDSA","kid":"KID","kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"typ missing":              {a.signed(`{"alg":"EdDSA","kid":"KID"}`), ErrTokenInvalid},
		"typ JWT":                  {a.signed(`{"alg":"EdDSA","kid":"KID","typ":"JWT"}`), ErrTokenInvalid},
		"resume as join":           {resume, ErrTokenInvalid},
		"crit empty":               {a.signed(`{"alg":"EdDSA","crit":[],"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"crit unknown":             {a.signed(`{"alg":"EdDSA","crit":["x"],"x":1,"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"crit twice the same":      {a.signed(`{"alg":"EdDSA","crit":["exp","exp"],"exp":1,"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"crit twice":               {a.signed(`{"alg":"EdDSA","crit":["a"],"crit":["b"],"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"b64 false":                {a.signed(`{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"key in the header":        {a.signed(`{"alg":"EdDSA","jwk":{},"kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"key by URL":               {a.signed(`{"alg":"EdDSA","jku":"http://127.0.0.1/","kid":"KID","typ":"parley-join+jwt"}`), ErrTokenInvalid},
		"header an array":          {a.signed(`["alg"]`), ErrTokenInvalid},
		"header cut":               {a.signed(`{"alg":"EdDSA","kid":"KID","typ":"parley-join+jwt"`), ErrTokenInvalid},
		"header with a tail":       {a.signed(a.header() + `{}`), ErrTokenInvalid},
		"header padded":            {parts[0] + "==." + parts[1] + "." + parts[2], ErrTokenInvalid},
		"another cluster's":        {stranger.saying(nil), ErrTokenUnknownKey},
		"signed by another key":    {forge(a.header(), a.with(nil), stranger.own), ErrTokenInvalid},
		"claims tampered":          {parts[0] + "." + b64(a.with(map[string]any{"meetingId": "mtg_2"})) + "." + parts[2], ErrTokenInvalid},
		"signature tampered":       {parts[0] + "." + parts[1] + "." + flip(parts[2]), ErrTokenInvalid},
		"signature cut":            {good[:len(good)-8], ErrTokenInvalid},
		"signature missing":        {parts[0] + "." + parts[1] + ".", ErrTokenInvalid},
		"signature zero":           {parts[0] + "." + parts[1] + "." + b64(strings.Repeat("\x00", 64)), ErrTokenInvalid},
		"wrong iss":                {a.saying(map[string]any{"iss": "evil"}), ErrTokenInvalid},
		"iss missing":              {a.saying(map[string]any{"iss": nil}), ErrTokenInvalid},
		"wrong aud":                {a.saying(map[string]any{"aud": "other"}), ErrTokenInvalid},
		"aud missing":              {a.saying(map[string]any{"aud": nil}), ErrTokenInvalid},
		"aud a list":               {a.saying(map[string]any{"aud": []string{"parley", "x"}}), ErrTokenInvalid},
		"expired":                  {a.saying(map[string]any{"exp": past}), ErrTokenExpired},
		"exp missing":              {a.saying(map[string]any{"exp": nil}), ErrTokenInvalid},
		"exp a string":             {a.saying(map[string]any{"exp": "4102444800"}), ErrTokenInvalid},
		"exp negative":             {a.saying(map[string]any{"exp": -1}), ErrTokenInvalid},
		"exp beyond numbers":       {a.saying(map[string]any{"exp": 1e300}), ErrTokenInvalid},
		"not yet valid":            {a.saying(map[string]any{"nbf": future, "exp": future + 60}), ErrTokenInvalid},
		"nbf missing":              {a.saying(map[string]any{"nbf": nil}), ErrTokenInvalid},
		"iat missing":              {a.saying(map[string]any{"iat": nil}), ErrTokenInvalid},
		"jti missing":              {a.saying(map[string]any{"jti": nil}), ErrTokenInvalid},
		"meeting missing":          {a.saying(map[string]any{"meetingId": nil}), ErrTokenInvalid},
		"participant missing":      {a.saying(map[string]any{"participantId": nil}), ErrTokenInvalid},
		"role missing":             {a.saying(map[string]any{"role": nil}), ErrTokenInvalid},
		"role unknown":             {a.saying(map[string]any{"role": "root"}), ErrTokenInvalid},
		"too many nodes":           {a.saying(map[string]any{"nodes": make([]Candidate, 4)}), ErrTokenInvalid},
		"claims not an object":     {forge(a.header(), `[]`, a.own), ErrTokenInvalid},
		"claims not JSON":          {forge(a.header(), `{`, a.own), ErrTokenInvalid},
		"claims nested deep":       {forge(a.header(), strings.Repeat("[", 2500), a.own), ErrTokenInvalid},
		"huge, though signed":      {a.saying(map[string]any{"displayName": strings.Repeat("x", 1<<20)}), ErrTokenInvalid},
		"huge header":              {strings.Repeat("A", 64<<20), ErrTokenInvalid},
		"a million dots":           {strings.Repeat(".", 1<<20), ErrTokenInvalid},
		"JSON serialization":       {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, ErrTokenInvalid},
		"four parts":               {good + "." + parts[2], ErrTokenInvalid},
		"five parts, as encrypted": {good + ".." + parts[2], ErrTokenInvalid},
		"two parts":                {parts[0] + "." + parts[1], ErrTokenInvalid},
		"spaces around":            {" " + good + "\n", ErrTokenInvalid},
		"empty":                    {"", ErrTokenInvalid},
		"dots":                     {"..", ErrTokenInvalid},
		"zero byte":                {good + "\x00", ErrTokenInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := a.k.VerifyJoin(tc.token)
			if !errors.Is(err, tc.want) {
				t.Errorf("VerifyJoin = %v, want %v", err, tc.want)
			}
			if !reflect.DeepEqual(c, Claims{}) {
				t.Errorf("a refused token says %+v", c)
			}
		})
	}
	t.Run("join as resume", func(t *testing.T) {
		if _, err := a.k.VerifyResume(issueJoin(t, a.k, anna())); !errors.Is(err, ErrTokenInvalid) {
			t.Errorf("VerifyResume = %v, want ErrTokenInvalid", err)
		}
	})
}

// flip changes the first character of a part.
func flip(part string) string {
	if part[0] == 'A' {
		return "B" + part[1:]
	}
	return "A" + part[1:]
}

func TestAHugeTokenCostsNothing(t *testing.T) {
	k := newKeyring(t, Defaults(), nil)
	huge := strings.Repeat("A.", 32<<20)
	n := testing.AllocsPerRun(10, func() {
		if _, err := k.VerifyJoin(huge); err == nil {
			t.Error("accepted")
		}
	})
	if n > 10 {
		t.Errorf("%v allocations", n)
	}
}

func TestClocksMayDifferALittle(t *testing.T) {
	tests := map[string]struct {
		later time.Duration
		want  error
	}{
		"verifier is behind":          {-leeway, nil},
		"verifier is far behind":      {-leeway - 2*time.Second, ErrTokenInvalid},
		"just before the end":         {5*time.Minute - time.Second, nil},
		"after the end, by the clock": {5*time.Minute + leeway - time.Second, nil},
		"after the end":               {5*time.Minute + leeway, ErrTokenExpired},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeyring(t, Defaults(), nil)
				issued := time.Now()
				time.Sleep(time.Hour) // the bubble's clock, so that later may be negative
				a := attacker{k: k, kid: k.own.signing.id, claims: map[string]any{
					"iss": "parley", "aud": "parley", "jti": "x", "meetingId": "m", "participantId": "p", "role": "viewer",
					"iat": issued.Add(time.Hour - tc.later).Unix(), "nbf": issued.Add(time.Hour - tc.later).Unix(),
					"exp": issued.Add(time.Hour - tc.later + 5*time.Minute).Unix(),
				}}
				if _, err := k.VerifyJoin(a.saying(nil)); !errors.Is(err, tc.want) {
					t.Errorf("VerifyJoin = %v, want %v", err, tc.want)
				}
			})
		})
	}
}

func TestES256(t *testing.T) {
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.FromRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	private, err := newPrivate(key)
	if err != nil {
		t.Fatal(err)
	}
	k := newKeyring(t, Defaults(), nil)
	if err := k.use(ring{signing: private}); err != nil {
		t.Fatal(err)
	}
	token := issueJoin(t, k, anna())
	if _, err := k.VerifyJoin(token); err != nil {
		t.Errorf("VerifyJoin = %v", err)
	}
	if h, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0]); !strings.Contains(string(h), `"ES256"`) {
		t.Errorf("header = %s", h)
	}
	swapped := attacker{k: k, kid: private.id}.header()
	parts := strings.Split(token, ".")
	if _, err := k.VerifyJoin(b64(swapped) + "." + parts[1] + "." + parts[2]); !errors.Is(err, ErrTokenInvalid) {
		t.Errorf("EdDSA of a P-256 key = %v, want ErrTokenInvalid", err)
	}
}

func FuzzVerify(f *testing.F) {
	k := newKeyring(f, Defaults(), nil)
	token := issueJoin(f, k, anna())
	resume, _, err := k.IssueResume(anna())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(resume)
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".")
	f.Add(token[:len(token)/2])
	f.Add("..")
	f.Fuzz(func(t *testing.T, s string) {
		for name, verify := range map[string]func(string) (Claims, error){"join": k.VerifyJoin, "resume": k.VerifyResume} {
			c, err := verify(s)
			switch {
			case err == nil && s != token && s != resume && !sameContent(s, token) && !sameContent(s, resume):
				t.Errorf("%s: forged %q", name, s)
			case err != nil && !errors.Is(err, ErrTokenInvalid) && !errors.Is(err, ErrTokenExpired):
				t.Errorf("%s: an error of no kind: %v", name, err)
			case err != nil && !reflect.DeepEqual(c, Claims{}):
				t.Errorf("%s: a refused token says %+v", name, c)
			}
		}
	})
}

// sameContent holds for tokens that differ only in how base64 spells the same bytes.
func sameContent(a, b string) bool {
	pa, pb := strings.Split(a, "."), strings.Split(b, ".")
	if len(pa) != len(pb) {
		return false
	}
	for i := range pa {
		if spelled(pa[i]) != spelled(pb[i]) {
			return false
		}
	}
	return true
}

func spelled(part string) string {
	part = strings.NewReplacer("+", "-", "/", "_", "=", "", "\n", "", "\r", "").Replace(part)
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return "not base64: " + part
	}
	return string(text)
}

func BenchmarkVerifyJoin(b *testing.B) {
	k := newKeyring(b, Defaults(), nil)
	token := issueJoin(b, k, anna())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.VerifyJoin(token); err != nil {
			b.Fatal(err)
		}
	}
}

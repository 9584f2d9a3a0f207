package grant

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jws"
)

const (
	joinType   = "parley-join+jwt"
	resumeType = "parley-resume+jwt"

	// maxToken is the size of the largest token, in bytes. It is checked before anything else is read.
	maxToken = 4096

	// leeway is how far the clocks of two nodes may be apart.
	leeway = 10 * time.Second
)

// payload is the JSON of a token's claims. Members that a newer node adds are ignored.
type payload struct {
	Issuer        string      `json:"iss"`
	Audience      string      `json:"aud"`
	Subject       string      `json:"sub,omitempty"`
	ID            string      `json:"jti"`
	IssuedAt      int64       `json:"iat"` // seconds since 1970, like the next two
	NotBefore     int64       `json:"nbf"`
	Expires       int64       `json:"exp"`
	MeetingID     string      `json:"meetingId"`
	ParticipantID string      `json:"participantId"`
	DisplayName   string      `json:"displayName,omitempty"`
	Role          Role        `json:"role"`
	Region        string      `json:"region,omitempty"`
	Nodes         []Candidate `json:"nodes,omitempty"`
	Settings      Settings    `json:"settings"`
	RequestID     string      `json:"rid,omitempty"`
	Tracks        []Track     `json:"tracks,omitempty"`
	Seat          *Seat       `json:"seat,omitempty"`
}

func (p payload) claims() Claims {
	return Claims{
		MeetingID: p.MeetingID, ParticipantID: p.ParticipantID, DisplayName: p.DisplayName, Role: p.Role,
		Region: p.Region, Nodes: p.Nodes, Settings: p.Settings, Subject: p.Subject, RequestID: p.RequestID,
		Tracks: p.Tracks, Seat: p.Seat,
		ID: p.ID, IssuedAt: time.Unix(p.IssuedAt, 0), ExpiresAt: time.Unix(p.Expires, 0),
	}
}

// IssueJoin signs a join token for c, which expires after Config.JoinTTL.
func (k *Keyring) IssueJoin(c Claims) (token string, expires time.Time, err error) {
	return k.issue(joinType, c, k.cfg.JoinTTL)
}

// IssueResume signs a resume token for c, which expires after Config.ResumeTTL.
func (k *Keyring) IssueResume(c Claims) (token string, expires time.Time, err error) {
	return k.issue(resumeType, c, k.cfg.ResumeTTL)
}

func (k *Keyring) issue(typ string, c Claims, ttl time.Duration) (string, time.Time, error) {
	if err := c.check(); err != nil {
		return "", time.Time{}, fmt.Errorf("grant: issue: %w", err)
	}
	now := time.Now()
	expires := now.Add(ttl).Truncate(time.Second)
	text, err := json.Marshal(payload{
		Issuer: k.cfg.Issuer, Audience: k.cfg.Audience, Subject: c.Subject, ID: rand.Text(),
		IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: expires.Unix(),
		MeetingID: c.MeetingID, ParticipantID: c.ParticipantID, DisplayName: c.DisplayName, Role: c.Role,
		Region: c.Region, Nodes: c.Nodes, Settings: c.Settings, RequestID: c.RequestID,
		Tracks: c.Tracks, Seat: c.Seat,
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("grant: issue: %w", err)
	}
	token, err := sign(k.view.Load().signing, typ, text)
	switch {
	case err != nil:
		return "", time.Time{}, fmt.Errorf("grant: issue: %w", err)
	case len(token) > maxToken:
		return "", time.Time{}, fmt.Errorf("grant: issue: the claims are too long: a token of %d bytes, %d allowed", len(token), maxToken)
	}
	return token, expires, nil
}

// sign makes the compact form (RFC 7515 section 7.1).
func sign(key privateKey, typ string, text []byte) (string, error) {
	h := jws.NewHeaders()
	if err := errors.Join(h.Set(jws.TypeKey, typ), h.Set(jws.KeyIDKey, key.id)); err != nil {
		return "", fmt.Errorf("header: %w", err)
	}
	token, err := jws.Sign(text, jws.WithKey(key.alg, key.raw, jws.WithProtectedHeaders(h)))
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return string(token), nil
}

// VerifyJoin returns what a join token says, if it was issued by this cluster and has not expired. Its errors are the
// ErrToken… of this package. Whether it was revoked is for Revocations to say.
func (k *Keyring) VerifyJoin(token string) (Claims, error) { return k.verify(joinType, token) }

// VerifyResume does the same for a resume token.
func (k *Keyring) VerifyResume(token string) (Claims, error) { return k.verify(resumeType, token) }

func (k *Keyring) verify(typ, token string) (Claims, error) {
	now := time.Now()
	text, err := k.view.Load().open(typ, token, now)
	if err != nil {
		return Claims{}, err
	}
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return Claims{}, fmt.Errorf("%w: claims: %w", ErrTokenInvalid, err)
	}
	switch {
	case p.Issuer != k.cfg.Issuer:
		return Claims{}, fmt.Errorf("%w: of another issuer", ErrTokenInvalid)
	case p.Audience != k.cfg.Audience:
		return Claims{}, fmt.Errorf("%w: for another audience", ErrTokenInvalid)
	case p.ID == "" || p.IssuedAt <= 0 || p.NotBefore <= 0 || p.Expires <= 0:
		return Claims{}, fmt.Errorf("%w: jti, iat, nbf or exp is missing", ErrTokenInvalid)
	case now.Add(leeway).Before(time.Unix(p.NotBefore, 0)):
		return Claims{}, fmt.Errorf("%w: not valid yet", ErrTokenInvalid)
	case !now.Add(-leeway).Before(time.Unix(p.Expires, 0)):
		return Claims{}, ErrTokenExpired
	}
	c := p.claims()
	if err := c.check(); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrTokenInvalid, err)
	}
	return c, nil
}

// open checks everything about a token but its claims, and returns these.
func (v *view) open(typ, token string, now time.Time) ([]byte, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrTokenInvalid, maxToken)
	}
	first, rest, _ := strings.Cut(token, ".")
	if strings.Count(rest, ".") != 1 {
		return nil, fmt.Errorf("%w: not three parts", ErrTokenInvalid)
	}
	h, err := readHeader(first)
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrTokenInvalid, err)
	}
	key, ok := v.verifying[h["kid"]]
	switch {
	case !ok || !key.live(now):
		return nil, ErrTokenUnknownKey
	case h["alg"] != key.alg.String():
		return nil, fmt.Errorf("%w: alg is not the key's", ErrTokenInvalid)
	case h["typ"] != typ:
		return nil, fmt.Errorf("%w: made for another purpose", ErrTokenInvalid)
	}
	text, err := jws.Verify([]byte(token), jws.WithKey(key.alg, key.raw), jws.WithCompact())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokenInvalid, err)
	}
	return text, nil
}

// readHeader reads a protected header of exactly alg, typ and kid, each a string and there once. Whatever else a
// header may legally hold (crit, jwk, jku, x5c, b64, …) our tokens never do, so it is refused rather than understood.
func readHeader(encoded string) (map[string]string, error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	h := make(map[string]string, 3)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		value, err := d.Token()
		if err != nil {
			return nil, err
		}
		n, _ := name.(string) // the decoder takes nothing else for a name
		s, isString := value.(string)
		if _, twice := h[n]; twice || !isString || (n != "alg" && n != "typ" && n != "kid") {
			return nil, errors.New("a member that tokens of this cluster have not")
		}
		h[n] = s
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return h, nil
}

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxAnswer bounds what is read of a REST answer.
const maxAnswer = 1 << 20

// Endpoints is the pair of addresses of one candidate node.
type Endpoints struct {
	Region         string `json:"region,omitempty"`
	SFUEndpoint    string `json:"sfu_endpoint"`
	SignalEndpoint string `json:"signal_endpoint"`
}

// ICEServer is a STUN or TURN server for this participant (the shape of RTCIceServer in browsers).
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// Ticket is the answer of the join call: everything Connect needs. It is good until ExpiresAt.
type Ticket struct {
	Title          string      `json:"title"` // of the meeting
	ParticipantID  string      `json:"participant_id"`
	JoinToken      string      `json:"join_token"` // a secret
	ExpiresAt      time.Time   `json:"expires_at"`
	Region         string      `json:"region"`
	SFUEndpoint    string      `json:"sfu_endpoint"`
	SignalEndpoint string      `json:"signal_endpoint"` // the whole WebSocket URL
	Alternates     []Endpoints `json:"alternates"`
	ICEServers     []ICEServer `json:"ice_servers"`

	Took time.Duration `json:"-"` // how long the call took, for Timings.Join
}

// JoinOptions say who joins and how. The zero value joins as a guest.
type JoinOptions struct {
	UserToken   string             // the caller's own token; empty joins as a guest
	DisplayName string             // shown to the others
	Role        string             // host, attendee or viewer; empty lets the server decide
	HostKey     string             // makes a host of whoever has it
	Region      string             // a wish for a region
	RegionRTTs  map[string]float64 // round trips in milliseconds by region, from MeasureRegions
	HTTPClient  *http.Client       // nil uses http.DefaultClient
}

type joinRequest struct {
	DisplayName string             `json:"display_name,omitempty"`
	Role        string             `json:"role,omitempty"`
	HostKey     string             `json:"host_key,omitempty"`
	Region      string             `json:"region,omitempty"`
	RegionRTTs  map[string]float64 `json:"region_rtts,omitempty"`
}

// JoinMeeting asks the REST plane at baseURL (such as "https://parley.example") for a ticket to a meeting. A refusal is
// an *Error.
func JoinMeeting(ctx context.Context, baseURL, meetingID string, opts JoinOptions) (Ticket, error) {
	started := time.Now()
	req, err := newJoinRequest(ctx, baseURL, meetingID, opts)
	if err != nil {
		return Ticket{}, fmt.Errorf("join meeting: %w", err)
	}
	httpClient := opts.HTTPClient
	if httpClient == nil {
		httpClient = http.DefaultClient
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return Ticket{}, fmt.Errorf("join meeting: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Ticket{}, fmt.Errorf("join meeting: read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return Ticket{}, fmt.Errorf("join meeting: %w", problem(resp.StatusCode, body))
	}
	var ticket Ticket
	if err := json.Unmarshal(body, &ticket); err != nil {
		return Ticket{}, fmt.Errorf("join meeting: decode the answer: %w", err)
	}
	ticket.Took = time.Since(started)
	return ticket, ticket.validate()
}

func newJoinRequest(ctx context.Context, baseURL, meetingID string, opts JoinOptions) (*http.Request, error) {
	body, err := json.Marshal(joinRequest{
		DisplayName: opts.DisplayName,
		Role:        opts.Role,
		HostKey:     opts.HostKey,
		Region:      opts.Region,
		RegionRTTs:  opts.RegionRTTs,
	})
	if err != nil {
		return nil, err
	}
	target := strings.TrimSuffix(baseURL, "/") + "/v1/meetings/" + url.PathEscape(meetingID) + "/join"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if opts.UserToken != "" {
		req.Header.Set("Authorization", "Bearer "+opts.UserToken)
	}
	return req, nil
}

// problem makes an Error of an application/problem+json body (RFC 9457), or of the bare status where there is none.
func problem(status int, body []byte) *Error {
	var p struct {
		Code   string `json:"code"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		return &Error{Status: status, Code: "http_status", Message: http.StatusText(status)}
	}
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	return &Error{Status: status, Code: p.Code, Message: message}
}

func (t Ticket) validate() error {
	var faults []error
	if t.JoinToken == "" {
		faults = append(faults, errors.New("ticket: join_token is empty"))
	}
	if u, err := url.Parse(t.SignalEndpoint); err != nil || u.Host == "" {
		faults = append(faults, fmt.Errorf("ticket: signal_endpoint %q is not a WebSocket URL", t.SignalEndpoint))
	}
	return errors.Join(faults...)
}

// doors returns the signalling endpoints of all candidates.
func (t Ticket) doors() doors {
	d := doors{urls: []string{t.SignalEndpoint}}
	for _, other := range t.Alternates {
		d.urls = append(d.urls, other.SignalEndpoint)
	}
	return d
}

// doors are the signalling endpoints that a client can come back through, of which it uses one until that fails.
type doors struct {
	urls []string
	at   int
}

func (d *doors) current() string { return d.urls[d.at] }

// try is the one for the n-th try, from 0, to come back: every second try is for the one that was used last, where the
// media connection is. The others take turns in between.
func (d *doors) try(n int) string {
	others := len(d.urls) - 1
	if n%2 == 0 || others == 0 {
		return d.current()
	}
	return d.urls[(d.at+1+n/2%others)%len(d.urls)]
}

// use keeps to one of them.
func (d *doors) use(url string) { d.at = max(0, slices.Index(d.urls, url)) }

// next turns to the next one; after the last comes the first.
func (d *doors) next() { d.at = (d.at + 1) % len(d.urls) }

// movedTo puts a new endpoint in the place of the one that was used.
func (d *doors) movedTo(url string) {
	left := d.current()
	d.urls = append([]string{url}, slices.DeleteFunc(d.urls, func(u string) bool { return u == left || u == url })...)
	d.at = 0
}

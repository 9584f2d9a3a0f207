package doctor

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

const (
	restTime  = 5 * time.Second
	maxAnswer = 1 << 20
	skewWarns = 5 * time.Second
	skewFails = time.Minute // tokens are refused then
)

// rest speaks to the server's REST plane.
type rest struct {
	base   string
	token  string // the caller's own; empty: a guest's
	client *http.Client
}

// answer is what the REST plane said.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	problem problem
}

// problem is the part of an RFC 9457 problem that names the cause.
type problem struct {
	Code    string `json:"code"`
	Detail  string `json:"detail"`
	Missing []struct {
		Component string `json:"component"`
		Detail    string `json:"detail"`
	} `json:"missing"`
}

func (r rest) call(ctx context.Context, method, path string, body any, header ...string) (answer, error) {
	payload := []byte{}
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(payload))
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return a, err
	}
	if a.status >= http.StatusBadRequest {
		_ = json.Unmarshal(a.body, &a.problem) // a proxy's page is none
	}
	return a, nil
}

// status is the answer's status with the problem's code.
func (a answer) statusLine() string {
	return strings.TrimSpace(fmt.Sprintf("HTTP %d %s", a.status, a.problem.Code))
}

// alive asks /livez.
func (r rest) alive(ctx context.Context) finding {
	a, err := r.call(ctx, http.MethodGet, "/livez", nil)
	switch {
	case err != nil:
		return broken("REST down: "+plain(err), "Is the server running behind its proxy?")
	case a.status != http.StatusOK:
		return broken("REST down: "+a.statusLine(), "A proxy answers in the place of the server, or the URL leads elsewhere.")
	}
	return fine("/livez answers")
}

// ready asks /readyz, and says what the server misses.
func (r rest) ready(ctx context.Context) finding {
	a, err := r.call(ctx, http.MethodGet, "/readyz", nil)
	if err != nil {
		return broken("REST down: "+plain(err), "")
	}
	if a.status == http.StatusOK {
		return fine("the node is ready")
	}
	var missing []string
	for _, m := range a.problem.Missing {
		missing = append(missing, m.Component+": "+m.Detail)
	}
	if len(missing) == 0 {
		return broken("REST down: /readyz answers "+a.statusLine(), "")
	}
	return doubtful("the node is not ready: "+strings.Join(missing, " "), "Calls that run go on; see the node's log for the rest.")
}

// clock compares the server's clock with this machine's.
func (r rest) clock(ctx context.Context) finding {
	began := time.Now()
	a, err := r.call(ctx, http.MethodGet, "/livez", nil)
	if err != nil {
		return broken("REST down: "+plain(err), "")
	}
	there, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return skipped("because the server does not tell the time")
	}
	const half = time.Second / 2 // the header counts whole seconds
	skew := there.Add(half).Sub(began.Add(time.Since(began) / 2)).Round(time.Second / 10)
	figures := map[string]float64{"skew_seconds": skew.Seconds()}
	if skew.Abs() < skewWarns {
		f := fine("the clocks agree")
		f.figures = figures
		return f
	}
	f := doubtful(fmt.Sprintf("clock skew: this machine and the server are %s apart", skew.Abs().Round(time.Second)),
		"Tokens are refused when clocks are too far apart: let NTP set both.")
	if skew.Abs() >= skewFails {
		f.state = Fail
	}
	f.figures = figures
	return f
}

// refused names why the way into a room is closed.
func refused(a answer, err error) finding {
	if err != nil {
		return broken("REST down: "+plain(err), "")
	}
	switch a.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint := "Make a new token: parley token."
		if a.status == http.StatusForbidden {
			hint = "The token lacks a right; the node said: " + a.problem.Detail
		}
		return broken("token refused: "+a.statusLine(), hint)
	case http.StatusNotFound, http.StatusGone:
		return broken("no such meeting: "+a.statusLine(), "Check the link; the meeting may be over.")
	case http.StatusTooManyRequests:
		return broken("rate limited: "+a.statusLine(), "Try again in "+a.header.Get("Retry-After")+" s.")
	}
	hint := a.problem.Detail
	if a.problem.Code == "" {
		hint = "The answer is not the server's own: a proxy stands in between."
	}
	return broken("REST down: "+a.statusLine(), hint)
}

// expiry reads how long a token is good for, without checking it.
func expiry(token string, now time.Time) (left time.Duration, known bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0, false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0, false
	}
	var claims struct {
		ExpiresAt float64 `json:"exp"`
	}
	if json.Unmarshal(body, &claims) != nil || claims.ExpiresAt == 0 {
		return 0, false
	}
	return time.Unix(int64(claims.ExpiresAt), 0).Sub(now), true
}

// room is where the test takes place.
type room struct {
	sender, receiver client.Ticket
	leave            func(context.Context) // for when the test is over
}

// enter gets two tickets: to a meeting of the token's own, to the meeting of a link, or to a room for tests.
func (r rest) enter(ctx context.Context, link string, into *room) finding {
	switch {
	case link != "":
		return r.enterMeeting(ctx, link, into)
	case r.token != "":
		return r.enterOwn(ctx, into)
	}
	a, err := r.call(ctx, http.MethodPost, "/v1/connection-tests", nil)
	if err != nil || a.status != http.StatusCreated {
		f := refused(a, err)
		if a.status == http.StatusForbidden || a.status == http.StatusNotFound {
			f = broken("no way into a room: "+a.statusLine(), "Strangers cannot test here: use --token or --join.")
		}
		return f
	}
	var tickets struct {
		Sender   client.Ticket `json:"sender"`
		Receiver client.Ticket `json:"receiver"`
	}
	if err := json.Unmarshal(a.body, &tickets); err != nil {
		return broken("REST: the answer makes no sense: "+err.Error(), "")
	}
	into.sender, into.receiver = tickets.Sender, tickets.Receiver
	return fine("a room for tests")
}

// enterOwn makes a meeting and ends it afterwards.
func (r rest) enterOwn(ctx context.Context, into *room) finding {
	settings := map[string]any{"max_participants": 2}
	a, err := r.call(ctx, http.MethodPost, "/v1/meetings", map[string]any{"title": "Connection test", "settings": settings})
	if err != nil || a.status != http.StatusCreated {
		return r.explain(refused(a, err), a)
	}
	var made struct {
		ID      string `json:"id"`
		HostKey string `json:"host_key"`
	}
	if err := json.Unmarshal(a.body, &made); err != nil {
		return broken("REST: the answer makes no sense: "+err.Error(), "")
	}
	into.leave = func(ctx context.Context) {
		_, _ = r.call(ctx, http.MethodPost, "/v1/meetings/"+made.ID+"/end", nil, "X-Host-Key", made.HostKey) // it is empty anyway
	}
	return r.join(ctx, made.ID, made.HostKey, into, "a meeting of its own")
}

// enterMeeting joins the meeting of a link such as https://parley.example/m/mtg_…#host_key=….
func (r rest) enterMeeting(ctx context.Context, link string, into *room) finding {
	path, fragment, _ := strings.Cut(link, "#")
	_, id, ok := strings.Cut(path, "/m/")
	if !ok {
		return broken("the link leads to no meeting", "It looks like "+r.base+"/m/mtg_….")
	}
	hostKey := strings.TrimPrefix(fragment, "host_key=")
	return r.join(ctx, strings.TrimSuffix(id, "/"), hostKey, into, "the meeting of the link")
}

func (r rest) join(ctx context.Context, id, hostKey string, into *room, where string) finding {
	for name, ticket := range map[string]*client.Ticket{"Sender": &into.sender, "Receiver": &into.receiver} {
		body := map[string]any{"display_name": "Connection test: " + strings.ToLower(name)}
		if hostKey != "" {
			body["host_key"] = hostKey
		}
		began := time.Now()
		a, err := r.call(ctx, http.MethodPost, "/v1/meetings/"+id+"/join", body)
		if err != nil || a.status != http.StatusOK {
			return r.explain(refused(a, err), a)
		}
		if err := json.Unmarshal(a.body, ticket); err != nil {
			return broken("REST: the answer makes no sense: "+err.Error(), "")
		}
		ticket.Took = time.Since(began)
	}
	return fine("%s", where)
}

// explain adds what the token itself says.
func (r rest) explain(f finding, a answer) finding {
	left, known := expiry(r.token, time.Now())
	if a.status != http.StatusUnauthorized || !known {
		return f
	}
	if left < 0 {
		f.hint = fmt.Sprintf("By this machine's clock the token expired %s ago: make a new one with parley token.", (-left).Round(time.Second))
	} else if a.problem.Code == "token_expired" {
		f.hint = "By this machine's clock the token is still good: the server's clock is ahead. Let NTP set both."
	}
	return f
}

package signal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// compressFrom is the length in bytes from which a message is compressed: one that fits into a packet as it is gains nothing by it. Where many
// join, what all are told of each other is that small, and compressing it for each of them would be the greater part of telling it.
const compressFrom = 1200

// ServeHTTP answers GET /v1/signal: it upgrades to a WebSocket and serves the session until it ends. A refused upgrade
// is answered with a problem (RFC 9457) that has a stable code.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	claims, resumed, err := s.authorize(r)
	if err != nil {
		s.refuse(w, r, asError(err))
		return
	}
	limiter := rate.NewLimiter(rate.Limit(s.cfg.MessagesPerSec), s.cfg.MessageBurst)
	seized := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(seized, r, &websocket.AcceptOptions{
		Subprotocols:       []string{wire.Subprotocol},
		InsecureSkipVerify: true, // authorize has checked the origin against the list
		// Without context takeover a session holds no compressor between messages: 1.2 MB less of memory each.
		CompressionMode:      websocket.CompressionNoContextTakeover,
		CompressionThreshold: compressFrom,
		OnPingReceived:       func(context.Context, []byte) bool { return limiter.Allow() },
	})
	if err != nil {
		s.metrics.rejected("bad_request") // Accept has answered
		return
	}
	socket := newSocket(conn, seized.conn, limiter, s.cfg, s.metrics)
	s.metrics.connections.Add(1)
	defer s.metrics.connections.Add(-1)
	s.converse(r.Context(), claims, resumed, socket)
}

// authorize finds out who wants to connect, and whether they may.
func (s *Service) authorize(r *http.Request) (claims grant.Claims, resumed bool, err error) {
	if origin := r.Header.Get("Origin"); !s.cfg.originAllowed(origin) {
		return claims, false, denied(wire.CodeDenied, "This origin may not connect.")
	}
	token := bearer(r.Header)
	if token == "" {
		return claims, false, denied(wire.CodeTokenInvalid, "A join token is needed to connect.")
	}
	claims, resumed, err = s.verify(token)
	if err != nil {
		return claims, false, err
	}
	if !isName(claims.MeetingID) || !isName(claims.ParticipantID) {
		return claims, false, denied(wire.CodeTokenInvalid, "The token names no meeting and participant.")
	}
	return claims, resumed, s.barred(claims)
}

// bearer returns the token of the request: browsers cannot set Authorization and put it among the subprotocols.
func bearer(h http.Header) string {
	if scheme, token, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for protocol := range strings.SplitSeq(line, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(protocol), wire.BearerProtocol); ok {
				return token
			}
		}
	}
	return ""
}

// verify takes a join token or, in its place, a resume token.
func (s *Service) verify(token string) (claims grant.Claims, resumed bool, err error) {
	claims, joinErr := s.deps.Keys.VerifyJoin(token)
	if joinErr == nil {
		return claims, false, nil
	}
	claims, resumeErr := s.deps.Keys.VerifyResume(token)
	if resumeErr == nil {
		return claims, true, nil
	}
	cause := errors.Join(joinErr, resumeErr)
	if errors.Is(cause, grant.ErrTokenExpired) {
		return claims, false, &node.Error{Kind: node.Denied, Code: wire.CodeTokenExpired, Say: "The token has expired.", Err: cause}
	}
	return claims, false, &node.Error{Kind: node.Denied, Code: wire.CodeTokenInvalid, Say: "The token is not valid here.", Err: cause}
}

// barred says why a good token does not open the room any more.
func (s *Service) barred(c grant.Claims) error {
	if !s.deps.Revoked.Revoked(c) {
		return nil
	}
	// What is revoked for nobody in particular is revoked for the whole meeting.
	if s.deps.Revoked.Revoked(grant.Claims{MeetingID: c.MeetingID, IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt}) {
		return &node.Error{Kind: node.NotFound, Code: wire.CodeMeetingEnded, Say: "The meeting has ended."}
	}
	return denied(wire.CodeRemoved, "You were removed from this meeting.")
}

// converse serves the session on its socket, from the first message to the last.
func (s *Service) converse(ctx context.Context, claims grant.Claims, resumed bool, socket *socket) {
	session := &session{
		svc: s, socket: socket, resumed: resumed, trusted: resumed || claims.Seat != nil, began: time.Now(),
		offers: rate.NewLimiter(rate.Limit(s.cfg.OffersPerSec), max(1, int(s.cfg.OffersPerSec))),
		log: s.log.With("meeting_id", claims.MeetingID, "participant_id", claims.ParticipantID,
			"request_id", claims.RequestID),
		pending: make(chan struct{}, maxPending),
		still:   make(chan struct{}),
	}
	handling, quit := context.WithCancel(ctx)
	defer quit()
	session.quit = quit
	session.look = session.looker(handling)
	if !s.begin(session) {
		socket.end(wire.CloseGoingAway, "the node stops")
	} else {
		defer s.finish(session)
		s.seat(ctx, session, claims)
	}
	mayReturn := session.serve(ctx, handling)
	if session.room == nil {
		return
	}
	if peer := session.room.detach(session, mayReturn); peer != nil {
		peer.Close()
	}
	s.sweep(session.room)
}

// seat finds the session's room and member, and waits until an older session of the member handles nothing any more.
func (s *Service) seat(ctx context.Context, session *session, claims grant.Claims) {
	for {
		r := s.open(claims)
		session.room = r
		member, older, ok := r.attach(session, claims)
		if !ok {
			continue // it closed just now; the next one is new
		}
		session.member = member
		r.refresh(claims.Settings)
		if older != nil {
			select {
			case <-older.still:
			case <-ctx.Done():
			}
		}
		return
	}
}

// begin counts the session in, unless the service stops.
func (s *Service) begin(session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.live[session] = struct{}{}
	s.sessions.Add(1)
	return true
}

func (s *Service) finish(session *session) {
	s.mu.Lock()
	delete(s.live, session)
	s.mu.Unlock()
	s.sessions.Done()
}

// problem is the body of a refused upgrade.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"request_id,omitempty"`
}

func (s *Service) refuse(w http.ResponseWriter, r *http.Request, e *node.Error) {
	s.metrics.rejected(e.Code)
	status := statusOf(e)
	body, err := json.Marshal(problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: e.Code, Detail: e.Say,
		RequestID: telemetry.RequestID(r.Context()),
	})
	if err != nil {
		http.Error(w, e.Code, status)
		return
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone, or not
}

// statusOf is the HTTP status of a refused upgrade.
func statusOf(e *node.Error) int {
	switch e.Code {
	case wire.CodeTokenInvalid, wire.CodeTokenExpired:
		return http.StatusUnauthorized
	case wire.CodeMeetingEnded:
		return http.StatusGone
	case wire.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusForbidden
}

// hijacker keeps the connection that the WebSocket library takes over, whose deadlines it does not let us set.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

// WriteHeaderNow writes a header that a router's writer has only noted so far; the library asks for it by this name.
func (h *hijacker) WriteHeaderNow() {
	if w, ok := h.ResponseWriter.(interface{ WriteHeaderNow() }); ok {
		w.WriteHeaderNow()
	}
}

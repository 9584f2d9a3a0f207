package signal

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/time/rate"

	"github.com/parley-sfu/parley/internal/mailbox"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

const (
	handlerTimeout = 10 * time.Second
	maxNameRunes   = 64
)

// errGone means that the participant left while its message was handled: there is nobody to answer.
var errGone = errors.New("the participant is gone")

// session serves one socket on behalf of its member: it handles messages one at a time, in order, beside the goroutine that reads
// them. A member that reconnects gets a new session, which starts when the older one handles nothing any more.
type session struct {
	svc     *Service
	room    *room
	member  *member
	socket  *socket
	resumed bool // opened with a resume token
	trusted bool // the token says that the participant was let in before
	began   time.Time
	move    move
	live    bool // gets events; guarded by the room's lock
	offers  *rate.Limiter
	log     *slog.Logger

	desk    mailbox.Mailbox    // where messages are handled
	pending chan struct{}      // a token for each message that was read and not handled yet
	look    func()             // has it look again at the hello that it holds; never blocks
	quit    context.CancelFunc // ends the handling of messages
	still   chan struct{}      // closed when no message is handled any more; the socket may take longer to end

	// The following belong to what runs at the desk.
	greeted bool       // has had a snapshot: a further hello is an offer
	held    *heldHello // in the lobby
}

// maxPending is how many messages of a client may be read and not handled yet.
const maxPending = 8

// heldHello is the hello of somebody in the lobby.
type heldHello struct {
	request request
	hello   *wire.Hello
}

// request is one message that may want an answer.
type request struct {
	session  *session
	id       string
	answered bool
}

// answer answers the request; without an id the answer still goes out.
func (q *request) answer(typ string, body any) {
	q.answered = true
	q.session.socket.send(outbound{wire.Envelope{Type: typ, ReplyTo: q.id}, body})
}

// serve reads messages and has them handled until the socket ends. It says whether the participant may come back and resume.
// Handling ends before, when a newer session takes over: what it waits for must not be a socket that nobody answers on.
func (s *session) serve(ctx, handling context.Context) (mayReturn bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stilled := sync.OnceFunc(func() { close(s.still) })
	stop := context.AfterFunc(handling, func() { s.desk.Post(stilled) })
	defer stop()
	socket, resumed := s.socket, s.resumed // and not s: the runtime may keep a stopped timer until it would have been due
	silent := time.AfterFunc(s.svc.cfg.HelloTimeout, func() {
		if resumed { // its network may have gone again before it could say anything: it is lost, and has not misbehaved
			socket.fail(errUnheard)
			return
		}
		socket.end(wire.CloseBadRequest, "nothing was said")
	})
	defer silent.Stop()
	fresh := startCycle(s.svc.cfg.ICEServersEvery, func() {
		s.desk.Post(func() {
			if s.greeted {
				s.tellICEServers()
			}
		})
	})
	defer fresh.stop()
	err := s.socket.run(ctx, func(data []byte) { s.take(handling, data, silent) })
	s.quit() // frees a handler that waits for the SFU
	handled := make(chan struct{})
	s.desk.Post(func() { stilled(); close(handled) })
	<-handled
	s.log.Debug("session ended", "error", err, "close_code", s.socket.closeCode())
	if s.socket.closeCode() == wire.CloseTooBig {
		s.log.Warn("oversized message on the socket: it was closed", "limit_bytes", s.svc.cfg.MaxMessageBytes)
	}
	return s.mayReturn(err)
}

// take has a message handled after those before it. It waits when too many are.
func (s *session) take(handling context.Context, data []byte, silent *time.Timer) {
	select {
	case s.pending <- struct{}{}:
	case <-s.socket.over:
		return
	}
	s.desk.Post(func() {
		defer func() { <-s.pending }()
		s.handle(handling, data)
		if s.greeted || s.held != nil {
			silent.Stop()
		}
	})
}

// mayReturn is false after a goodbye and after a close code that forbids resuming.
func (s *session) mayReturn(err error) bool {
	code := s.socket.closeCode()
	if code == 0 {
		return !errors.Is(err, errClosed)
	}
	return code < wire.CloseBadRequest
}

// handle decodes one message, passes it to its handler, and answers.
func (s *session) handle(ctx context.Context, data []byte) {
	if ctx.Err() != nil || s.socket.closeCode() != 0 {
		return // on the way out
	}
	head, body, err := s.svc.decoder.Decode(data)
	request := &request{session: s, id: head.ID}
	if err != nil {
		s.fail(request, err)
		return
	}
	route := s.svc.routes[head.Type]
	if err := s.allowed(route); err != nil {
		s.fail(request, err)
		return
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	err = route.handle(ctx, s, request, body)
	s.svc.metrics.handled(head.Type, start)
	switch {
	case err != nil:
		s.fail(request, err)
	case !request.answered && request.id != "":
		request.answer(wire.TypeOK, wire.Empty{})
	}
}

// allowed checks what the route asks of the sender.
func (s *session) allowed(route route) error {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	switch m := s.member; {
	case m.stage == gone:
		return errGone
	case m.stage < route.from && m.stage == waiting:
		return denied(wire.CodeDenied, "You are waiting to be let in.")
	case m.stage < route.from:
		return denied(wire.CodeDenied, "Say hello first.")
	case route.host && !m.host():
		return denied(wire.CodeNotHost, "Only a host may do that.")
	}
	return nil
}

// fail answers an error, and closes the socket after a fatal one. What is our own fault is logged here, once.
func (s *session) fail(request *request, err error) {
	if errors.Is(err, errGone) {
		return
	}
	e := asError(err)
	if e.Code == wire.CodeInternal {
		s.log.Error("a message could not be handled", "error", err)
	}
	request.answer(wire.TypeError, wire.Error{Code: e.Code, Message: e.Say})
	if broken, ok := errors.AsType[*fatal](err); ok {
		s.socket.end(broken.code, e.Code)
	}
}

// looker returns what has the session look again at the hello that it holds. Each look may ask the home, and one may wait for it: a look
// that has not begun stands for all that are asked for meanwhile.
func (s *session) looker(handling context.Context) func() {
	var due atomic.Bool
	return func() {
		if due.Swap(true) {
			return
		}
		s.desk.Post(func() {
			due.Store(false)
			s.admitted(handling)
		})
	}
}

// admitted goes on with the hello that was held in the lobby, if nothing holds the member any longer.
func (s *session) admitted(ctx context.Context) {
	held := s.held
	if held == nil || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handlerTimeout)
	defer cancel()
	if !s.letIn(ctx) {
		return
	}
	s.held = nil
	if err := s.enter(ctx, &held.request, held.hello); err != nil {
		s.fail(&held.request, err)
	}
}

// enter seats the member: media first, then the room learns of it, then it learns of the room.
func (s *session) enter(ctx context.Context, request *request, hello *wire.Hello) error {
	if err := s.startMedia(ctx, request, hello); err != nil {
		return err
	}
	return s.sit(ctx)
}

// sit puts the member into the roster and sends it the whole state.
func (s *session) sit(_ context.Context) error {
	token, err := s.resumeToken()
	if err != nil {
		return err
	}
	r, m := s.room, s.member
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.stage == gone || m.session != s {
		return errGone
	}
	if m.stage != seated {
		m.entry.JoinedAt, m.stage = r.joinedAtLocked(m), seated
		if m.peer == nil { // it resumes here: its media come later
			m.former = r.formerLocked(m)
		}
	}
	m.entry.State = Joined
	r.putLocked(m)
	r.snapshotLocked(m, token)
	s.greeted = true
	return nil
}

func (s *session) resumeToken() (string, error) {
	s.room.mu.Lock()
	claims := s.member.claims
	claims.DisplayName, claims.Tracks, claims.Seat = s.member.entry.DisplayName, grantTracks(s.member.entry.Tracks), nil
	s.room.mu.Unlock()
	token, _, err := s.svc.deps.Keys.IssueResume(claims)
	if err != nil && claims.Tracks != nil { // it was too long with them
		claims.Tracks = nil
		token, _, err = s.svc.deps.Keys.IssueResume(claims)
	}
	return token, err
}

// tellICEServers sends the STUN and TURN servers with credentials that are good from now on: those of the join call may
// have expired when the client must find a new path.
func (s *session) tellICEServers() {
	if s.svc.deps.ICEServers == nil {
		return
	}
	s.room.mu.Lock()
	nodes := s.member.claims.Nodes
	s.room.mu.Unlock()
	if servers := s.svc.deps.ICEServers(s.member.id, hereFirst(s.svc.deps.NodeID, nodes)); len(servers) > 0 {
		s.socket.send(outbound{wire.Envelope{Type: wire.TypeICEServers}, wire.ICEServers{ICEServers: servers}})
	}
}

// hereFirst puts the node that speaks first among candidates: it is there for certain, and the one that a client came from may
// not be any more, though gossip still knows it.
func hereFirst(id string, nodes []grant.Candidate) []grant.Candidate {
	here := grant.Candidate{Node: id}
	if len(nodes) > 0 {
		here.Region = nodes[0].Region
	}
	ordered := []grant.Candidate{here}
	for _, n := range nodes {
		if n.Node == id {
			ordered[0] = n
			continue
		}
		ordered = append(ordered, n)
	}
	return ordered
}

// displayName is the token's name, which wins, or the one that the client chose, made fit to show.
func displayName(claims grant.Claims, chosen string) (string, error) {
	name := claims.DisplayName
	if name == "" {
		name = chosen
	}
	name = strings.TrimSpace(name)
	if strings.ContainsFunc(name, unicode.IsControl) {
		return "", invalid("A display name has no control characters.")
	}
	if n := len([]rune(name)); n > maxNameRunes {
		return "", invalid("A display name has 64 characters at most.")
	}
	return name, nil
}

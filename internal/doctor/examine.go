package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// wholeTime is the most that an examination takes.
const wholeTime = 30 * time.Second

// Options say what is examined. Without a token and a link the server must let strangers test.
type Options struct {
	URL   string // of the server, http or https
	Token string // user token: the test takes place in a meeting of its own
	Link  string // of a meeting: the test takes place there, seen by those who are in it
	Roots *x509.CertPool
	Tell  func(Check) // called after each check; may be nil
}

// Examine asks everything that a client can find out about a server. It takes at most 30 seconds. The error is for a URL
// that is none.
func Examine(ctx context.Context, opts Options) (Report, error) {
	p, err := placeOf(opts.URL)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	tlsConfig := &tls.Config{RootCAs: opts.Roots, MinVersion: tls.VersionTLS12}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: tlsConfig} // HTTP/1.1: the socket needs it
	defer transport.CloseIdleConnections()
	e := exam{
		examination: newExamination(p.url.String(), opts.Tell), place: p, opts: opts, tls: tlsConfig,
		rest: rest{base: p.url.String(), token: opts.Token, client: &http.Client{Transport: transport}},
	}
	e.run(ctx)
	return e.finish(e.verdict()), nil
}

// exam is an examination of a server from outside.
type exam struct {
	*examination
	place place
	opts  Options
	tls   *tls.Config
	rest  rest
	room  room
}

func (e *exam) run(ctx context.Context) {
	for _, s := range e.place.reach(e.opts.Roots) {
		e.examination.run(ctx, s)
	}
	reached := []string{"network.tcp"}
	if e.place.tls {
		reached = []string{"network.tls"}
	}
	options := client.Options{HTTPClient: e.rest.client, TLS: e.tls}
	for _, s := range []step{
		{id: "rest.livez", plane: "rest", name: "REST", needs: reached, limit: restTime, ask: e.rest.alive},
		{id: "rest.readyz", plane: "rest", name: "readiness", needs: []string{"rest.livez"}, limit: restTime, ask: e.rest.ready},
		{id: "rest.clock", plane: "rest", name: "clock", needs: []string{"rest.livez"}, limit: restTime, ask: e.rest.clock},
		{id: "token.join", plane: "token", name: "way in", needs: []string{"rest.livez"}, limit: restTime, ask: func(ctx context.Context) finding {
			return e.rest.enter(ctx, e.opts.Link, &e.room)
		}},
		{id: "websocket.upgrade", plane: "websocket", name: "WebSocket", needs: []string{"token.join"}, limit: socketTime, ask: func(ctx context.Context) finding {
			return upgrade(ctx, e.room.sender, e.rest.client)
		}},
		{id: "websocket.messages", plane: "websocket", name: "messages", needs: []string{"websocket.upgrade"}, limit: socketTime, ask: func(ctx context.Context) finding {
			return converse(ctx, e.room.sender, options)
		}},
		{id: "websocket.big", plane: "websocket", name: "big messages", needs: []string{"websocket.messages"}, limit: socketTime, ask: func(ctx context.Context) finding {
			return bigMessages(ctx, e.room.sender, options)
		}},
		{id: "ice.stun", plane: "ice", name: "STUN", needs: []string{"token.join"}, limit: stunTime, ask: func(ctx context.Context) finding {
			return binding(ctx, e.room.sender)
		}},
	} {
		e.examination.run(ctx, s)
	}
	before := e.rest.scrape(ctx)
	for _, l := range legs(&e.room, options) {
		for _, s := range l.steps(func(ctx context.Context) finding { return e.relay(ctx, l.via) }) {
			e.examination.run(ctx, s)
		}
	}
	for _, s := range e.rest.plane(before) {
		e.examination.run(ctx, s)
	}
	if e.room.leave != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restTime)
		defer cancel()
		e.room.leave(ctx)
	}
}

// relay looks for a relay candidate.
func (e *exam) relay(ctx context.Context, way via) finding {
	server, ok := relayOf(e.room.sender, way)
	if !ok {
		return skipped("because the server offers no such relay")
	}
	return allocate(ctx, server, e.tls)
}

// verdict sums up for somebody who wants to call.
func (e *exam) verdict() string {
	for _, id := range []string{"rtp.udp", "rtp.tcp", "rtp.relay_udp", "rtp.relay_tcp", "rtp.relay_tls"} {
		if state := e.is(id); state != OK && state != Warn {
			continue
		}
		switch id {
		case "rtp.udp":
			return "Calls will work."
		case "rtp.tcp":
			return "Calls will work, over TCP: UDP blocked."
		}
		return "Calls will work, through the relay: UDP blocked."
	}
	for _, check := range e.report.Checks {
		if check.State == Fail && check.Plane != "ice" && check.Plane != "dtls" && check.Plane != "rtp" {
			return "Calls will not work: " + check.Cause + "."
		}
	}
	return "Calls will not work: " + e.mediaCause() + "."
}

// mediaCause names what is wrong with all ways of media together.
func (e *exam) mediaCause() string {
	for _, check := range e.report.Checks {
		if check.State == Fail && (check.Plane == "dtls" || check.Plane == "rtp") {
			return check.Cause // it was closer than the others
		}
	}
	for _, way := range []via{viaUDP, viaTCP, viaTLS} {
		if e.is("ice.relay_"+string(way)+"_candidate") == OK {
			return "UDP blocked, and the relay does not reach the server"
		}
	}
	return "UDP blocked and no relay"
}

package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/signal/client"
)

const (
	stunTime    = 3 * time.Second
	stunRetry   = 250 * time.Millisecond // the first; each further one waits twice as long (RFC 8489, section 6.2.1)
	stunHeader  = 20
	maxSTUN     = 2048
	udpProtocol = 17
)

// via is a way to a relay.
type via string

// The ways to a relay.
const (
	viaUDP via = "udp"
	viaTCP via = "tcp"
	viaTLS via = "tls"
)

// relayServer is one URL of a STUN or TURN server (RFC 7064, RFC 7065).
type relayServer struct {
	url        string
	turn       bool
	via        via
	host       string
	address    string
	user, pass string
}

// relayServers reads the URLs of a ticket. What it does not know it leaves out.
func relayServers(ticket client.Ticket) (all []relayServer) {
	for _, server := range ticket.ICEServers {
		for _, raw := range server.URLs {
			scheme, rest, _ := strings.Cut(raw, ":")
			hostPort, query, _ := strings.Cut(rest, "?")
			s := relayServer{url: raw, turn: strings.HasPrefix(scheme, "turn"), via: viaUDP, user: server.Username, pass: server.Credential}
			port := "3478"
			values, err := url.ParseQuery(query)
			if err != nil {
				continue
			}
			switch {
			case scheme == "turns" || scheme == "stuns":
				s.via, port = viaTLS, "5349"
			case values.Get("transport") == "tcp":
				s.via = viaTCP
			}
			u, err := url.Parse("//" + hostPort)
			if err != nil || u.Hostname() == "" {
				continue
			}
			if u.Port() != "" {
				port = u.Port()
			}
			s.host, s.address = u.Hostname(), net.JoinHostPort(u.Hostname(), port)
			all = append(all, s)
		}
	}
	return all
}

// relayOf finds the first TURN server of that way.
func relayOf(ticket client.Ticket, way via) (relayServer, bool) {
	for _, s := range relayServers(ticket) {
		if s.turn && s.via == way {
			return s, true
		}
	}
	return relayServer{}, false
}

// binding asks the first STUN or TURN server over UDP for this machine's address (RFC 8489).
func binding(ctx context.Context, ticket client.Ticket) finding {
	for _, s := range relayServers(ticket) {
		if s.via != viaUDP {
			continue
		}
		conn, err := new(net.Dialer).DialContext(ctx, "udp", s.address)
		if err != nil {
			return broken("STUN unreachable: "+plain(err), "")
		}
		defer conn.Close()
		reply, err := (&stunConn{Conn: conn}).ask(ctx, stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
		if err != nil {
			return broken(fmt.Sprintf("STUN unreachable: %s does not answer over UDP", s.address),
				"Let UDP to that port out of this network and into the server's.")
		}
		var seen stun.XORMappedAddress
		if err := seen.GetFrom(reply); err != nil {
			return broken("STUN: the answer names no address", "")
		}
		return fine("this machine is seen as %s", net.JoinHostPort(seen.IP.String(), fmt.Sprint(seen.Port)))
	}
	return skipped("because the server names no STUN server")
}

// allocate asks the relay for an address, and gives it back (RFC 8656).
func allocate(ctx context.Context, s relayServer, tlsConfig *tls.Config) finding {
	conn, err := s.dial(ctx, tlsConfig)
	if err != nil {
		return broken(fmt.Sprintf("no relay candidate: %s is not reached over %s: %s", s.address, strings.ToUpper(string(s.via)), plain(err)),
			"Is the relay running, and does every firewall let this port through?")
	}
	defer conn.Close()
	transport := stun.RawAttribute{Type: stun.AttrRequestedTransport, Length: 4, Value: []byte{udpProtocol, 0, 0, 0}}
	k := &stunConn{Conn: conn, stream: s.via != viaUDP}
	request := stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	challenge, err := k.ask(ctx, stun.TransactionID, request, transport, stun.Fingerprint)
	if err != nil {
		return broken(fmt.Sprintf("no relay candidate: %s does not answer over %s", s.address, strings.ToUpper(string(s.via))),
			"Let that port out of this network and into the server's.")
	}
	var realm stun.Realm
	var nonce stun.Nonce
	if errors.Join(realm.GetFrom(challenge), nonce.GetFrom(challenge)) != nil {
		return broken("no relay candidate: "+s.address+" is no TURN server", "")
	}
	signed := []stun.Setter{stun.NewUsername(s.user), realm, nonce, stun.NewLongTermIntegrity(s.user, realm.String(), s.pass), stun.Fingerprint}
	reply, err := k.ask(ctx, append([]stun.Setter{stun.TransactionID, request, transport}, signed...)...)
	if err != nil {
		return broken("no relay candidate: "+plain(err), "")
	}
	if reply.Type.Class == stun.ClassErrorResponse {
		return notAllocated(reply)
	}
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(reply, stun.AttrXORRelayedAddress); err != nil {
		return broken("no relay candidate: the relay names no address", "")
	}
	lifetime := stun.RawAttribute{Type: stun.AttrLifetime, Length: 4, Value: make([]byte, 4)}
	release := stun.NewType(stun.MethodRefresh, stun.ClassRequest)
	_, _ = k.ask(ctx, append([]stun.Setter{stun.TransactionID, release, lifetime}, signed...)...) // it would expire by itself
	return fine("%s relays at %s", s.address, net.JoinHostPort(relayed.IP.String(), fmt.Sprint(relayed.Port)))
}

// notAllocated names why the relay refuses.
func notAllocated(reply *stun.Message) finding {
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(reply); err != nil {
		return broken("no relay candidate: the relay refuses and does not say why", "")
	}
	hints := map[stun.ErrorCode]string{
		stun.CodeUnauthorized:          "The credential is wrong or has expired: do the node that made it and the relay have the same secret and clock?",
		stun.CodeAllocQuotaReached:     "Too many allocations by this credential or address: the relay's quota.",
		stun.CodeInsufficientCapacity:  "The relay has no port left.",
		stun.CodeUnsupportedTransProto: "The relay does not relay UDP.",
	}
	return broken(fmt.Sprintf("no relay candidate: the relay answers %d %s", code.Code, code.Reason), hints[code.Code])
}

func (s relayServer) dial(ctx context.Context, tlsConfig *tls.Config) (net.Conn, error) {
	switch s.via {
	case viaUDP:
		return new(net.Dialer).DialContext(ctx, "udp", s.address)
	case viaTCP:
		return new(net.Dialer).DialContext(ctx, "tcp", s.address)
	case viaTLS:
		own := tlsConfig.Clone()
		own.ServerName = s.host
		return (&tls.Dialer{Config: own}).DialContext(ctx, "tcp", s.address)
	}
	return nil, fmt.Errorf("no way %q", s.via)
}

// stunConn asks one question at a time.
type stunConn struct {
	net.Conn
	stream bool
}

// ask sends a request, again and again over UDP, until it is answered or ctx ends.
func (k *stunConn) ask(ctx context.Context, setters ...stun.Setter) (*stun.Message, error) {
	request, err := stun.Build(setters...)
	if err != nil {
		return nil, err
	}
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(stunTime)
	}
	for wait := stunRetry; ; wait *= 2 {
		if _, err := k.Write(request.Raw); err != nil {
			return nil, err
		}
		until := time.Now().Add(wait)
		if k.stream || until.After(end) {
			until = end
		}
		reply, err := k.read(request.TransactionID, until)
		if err == nil {
			return reply, nil
		}
		if !isTimeout(err) || !time.Now().Before(end) {
			return nil, err
		}
	}
}

// read takes the answer to a request and drops everything else.
func (k *stunConn) read(id [stun.TransactionIDSize]byte, until time.Time) (*stun.Message, error) {
	if err := k.SetReadDeadline(until); err != nil {
		return nil, err
	}
	buf := make([]byte, maxSTUN)
	for {
		n, err := k.next(buf)
		if err != nil {
			return nil, err
		}
		m := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
		if m.Decode() == nil && m.TransactionID == id {
			return m, nil
		}
	}
}

// next reads one message. In a stream they lie end to end (RFC 8489, section 6.2.2).
func (k *stunConn) next(buf []byte) (int, error) {
	if !k.stream {
		return k.Read(buf)
	}
	if _, err := io.ReadFull(k, buf[:stunHeader]); err != nil {
		return 0, err
	}
	n := stunHeader + int(buf[2])<<8 + int(buf[3])
	if n > len(buf) {
		return 0, errors.New("the answer is no STUN message")
	}
	_, err := io.ReadFull(k, buf[stunHeader:n])
	return n, err
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

package doctor

import (
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

const (
	socketTime  = 5 * time.Second
	goodbyeTime = 500 * time.Millisecond // for the server to answer a close frame
	bigMessage  = 110 << 10              // above what some proxies let through, below the server's limit
	tooBig      = 140 << 10              // above the server's own limit
)

// upgrade opens the WebSocket by hand, to see what answers and how.
func upgrade(ctx context.Context, ticket client.Ticket, httpClient *http.Client) finding {
	endpoint, err := url.Parse(ticket.SignalEndpoint)
	if err != nil {
		return broken("the server names no socket: "+err.Error(), "Check public_url in its configuration.")
	}
	endpoint.Scheme = "http" + strings.TrimPrefix(endpoint.Scheme, "ws")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String(), http.NoBody)
	if err != nil {
		return broken("the server names no socket: "+err.Error(), "Check public_url in its configuration.")
	}
	key := base64.StdEncoding.EncodeToString([]byte(rand.Text())[:16])
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
		"Sec-WebSocket-Protocol": wire.Subprotocol, "Authorization": "Bearer " + ticket.JoinToken,
	} {
		req.Header.Set(name, value)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return broken("WebSocket: nobody answers at "+endpoint.Host+": "+plain(err),
			"This is the address in public_url: it must be reachable from here as the REST plane is.")
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		goodbye(ctx, resp.Body)
		return upgraded(resp.Header, key, endpoint.Host)
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what came of it
	a := answer{status: resp.StatusCode, header: resp.Header}
	_ = json.Unmarshal(body, &a.problem) // a proxy's page is none
	return notUpgraded(a)
}

// goodbye closes the socket with a handshake, so that the server has forgotten it before the next one comes.
func goodbye(ctx context.Context, body io.ReadCloser) {
	conn, ok := body.(io.ReadWriteCloser)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, goodbyeTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	closing := []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8} // a masked close frame with code 1000 (RFC 6455, section 5.5.1)
	if _, err := conn.Write(closing); err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxAnswer)) // until the server closes
	}
}

// upgraded checks what the server has agreed to (RFC 6455, section 4.1).
func upgraded(h http.Header, key, host string) finding {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // likewise
	switch {
	case h.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]):
		return broken("WebSocket: the upgrade is answered by something that knows no WebSocket", "A proxy stands in between.")
	case h.Get("Sec-WebSocket-Protocol") != wire.Subprotocol:
		return broken(fmt.Sprintf("WebSocket: the subprotocol is %q, not %q", h.Get("Sec-WebSocket-Protocol"), wire.Subprotocol),
			"Let the proxy pass Sec-WebSocket-Protocol on.")
	}
	return fine("%s upgrades to %s", host, wire.Subprotocol)
}

func notUpgraded(a answer) finding {
	switch {
	case a.problem.Code == "upgrade_required":
		return broken("WebSocket: a proxy strips Upgrade: "+a.statusLine(),
			"Let the proxy pass on Upgrade and Connection, and speak HTTP/1.1 to the server.")
	case a.problem.Code == "rate_limited":
		return broken("rate limited: "+a.statusLine(), "")
	case a.problem.Code != "":
		return broken("token refused: "+a.statusLine(), a.problem.Detail)
	}
	return broken("WebSocket: the upgrade is answered with "+a.statusLine(),
		"A proxy answers in the server's place: let it pass WebSockets to /v1/signal.")
}

// converse joins without media and takes a message there and back.
func converse(ctx context.Context, ticket client.Ticket, opts client.Options) finding {
	c, err := connect(ctx, ticket, opts)
	if err != nil {
		return unjoined(err)
	}
	defer c.Close() //nolint:errcheck // it is over, well or not
	began := time.Now()
	down := false
	if err := c.Presence(ctx, wire.PresenceUpdate{HandRaised: &down}); err != nil { // it is down anyway
		return unjoined(err)
	}
	took := time.Since(began)
	f := fine("a message and its answer in %s", brief(took))
	f.figures = map[string]float64{"round_trip_ms": float64(took) / float64(time.Millisecond)}
	return f
}

// connect joins without media, into the room itself.
func connect(ctx context.Context, ticket client.Ticket, opts client.Options) (*client.Client, error) {
	opts.VideoSlots, opts.AudioSlots = client.NoSlots, client.NoSlots
	c, err := client.Connect(ctx, ticket, opts)
	if err != nil {
		return nil, err
	}
	if c.State() == client.StateWaiting {
		return nil, errors.Join(errLobby, c.Close())
	}
	return c, nil
}

// errLobby is a meeting whose host must let people in.
var errLobby = errors.New("the meeting has a lobby")

func unjoined(err error) finding {
	if errors.Is(err, errLobby) {
		return broken("the test waits in the meeting's lobby", "Join with the host's link, or a meeting without a waiting room.")
	}
	if refusal, ok := errors.AsType[*client.Error](err); ok {
		return broken("token refused: "+refusal.Error(), "")
	}
	return broken("WebSocket: opened, and then lost: "+plain(err), "Something in between lets WebSockets begin but not go on.")
}

// bigMessages sends a message as large as an SDP of more than 100 KB, which the server must answer, and a larger one, which it must
// refuse by name.
func bigMessages(ctx context.Context, ticket client.Ticket, opts client.Options) finding {
	c, err := connect(ctx, ticket, opts)
	if err != nil {
		return unjoined(err)
	}
	defer c.Close() //nolint:errcheck // it is over, well or not
	hint := "An SDP grows with every slot and codec: let what stands in between pass messages of 128 KB."
	// Nobody sees it: a chat message of that length is refused.
	err = c.Chat(ctx, strings.Repeat("x", bigMessage), ticket.ParticipantID)
	if refusal, ok := errors.AsType[*client.Error](err); !ok || refusal.Code == wire.CodeMessageTooBig {
		return broken(fmt.Sprintf("oversized SDP (> 100 KB) on the socket: a message of %d KB is not answered: %s", bigMessage>>10, plain(err)), hint)
	}
	_ = c.Chat(ctx, strings.Repeat("x", tooBig), ticket.ParticipantID) // the answer is how the socket ends
	if refusal, ok := errors.AsType[*client.Error](c.Wait(ctx)); !ok || refusal.Code != wire.CodeMessageTooBig {
		return broken(fmt.Sprintf("oversized SDP (> 100 KB) on the socket: one of %d KB is not refused as the server does", tooBig>>10),
			"Something in between cuts large messages off, and nobody is told why.")
	}
	return fine("%d KB are answered, %d KB are refused with %s", bigMessage>>10, tooBig>>10, wire.CodeMessageTooBig)
}

func brief(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

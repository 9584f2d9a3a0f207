package signal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	inboxMessages = 8                // read, but not yet handled
	frameTimeout  = 10 * time.Second // to finish a message that was begun, either way
	lingerTimeout = time.Second      // for the other end to answer a close frame
	slowTimeout   = 5 * time.Second  // for a slow reader to take what a close frame waits behind
)

// errClosed says that the other end closed the socket on purpose.
var errClosed = errors.New("closed by the client")

// socket is one WebSocket with a bounded outbound queue. One goroutine each reads, writes and pings; run owns them.
//
// send and end may be called from anywhere and never block. Messages that were sent before end are written before the
// close frame, except when the queue ran over.
type socket struct {
	conn    *websocket.Conn
	raw     net.Conn // under conn, to bound what conn does not
	cfg     Config
	limiter *rate.Limiter
	metrics *metrics

	inbox chan []byte
	queue *queue

	endOnce sync.Once
	ending  chan struct{} // closed by end
	code    int           // of the close frame; set before ending is closed
	reason  string
}

func newSocket(conn *websocket.Conn, raw net.Conn, limiter *rate.Limiter, cfg Config, m *metrics) *socket {
	conn.SetReadLimit(-1) // read has a limit of its own, which can say what was wrong
	return &socket{
		conn: conn, raw: raw, cfg: cfg, limiter: limiter, metrics: m,
		inbox:  make(chan []byte, inboxMessages),
		queue:  newQueue(cfg.QueueMessages, cfg.QueueBytes),
		ending: make(chan struct{}),
	}
}

// run reads, writes and pings until the socket ends. It returns errClosed when the client closed it, a *fatal when the
// client broke the rules, and otherwise what went wrong. The inbox is closed when nothing more comes.
func (k *socket) run(ctx context.Context) error {
	own, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	left := false // the client said goodbye: what else fails then fails because of it
	wg.Go(func() {
		defer close(k.inbox)
		err := k.read(own)
		left = errors.Is(err, errClosed)
		if broken, ok := errors.AsType[*fatal](err); ok {
			k.complain(broken)
			<-own.Done() // the writer says so and closes
		}
		stop(err)
	})
	wg.Go(func() { stop(k.write(own)) })
	wg.Go(func() { stop(k.ping(own)) })
	<-own.Done()
	_ = k.conn.CloseNow() // closed is closed
	wg.Wait()
	k.queue.close()
	if left {
		return errClosed
	}
	return context.Cause(own)
}

// complain tells the client what it did wrong, and closes.
func (k *socket) complain(broken *fatal) {
	e := asError(broken.err)
	k.send(outbound{wire.Envelope{Type: wire.TypeError}, wire.Error{Code: e.Code, Message: e.Say}})
	k.end(broken.code, e.Code)
}

// send queues a message. A client that lets too much wait is dropped.
func (k *socket) send(out outbound) {
	if !k.queue.push(out) {
		k.overrun()
	}
}

// overrun gives up on a slow reader. The writer, which hangs in what the reader does not take, is freed soon.
func (k *socket) overrun() {
	if k.end(wire.CloseSlow, "read too slowly") {
		k.queue.close()
		k.metrics.drops.Inc()
		_ = k.raw.SetWriteDeadline(time.Now().Add(slowTimeout)) // a closed one needs none
	}
}

// end closes the socket with a code once everything queued is written. The first call counts; it is the one that
// returns true.
func (k *socket) end(code int, reason string) (first bool) {
	k.endOnce.Do(func() {
		k.code, k.reason = code, reason
		close(k.ending)
		first = true
	})
	return first
}

// closeCode is the code that end was called with, or 0.
func (k *socket) closeCode() int {
	select {
	case <-k.ending:
		return k.code
	default:
		return 0
	}
}

func (k *socket) read(ctx context.Context) error {
	for {
		data, err := k.readOne(ctx)
		if err != nil {
			return err
		}
		if !k.limiter.Allow() {
			return &fatal{wire.CloseRate, limited("Too many messages.")}
		}
		select {
		case k.inbox <- data:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readOne reads a whole message. The limit is on the inflated size: no more than one byte over it is ever inflated.
func (k *socket) readOne(ctx context.Context) ([]byte, error) {
	// A context that can end costs the library a timer for every frame, however small. Closing the connection, which
	// run does in the end, frees a read just as well.
	typ, r, err := k.conn.Reader(context.WithoutCancel(ctx))
	if err != nil {
		return nil, readError(err)
	}
	if typ != websocket.MessageText {
		return nil, &fatal{wire.CloseBadRequest, invalid("Messages are text, not binary.")}
	}
	late := time.AfterFunc(frameTimeout, func() { k.end(wire.CloseBadRequest, "a message took too long") })
	defer late.Stop()
	data, err := io.ReadAll(io.LimitReader(r, k.cfg.MaxMessageBytes+1))
	if err != nil {
		return nil, readError(err)
	}
	if int64(len(data)) > k.cfg.MaxMessageBytes {
		k.metrics.oversized(data)
		return nil, &fatal{wire.CloseTooBig, tooBig(k.cfg.MaxMessageBytes)}
	}
	return data, nil
}

// readError tells a client that left from one that was lost. Browsers send 1001 when a page goes away, and no code when
// a program does not name one.
func readError(err error) error {
	code := websocket.CloseStatus(err)
	if code == websocket.StatusNormalClosure || code == websocket.StatusGoingAway || code == websocket.StatusNoStatusRcvd {
		return errClosed
	}
	return fmt.Errorf("read: %w", err)
}

func (k *socket) write(ctx context.Context) error {
	for {
		if err := k.flush(ctx); err != nil {
			return err
		}
		select {
		case <-k.queue.wake:
		case <-k.ending:
			return k.close(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// flush writes what is queued.
func (k *socket) flush(ctx context.Context) error {
	for {
		out, ok := k.queue.pop()
		if !ok {
			return nil
		}
		data, err := out.encode()
		if err != nil {
			return err
		}
		if err := k.writeOne(ctx, data); err != nil {
			return err
		}
	}
}

func (k *socket) writeOne(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, frameTimeout)
	defer cancel()
	if err := k.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// close writes what is queued and the close frame, and waits a moment for the answer.
func (k *socket) close(ctx context.Context) error {
	if err := k.flush(ctx); err != nil {
		return err
	}
	// The handshake reads away what the client still sends. The deadline keeps that short, whatever it sends.
	if err := k.raw.SetDeadline(time.Now().Add(lingerTimeout)); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	_ = k.conn.Close(websocket.StatusCode(k.code), k.reason)
	return fmt.Errorf("closed with %d: %s", k.code, k.reason)
}

func (k *socket) ping(ctx context.Context) error {
	tick := time.NewTicker(k.cfg.PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pong, cancel := context.WithTimeout(ctx, k.cfg.PingTimeout)
		err := k.conn.Ping(pong)
		cancel()
		if err != nil {
			return fmt.Errorf("ping: %w", err)
		}
	}
}

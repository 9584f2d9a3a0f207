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
	frameTimeout  = 10 * time.Second // to finish a message that was begun, either way
	lingerTimeout = time.Second      // for the other end to answer a close frame
	slowTimeout   = 5 * time.Second  // for a slow reader to take what a close frame waits behind
)

// errClosed says that the other end closed the socket on purpose.
var errClosed = errors.New("closed by the client")

// errUnheard says that nothing has come over a socket that was opened to resume.
var errUnheard = errors.New("nothing was said")

// socket is one WebSocket with a bounded outbound queue. Whoever calls run reads; who writes and pings is there only while there
// is something to write or to be waited for.
//
// send and end may be called from anywhere and never block. Messages that were sent before end are written before the
// close frame, except when the queue ran over.
type socket struct {
	conn    *websocket.Conn
	raw     net.Conn // under conn, to bound what conn does not
	cfg     Config
	limiter *rate.Limiter
	metrics *metrics
	queue   *queue

	endOnce sync.Once
	ending  chan struct{} // closed by end
	code    int           // of the close frame; set before ending is closed
	reason  string

	over    chan struct{}  // closed when nothing can be read or written any more
	writers sync.WaitGroup // one at most; added to under mu, and never once cause is set

	mu      sync.Mutex
	runs    bool
	writing bool  // a writer is there, or was the last
	cause   error // of the end; nil while it lasts
}

func newSocket(conn *websocket.Conn, raw net.Conn, limiter *rate.Limiter, cfg Config, m *metrics) *socket {
	conn.SetReadLimit(-1) // read has a limit of its own, which can say what was wrong
	return &socket{
		conn: conn, raw: raw, cfg: cfg, limiter: limiter, metrics: m,
		queue:  newQueue(cfg.QueueMessages, cfg.QueueBytes),
		ending: make(chan struct{}),
		over:   make(chan struct{}),
	}
}

// run reads until the socket ends, and hands every message to take. It returns errClosed when the client closed it, a *fatal when
// the client broke the rules, and otherwise what went wrong. Nobody writes or pings any more then.
func (k *socket) run(ctx context.Context, take func([]byte)) error {
	stop := context.AfterFunc(ctx, func() { k.fail(context.Cause(ctx)) })
	defer stop()
	k.mu.Lock()
	k.runs = true
	k.mu.Unlock()
	k.attend()
	pings := startCycle(k.cfg.PingEvery, k.ping)
	err := k.read(ctx, take)
	if broken, ok := errors.AsType[*fatal](err); ok {
		k.complain(broken)
		<-k.over // the writer says so and closes
	}
	k.fail(err)
	pings.stop()
	k.writers.Wait()
	k.queue.close()
	if errors.Is(err, errClosed) { // what else failed then failed because of it
		return errClosed
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cause
}

// fail notes why the socket ends, and frees whoever reads or writes. The first reason counts.
func (k *socket) fail(err error) {
	k.mu.Lock()
	first := k.cause == nil
	if first {
		k.cause = err
		close(k.over)
	}
	k.mu.Unlock()
	if first {
		_ = k.conn.CloseNow() // closed is closed
	}
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
		return
	}
	k.attend()
}

// attend has a writer look at the queue and at whether it is to close.
func (k *socket) attend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.runs && !k.writing && k.cause == nil {
		k.writing = true
		k.writers.Go(k.write)
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
	if first {
		k.attend()
	}
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

func (k *socket) read(ctx context.Context, take func([]byte)) error {
	for {
		data, err := k.readOne(ctx)
		if err != nil {
			return err
		}
		if !k.limiter.Allow() {
			return &fatal{wire.CloseRate, limited("Too many messages.")}
		}
		take(data)
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

// write writes what is queued, and closes when that was asked for. It returns when there is nothing to do.
func (k *socket) write() {
	for {
		err := k.flush()
		if err == nil && k.closeCode() != 0 {
			err = k.close()
		}
		if err != nil {
			k.fail(err)
			return
		}
		if k.rest() {
			return
		}
	}
}

// rest lets the writer go, unless something has come meanwhile.
func (k *socket) rest() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writing = k.queue.waiting() > 0 || k.closeCode() != 0
	return !k.writing
}

// flush writes what is queued.
func (k *socket) flush() error {
	for {
		out, ok := k.queue.pop()
		if !ok {
			return nil
		}
		data, err := out.encode()
		if err != nil {
			return err
		}
		if err := k.writeOne(data); err != nil {
			return err
		}
	}
}

// writeOne writes a message. fail frees it.
func (k *socket) writeOne(data []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), frameTimeout)
	defer cancel()
	if err := k.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// close writes what is queued and the close frame, and waits a moment for the answer.
func (k *socket) close() error {
	if err := k.flush(); err != nil {
		return err
	}
	// The handshake reads away what the client still sends. The deadline keeps that short, whatever it sends.
	if err := k.raw.SetDeadline(time.Now().Add(lingerTimeout)); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	_ = k.conn.Close(websocket.StatusCode(k.code), k.reason)
	return fmt.Errorf("closed with %d: %s", k.code, k.reason)
}

// ping asks the client for a sign of life.
func (k *socket) ping() {
	ctx, cancel := context.WithTimeout(context.Background(), k.cfg.PingTimeout)
	defer cancel()
	if err := k.conn.Ping(ctx); err != nil {
		k.fail(fmt.Errorf("ping: %w", err))
	}
}

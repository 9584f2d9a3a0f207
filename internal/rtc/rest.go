package rtc

import (
	"errors"
	"time"

	"github.com/pion/dtls/v3"
)

// A client's DTLS has nothing to do any more once the client's own media shows that it has the keys: no flight will be asked for
// again. Then the connection rests: its state is kept, its goroutines and buffers are not. It wakes for an alert, which may be the
// client's goodbye, and to say goodbye itself.

// wakeFor is how long a connection that woke listens before it rests again.
const wakeFor = time.Second

// settle notes that a client's media has come. It is called for every packet.
func (t *Transport) settle() {
	if !t.settled.Load() && t.converse == nil && t.settled.CompareAndSwap(false, true) {
		t.dtls.end() // run goes on with rest
	}
}

// rest keeps what waking takes, and ends everything else.
func (t *Transport) rest(conn *dtls.Conn) {
	state, ok := conn.ConnectionState()
	_ = conn.Close() // sends nothing, since the client's media has come
	if !ok {
		return
	}
	t.mu.Lock()
	t.resting = &state
	t.mu.Unlock()
	if len(t.dtls.queue) > 0 {
		t.wake()
	}
}

// wake has a goroutine listen to what came while the connection rested. It never blocks.
func (t *Transport) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.resting
	if state == nil || t.closed {
		return
	}
	t.resting = nil
	t.dtls.reopen()
	t.work.Go(func() { t.listen(state) })
}

// listen reads for a while and lets the connection rest again, unless the client has closed it.
func (t *Transport) listen(state *dtls.State) {
	enough := time.AfterFunc(wakeFor, t.dtls.end)
	conn, err := t.resume(state)
	if conn == nil {
		t.log.Debug("wake DTLS", "error", err)
		return
	}
	if err == nil {
		discard(conn)
	}
	closed := t.dtls.left()
	enough.Stop()
	_ = conn.Close() // sends nothing
	t.mu.Lock()
	over := t.closed
	if over || !closed {
		t.resting = state
	}
	t.mu.Unlock()
	switch {
	case over:
	case closed:
		t.handler.Disconnected(ErrClosed)
	case len(t.dtls.queue) > 0:
		t.wake()
	}
}

// resume goes on with a connection that has rested. What comes at once may end it: then it returns the connection and an error.
func (t *Transport) resume(state *dtls.State) (*dtls.Conn, error) {
	conn, err := dtls.ResumeWithOptions(state, t.dtls, t.dtls.remoteAddr(), t.options()...)
	if err != nil {
		return nil, err
	}
	return conn, conn.Handshake()
}

// farewell tells the client of a connection that rests that it is over.
func (t *Transport) farewell() {
	t.mu.Lock()
	state := t.resting
	t.resting = nil
	t.mu.Unlock()
	if state == nil || t.remote.Load() == nil {
		return
	}
	t.dtls.reopen()
	t.dtls.bids.Store(true)
	conn, err := t.resume(state)
	if conn != nil {
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		t.log.Debug("close DTLS", "error", err)
	}
}

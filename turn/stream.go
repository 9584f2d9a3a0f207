package turn

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

const (
	firstMessage = 10 * time.Second // within which a connection without an allocation must make one, TLS handshake included
	orphanFor    = 2 * time.Second  // that a connection stays after its allocation: for the last answer
	writeLimit   = 10 * time.Second // for the client to take anything at all
	writeBuffer  = 256 << 10        // bytes that wait for the client; more are dropped, as a network would
	firstRead    = 2 << 10          // bytes of memory of a connection that has proved nothing
	laterRead    = 16 << 10
	keepBuffer   = 16 << 10 // bytes of memory that a quiet connection keeps for writing
)

var errFraming = errors.New("turn: neither STUN nor ChannelData")

// stream is a connection over TCP or TLS, on which messages stand one after the other (RFC 8656 section 12.5: ChannelData padded
// to four bytes). One goroutine reads; writing never blocks.
type stream struct {
	door    *door
	conn    net.Conn
	raw     syscall.RawConn // nil over TLS
	from    netip.AddrPort
	session atomic.Pointer[session]
	once    sync.Once
	writers sync.WaitGroup

	mu      sync.Mutex // guards what follows
	waiting []byte     // for the goroutine that writes
	spare   []byte
	busy    bool // that goroutine runs
	closed  bool
}

// accept serves the listener until it is closed.
func (d *door) accept() error {
	var wg sync.WaitGroup
	defer wg.Wait()
	var pause time.Duration
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			if !shortage(err) {
				d.dropStreams()
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-d.closed:
			}
			continue
		}
		pause = 0
		from := addrPortOf(conn.RemoteAddr())
		if !d.s.pace.allow(from.Addr()) || !d.s.conns.take("", from.Addr()) {
			d.s.metrics.refused(reasonConnections)
			conn.Close()
			continue
		}
		st := &stream{door: d, conn: conn, from: from, raw: rawConn(conn)}
		d.addStream(st)
		wg.Go(func() {
			defer d.s.conns.give("", from.Addr())
			defer d.removeStream(st)
			st.run()
		})
	}
}

// rawConn is the connection itself, if there is nothing in between such as TLS.
func rawConn(conn net.Conn) syscall.RawConn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // it has gone already; reading says so
	}
	return raw
}

// shortage tells errors of the moment from errors of the listener.
func shortage(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func addrPortOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// run reads until the connection ends.
func (st *stream) run() {
	err := st.conn.SetDeadline(time.Now().Add(st.door.s.firstMessage))
	if err == nil {
		err = st.read()
	}
	if s := st.session.Load(); s != nil {
		st.door.finish(s)
	}
	st.close()
	st.writers.Wait()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		st.door.s.log.Debug("turn: a connection ended", "transport", st.door.kind, "error", err)
	}
}

func (st *stream) read() error {
	buf := make([]byte, firstRead)
	for have := 0; ; {
		n, err := st.conn.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
		used, err := st.messages(buf[:have])
		if err != nil {
			return err
		}
		have = copy(buf, buf[used:have])
		if st.session.Load() != nil && len(buf) < laterRead {
			buf = append(buf[:have], make([]byte, laterRead-have)...)
		}
	}
}

// messages works off the whole messages at the beginning of b, and returns how many bytes those are.
func (st *stream) messages(b []byte) (used int, err error) {
	d := st.door
	out := d.s.takeBatch()
	defer d.s.giveBatch(out)
	for len(b)-used >= channelHdr {
		rest := b[used:]
		size, padded := frameSize(rest)
		if size > maxMessage {
			return used, errFraming
		}
		if len(rest) < padded {
			break
		}
		used += padded
		s := st.session.Load()
		switch {
		case isChannelData(rest):
			n, ok := 0, false
			if s != nil {
				n, ok = s.channelData(rest[:size], out.Batch)
			}
			out.tally.from(n, ok)
		case isSend(rest):
			if s != nil {
				d.indication(s, rest[:size], out)
			}
		default:
			d.control(rest[:size], st.from, st)
		}
	}
	return used, nil
}

// frameSize is how long the message at the beginning of b is, and what it takes in the stream. Both are too long for what is no
// message.
func frameSize(b []byte) (size, padded int) {
	n := int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case isChannelData(b):
		size = channelHdr + n
	case b[0] <= 3 && n%4 == 0:
		size = headerSize + n
	default:
		size = maxMessage + 1
	}
	return size, (size + 3) &^ 3
}

// adopt gives the connection its allocation, with which it lives and dies.
func (st *stream) adopt(s *session) {
	st.session.Store(s)
	_ = st.conn.SetReadDeadline(time.Time{}) // reading says so if the connection has gone
}

// orphan ends a connection whose allocation has ended, once the client was told.
func (st *stream) orphan() {
	st.session.Store(nil)
	_ = st.conn.SetReadDeadline(time.Now().Add(orphanFor))
}

// data queues what a peer sent; it leaves with the batch. It reports false when the client is too slow.
func (st *stream) data(s *session, r *route, payload []byte, out *batch) bool {
	out.touch(st)
	if r.channel == 0 {
		return st.queue(s.wrap(nil, r, payload), nil)
	}
	var header [channelHdr]byte
	binary.BigEndian.PutUint16(header[:], r.channel)
	binary.BigEndian.PutUint16(header[2:], uint16(len(payload)))
	return st.queue(header[:], payload)
}

// write sends a message.
func (st *stream) write(b []byte) {
	if st.queue(b, nil) {
		st.flush()
	}
}

// queue adds a message of two parts, padded, to what waits for flush.
func (st *stream) queue(header, payload []byte) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	size := (len(header) + len(payload) + 3) &^ 3
	if st.closed || len(st.waiting)+size > writeBuffer {
		return false
	}
	st.waiting = append(append(st.waiting, header...), payload...)
	for range size - len(header) - len(payload) {
		st.waiting = append(st.waiting, 0)
	}
	return true
}

// flush writes what waits, as far as the kernel takes it at once, and leaves the rest to a goroutine.
func (st *stream) flush() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.busy || st.closed || len(st.waiting) == 0 {
		return
	}
	if st.raw != nil {
		n, err := udp.TryWrite(st.raw, st.waiting)
		if err == nil && n == len(st.waiting) {
			st.waiting = st.waiting[:0]
			st.trimLocked()
			return
		}
		st.waiting = st.waiting[:copy(st.waiting, st.waiting[n:])] // the goroutine meets the error again
	}
	st.busy = true
	st.writers.Add(1)
	go st.writeQueued()
}

// trimLocked gives up memory that only a burst needed.
func (st *stream) trimLocked() {
	if cap(st.waiting)+cap(st.spare) > keepBuffer {
		st.waiting, st.spare = nil, nil
	}
}

func (st *stream) writeQueued() {
	defer st.writers.Done()
	for {
		b := st.next()
		if len(b) == 0 {
			return
		}
		err := st.conn.SetWriteDeadline(time.Now().Add(writeLimit))
		if err == nil {
			err = st.writeOut(b)
		}
		if err != nil {
			st.close()
		}
	}
}

// writeOut writes messages: over TCP all at once; over TLS each in a record of its own, for there are clients that take a record
// for a message, as coturn's own does.
func (st *stream) writeOut(b []byte) error {
	for len(b) > 0 {
		n := len(b)
		if st.door.kind == overTLS {
			_, n = frameSize(b)
		}
		if _, err := st.conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// next takes what waits. Nothing means that the goroutine must end.
func (st *stream) next() []byte {
	st.mu.Lock()
	defer st.mu.Unlock()
	b := st.waiting
	if len(b) == 0 || st.closed {
		st.busy = false
		st.trimLocked()
		return nil
	}
	st.waiting, st.spare = st.spare[:0], b
	return b
}

func (st *stream) close() {
	st.mu.Lock()
	st.closed = true
	st.mu.Unlock()
	st.once.Do(func() { st.conn.Close() })
}

func (d *door) addStream(st *stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streams[st] = struct{}{}
}

func (d *door) removeStream(st *stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.streams, st)
}

// dropStreams closes all connections.
func (d *door) dropStreams() {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for st := range d.streams {
		st.close()
	}
}

// datagram takes one datagram of a client.
func (d *door) datagram(b []byte, from udp.Addr, out *batch) {
	switch {
	case isChannelData(b):
		n, ok := 0, false
		if s := d.session(from); s != nil {
			n, ok = s.channelData(b, out.Batch)
		}
		out.tally.from(n, ok)
	case isSend(b):
		if s := d.session(from); s != nil {
			d.indication(s, b, out)
		}
	default:
		d.control(b, from.AddrPort(), nil)
	}
}

func (d *door) indication(s *session, b []byte, out *batch) {
	m, ok := parseMessage(b)
	n := 0
	if ok {
		n, ok = s.indication(&m, out.Batch)
	}
	out.tally.from(n, ok)
}

// isSend tells Send indications from all other messages.
func isSend(b []byte) bool {
	return len(b) >= headerSize && binary.BigEndian.Uint16(b) == methodSend|classIndication
}

func messages() []udp.Message {
	const read = 64
	memory := make([]byte, read*maxMessage)
	ms := make([]udp.Message, read)
	for i := range ms {
		ms[i].Buf = memory[i*maxMessage : (i+1)*maxMessage : (i+1)*maxMessage]
	}
	return ms
}

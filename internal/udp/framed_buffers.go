package udp

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// frameReader cuts a stream into frames. Its buffer starts small, for those who never send much.
type frameReader struct {
	src io.Reader
	buf []byte // bytes read and not yet cut
	mem []byte // what buf is part of
}

const (
	firstRead = 1 << 10  // bytes of memory before the first frame is whole
	laterRead = 16 << 10 // and once more is needed: holds the largest frame
)

// next returns the next whole frame that is not empty, header included, valid until the next call. A stream that ends
// within a frame gives io.ErrUnexpectedEOF.
func (r *frameReader) next() ([]byte, error) {
	for {
		if len(r.buf) >= frameHeader {
			size := frameHeader + int(binary.BigEndian.Uint16(r.buf))
			if size > frameHeader+maxFrame {
				return nil, ErrFraming
			}
			if len(r.buf) >= size {
				frame := r.buf[:size:size]
				r.buf = r.buf[size:]
				if size > frameHeader {
					return frame, nil
				}
				continue // an empty frame says nothing
			}
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once, after what is left of an earlier read.
func (r *frameReader) fill() error {
	if len(r.buf) == cap(r.mem) {
		r.mem = make([]byte, r.grown())
	}
	left := copy(r.mem[:cap(r.mem)], r.buf)
	n, err := r.src.Read(r.mem[left:cap(r.mem)])
	r.buf = r.mem[:left+n]
	switch {
	case n > 0:
		return nil // an error that lasts comes again
	case errors.Is(err, io.EOF) && left > 0:
		return io.ErrUnexpectedEOF
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

func (r *frameReader) grown() int {
	if r.mem == nil {
		return firstRead
	}
	return laterRead
}

// frameQueue is a bounded queue of frames between writers and one goroutine, in two buffers that swap places.
type frameQueue struct {
	mu      sync.Mutex
	limit   int    // bytes, of waiting and leaving together
	waiting []byte // whole frames
	leaving []byte // with the goroutine while busy
	busy    bool   // the goroutine runs
	closed  bool
	running sync.WaitGroup
}

// add queues a frame of two parts, if there is room. It reports idle when the caller must now start the goroutine.
func (q *frameQueue) add(header, payload []byte, limit int) (idle, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting)+len(q.leaving)+len(header)+len(payload) > limit {
		return false, false
	}
	q.waiting = append(append(q.waiting, header...), payload...)
	if q.busy {
		return false, true
	}
	q.busy = true
	q.running.Add(1)
	return true, true
}

// next gives the goroutine what waits, and takes back what it had before. Nothing means that it must end; it then gives
// up memory that only a burst needed.
func (q *frameQueue) next() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting, q.leaving = q.leaving[:0], q.waiting
	if q.closed {
		q.leaving = nil
	}
	if len(q.leaving) == 0 {
		q.busy = false
		q.waiting, q.leaving = trimmed(q.waiting), trimmed(q.leaving)
	}
	return q.leaving
}

func trimmed(b []byte) []byte {
	if cap(b) > keepFor {
		return nil
	}
	return b[:0]
}

func (q *frameQueue) done() { q.running.Done() }

func (q *frameQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *frameQueue) wait() { q.running.Wait() }

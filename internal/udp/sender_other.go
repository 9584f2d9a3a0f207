//go:build !linux

package udp

import (
	"errors"
	"net"
)

// sender sends runs one by one; without segmentation each is one datagram.
type sender struct{ sock *socket }

func newSender(sock *socket) *sender { return &sender{sock: sock} }

func (d *sender) send(arena []byte, runs []run, t *tally) error {
	var closed error
	for i := range runs {
		r := &runs[i]
		t.syscalls++
		err := d.sock.writeTo(arena[r.from:r.from+r.length], r.to)
		switch {
		case err == nil:
			t.sent++
			t.bytes += r.length
			continue
		case errors.Is(err, net.ErrClosed):
			closed = net.ErrClosed
		default:
			t.errors++
		}
		t.drops++
	}
	return closed
}

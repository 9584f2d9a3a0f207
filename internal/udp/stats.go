package udp

import "sync/atomic"

// Stats counts what a Conn has done. All figures only grow, and count datagrams where nothing else is said.
type Stats struct {
	Sent          uint64 // accepted by the kernel
	SentBytes     uint64 // payload of those
	SendErrors    uint64 // calls, or messages within a call, that the kernel refused
	SendDrops     uint64 // given up because of an error or an address that the socket cannot reach
	Syscalls      uint64 // system calls made for sending
	Segmented     uint64 // of Sent, those that left within a segmented message
	Unsegmented   uint64 // segmented messages the kernel refused, whose datagrams were then sent one by one
	Received      uint64
	ReceivedBytes uint64
	Truncated     uint64 // received datagrams that did not fit their buffer
	ReceiveDrops  uint64 // arrived, but the kernel's receive buffer was full; 0 where the system does not tell
}

func (s *Stats) add(o Stats) {
	s.Sent += o.Sent
	s.SentBytes += o.SentBytes
	s.SendErrors += o.SendErrors
	s.SendDrops += o.SendDrops
	s.Syscalls += o.Syscalls
	s.Segmented += o.Segmented
	s.Unsegmented += o.Unsegmented
	s.Received += o.Received
	s.ReceivedBytes += o.ReceivedBytes
	s.Truncated += o.Truncated
	s.ReceiveDrops += o.ReceiveDrops
}

// tally is what one call adds to the send counters.
type tally struct{ sent, bytes, errors, drops, syscalls, segmented, unsegmented int }

type counters struct {
	sent, sentBytes, sendErrors, sendDrops, syscalls, segmented, unsegmented atomic.Uint64

	received, receivedBytes, truncated atomic.Uint64
}

// addSent touches only the counters that change: most calls move three of them.
func (c *counters) addSent(t tally) {
	add(&c.sent, t.sent)
	add(&c.sentBytes, t.bytes)
	add(&c.sendErrors, t.errors)
	add(&c.sendDrops, t.drops)
	add(&c.syscalls, t.syscalls)
	add(&c.segmented, t.segmented)
	add(&c.unsegmented, t.unsegmented)
}

func (c *counters) addReceived(n, bytes, truncated int) {
	add(&c.received, n)
	add(&c.receivedBytes, bytes)
	add(&c.truncated, truncated)
}

func add(c *atomic.Uint64, n int) {
	if n > 0 {
		c.Add(uint64(n))
	}
}

func (c *counters) load() Stats {
	return Stats{
		Sent:          c.sent.Load(),
		SentBytes:     c.sentBytes.Load(),
		SendErrors:    c.sendErrors.Load(),
		SendDrops:     c.sendDrops.Load(),
		Syscalls:      c.syscalls.Load(),
		Segmented:     c.segmented.Load(),
		Unsegmented:   c.unsegmented.Load(),
		Received:      c.received.Load(),
		ReceivedBytes: c.receivedBytes.Load(),
		Truncated:     c.truncated.Load(),
	}
}

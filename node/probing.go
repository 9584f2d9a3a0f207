package node

import (
	"context"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

const (
	// probeEvery is how often what a probe lacks is sent.
	probeEvery = 4 * time.Millisecond

	// mostPadding is what one packet can carry of it, its count included (RFC 3550 section 5.1).
	mostPadding = 255
)

// prober is whoever a probe can be under way to: a viewer, or another node.
type prober interface {
	// fillProbe queues what waits for its turn, and then what the running probe lacks. It reports false when there is nothing of either any more.
	fillProbe(now int64, out *udp.Batch) bool
}

// probing is those to whom a probe is under way, or for whom packets wait for their time. Nothing wakes up for it while there are none.
type probing struct {
	node  *Node
	mu    sync.Mutex
	peers map[prober]struct{}
	some  chan struct{} // has room for one: told when peers is empty no more
	turns []prober      // of the round; only run uses it
}

func newProbing(n *Node) *probing {
	return &probing{node: n, peers: map[prober]struct{}{}, some: make(chan struct{}, 1)}
}

// add has the probe to p sent. It does not block.
func (b *probing) add(p prober) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers[p] = struct{}{}
	if len(b.peers) == 1 {
		select {
		case b.some <- struct{}{}:
		default:
		}
	}
}

// run sends what probes lack until ctx ends.
func (b *probing) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.some:
		}
		for b.round() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(probeEvery):
			}
		}
	}
}

// round sends what is due to all at this moment, and reports whether anything is left. Who comes meanwhile is of the next round.
func (b *probing) round() bool {
	b.mu.Lock()
	for p := range b.peers {
		b.turns = append(b.turns, p)
	}
	clear(b.peers)
	b.mu.Unlock()
	out := b.node.takeBatch() // for all: small packets to many cost most one by one
	defer b.node.giveBatch(out)
	for _, p := range b.turns {
		if p.fillProbe(b.node.endpoint.Now(), out) {
			b.mu.Lock()
			b.peers[p] = struct{}{}
			b.mu.Unlock()
		}
	}
	clear(b.turns)
	b.turns = b.turns[:0]
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.peers) > 0
}

// fillProbe implements prober.
func (p *Peer) fillProbe(now int64, out *udp.Batch) bool {
	waits := p.sendTwice(now, out)
	waits = p.node.release(&p.pacer, &p.way, out, now) || waits
	lacks, running := p.way.lacks(now)
	if lacks > 0 && p.transport.Ready() {
		p.node.count.probed.Add(p.fill(lacks, now, out))
	}
	return running || waits
}

// fill sends about as many bytes as are lacking, and returns how many. It is padding alone: packets sent again would come twice to
// whoever reads retransmissions as they come.
func (p *Peer) fill(lacks int, now int64, out *udp.Batch) (sent int) {
	for _, s := range p.slotList() {
		if sent >= lacks {
			break
		}
		if s.kind == Video {
			sent += s.pad(lacks-sent, now, out)
		}
	}
	return sent
}

// pad sends up to about lacks bytes of padding in the slot's stream of retransmissions, which no decoder sees.
func (s *slot) pad(lacks int, now int64, out *udp.Batch) (sent int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pt := s.repairFormat()
	if pt == 0 {
		return 0
	}
	for sent < lacks {
		buf := s.peer.transport.Reserve(out, headerRoom+mostPadding)
		if buf == nil {
			break
		}
		var ext packet.Extensions
		s.numberedLocked(&ext)
		s.numberAt = uint8(ext.First())
		head, n := putPadding(buf, pt, s.repairAt, s.lastTime, s.repair.SSRC, &ext)
		s.repairAt++
		bytes := s.dispatch(out, &s.repair, buf, head, n, bandwidth.Padding, now)
		if bytes == 0 {
			break
		}
		sent += bytes
	}
	return sent
}

// putPadding writes a packet of padding alone (RFC 3550 section 5.1) into buf, and returns how long its header is and how long all of it.
func putPadding(buf []byte, pt uint8, seq uint16, timestamp, ssrc uint32, ext *packet.Extensions) (head, n int) {
	head = len(packet.AppendHeader(buf[:0], false, pt, seq, timestamp, ssrc, ext))
	n = head + mostPadding
	clear(buf[head:n])
	buf[0] |= 0x20
	buf[n-1] = mostPadding
	return head, n
}

// repairFormat is the payload type of retransmissions in what the slot shows, or could; 0 is none.
func (s *slot) repairFormat() uint8 {
	if s.current != nil {
		if f := s.formats[s.current.format.Load()]; f.rtx != 0 {
			return f.rtx
		}
	}
	for _, f := range s.formats {
		if f.rtx != 0 {
			return f.rtx
		}
	}
	return 0
}

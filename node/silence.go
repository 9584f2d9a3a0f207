package node

import (
	"sync/atomic"
	"time"
)

// noPacketsAfter is how long an open microphone must have sent nothing to be called silent. Opus that is not sent while
// nobody speaks (DTX) still sends a packet every 400 ms.
const noPacketsAfter = 3 * time.Second

// reasonNoPackets is why nothing is heard of an active slot: no packets come from its microphone.
const reasonNoPackets = "no_packets"

// silence notices that nothing comes of a microphone that should be heard.
type silence struct {
	open   int64 // since when the microphone should send; 0 while it need not. The ticker's alone
	silent atomic.Bool
}

// review looks at the microphone of the track and reports whether it has become silent, or has ceased to be.
func (s *silence) review(t *published, now int64) (changed bool) {
	if t.Source != Microphone {
		return false
	}
	switch {
	case t.muted.Load() || !t.connected():
		s.open = 0
	case s.open == 0:
		s.open = now
	}
	last := max(s.open, t.layers[0].lastSeen.Load())
	silent := s.open != 0 && now-last >= int64(noPacketsAfter)
	if s.silent.Swap(silent) == silent {
		return false
	}
	if p, here := t.sender.(*Peer); here && silent {
		p.log.Warn("no inbound packets from the participant's microphone", "track_id", t.ID)
	}
	return true
}

// connected reports whether packets of the track could come: its publisher's media flow, or another node is asked for it.
func (t *published) connected() bool {
	if p, here := t.sender.(*Peer); here {
		return p.transport.Ready()
	}
	return t.heard.Load()
}

// silentMicrophones counts the open microphones of this node's participants that send nothing.
func (n *Node) silentMicrophones() (count int) {
	for _, r := range n.snapshot() {
		for _, t := range r.carried() {
			if !t.remote() && t.silence.silent.Load() {
				count++
			}
		}
	}
	return count
}

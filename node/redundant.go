package node

import (
	"fmt"
	"slices"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/sdp"
)

// Voices that come with what was sent before them (RED, RFC 2198) are taken apart as they come: the node forwards, keeps and repairs plain
// Opus, and what was lost on the way here is there again with the next packet.

// mostRedundant is how many repeated packets are looked at, the newest ones. Browsers repeat one or two.
const mostRedundant = 3

// redundant puts RED in front of the formats accepted of a publisher's voice, where the offer repeats nothing but the Opus that was
// accepted: clients send the first format.
func redundant(s *sdp.Section, accepted []sdp.Codec) []sdp.Codec {
	for _, opus := range accepted {
		i := slices.IndexFunc(s.Codecs, func(f sdp.Codec) bool {
			return f.Name == nameRED && f.Parameters == fmt.Sprintf("%d/%[1]d", opus.PayloadType)
		})
		if i >= 0 && s.Kind == "audio" {
			red := s.Codecs[i]
			red.Feedback = nil // the Opus has it
			return append([]sdp.Codec{red}, accepted...)
		}
	}
	return accepted
}

// unwrap leaves of a RED packet what it is there for, and gathers what it repeats that has not come. It reports false for what is no such
// packet; padding, with which browsers probe the bandwidth, is left as it is. mu and l.mu are held.
func (in *ingress) unwrap(l *layer, p *packet.Packet) bool {
	if p.PayloadLen == 0 {
		return true
	}
	red, err := packet.ParseRED(p.Payload())
	if err != nil || in.payloads[red.PayloadType].codec != opus || in.payloads[red.PayloadType].red {
		return false
	}
	for i := max(0, red.Blocks-mostRedundant); i < red.Blocks; i++ {
		block := red.Block(i)
		if len(block.Payload) == 0 || block.PayloadType != red.PayloadType {
			continue
		}
		if r := repeated(l, p, block, uint16(red.Blocks-i)); r != nil {
			in.recovered = append(in.recovered, recovered{l, r})
		}
	}
	p.Replace(red.PayloadType, red.Primary)
	return true
}

// repeated makes the packet that came so many before p out of its repetition, and keeps it, if it has not come. The caller releases it.
func repeated(l *layer, p *packet.Packet, block packet.Redundant, before uint16) *packet.Packet {
	seq, timestamp := p.Sequence-before, p.Timestamp-block.Offset
	if l.cache.Has(seq) {
		return nil
	}
	if q := l.cache.Get(seq - 1); q != nil { // padding has numbers too, but no time of its own: the one that is missing may be of some
		passed := packet.TimestampDiff(timestamp, q.Timestamp) > 0
		q.Release()
		if !passed {
			return nil
		}
	}
	r := packet.Get()
	r.Arrival = p.Arrival
	r.Buf = packet.AppendHeader(r.Buf, false, block.PayloadType, seq, timestamp, p.SSRC, nil)
	r.Buf = append(r.Buf, block.Payload...)
	if r.Unmarshal() != nil || !l.cache.Put(r) {
		r.Release()
		return nil
	}
	return r
}

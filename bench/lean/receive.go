package lean

import (
	"bytes"
	"sort"
	"time"

	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/internal/udp"
	"github.com/parley-sfu/parley/signal/client"
)

// receive works off what has come for the viewer, and reports whether something is missing. The fleet's reader calls it.
func (v *Viewer) receive(ps []udp.Piece) (lacks bool) {
	v.mu.Lock()
	v.receiveLocked(ps)
	packets := v.takeLocked()
	lacks = v.lacks
	v.mu.Unlock()
	v.tell(packets)
	return lacks
}

// takeLocked returns what OnPacket has not been told of yet.
func (v *Viewer) takeLocked() []client.Packet {
	packets := v.packets
	v.packets = nil
	return packets
}

func (v *Viewer) tell(packets []client.Packet) {
	for i := range packets {
		v.opts.OnPacket(packets[i])
	}
}

func (v *Viewer) receiveLocked(ps []udp.Piece) {
	for i := range ps {
		p := &ps[i]
		at := time.Unix(0, p.At)
		p.Datagrams(func(b []byte) { v.datagramLocked(b, p.From, at) })
	}
	if v.lacks {
		v.askLocked(time.Now())
	}
}

func (v *Viewer) datagramLocked(b []byte, from udp.Addr, at time.Time) {
	switch kindOf(b) {
	case kindRTP:
		if from == v.path.chosen {
			v.rtpLocked(b, at)
		}
	case kindSTUN:
		v.path.message(b, from, at, v.sendTo)
		v.openLocked(at)
	case kindDTLS:
		if v.dtls != nil && from == v.path.chosen {
			_, _ = v.dtls.Write(b) // full: DTLS repeats itself
		}
	case kindRTCP, kindOther: // sender reports would tell of lip sync, which nobody here looks at
	}
}

// rtpLocked counts one packet of media.
func (v *Viewer) rtpLocked(b []byte, at time.Time) {
	h, ok := parseHeader(b)
	if !ok {
		return
	}
	to, ok := v.find(h.ssrc)
	if !ok {
		return
	}
	if v.keys == nil {
		if len(v.early) < maxEarly {
			v.early = append(v.early, earlyPacket{bytes.Clone(b), at.UnixNano()})
		}
		return
	}
	s, verify := &v.slots[to.slot], v.opts.OnPacket != nil
	var f found
	if to.repair {
		f = s.rtx(&h, b, v.keys, verify, at)
	} else {
		f = s.rtp(&h, b, v.keys, verify, at)
	}
	v.lacks = v.lacks || s.loss.Missing() > 0 || s.picture.waits()
	if f.forged {
		v.forged++
	}
	if !f.fresh {
		return
	}
	v.noteLocked(s.video, f.shown, at)
	if verify && len(f.payload) > 0 {
		v.packets = append(v.packets, s.packet(&h, &f, at))
	}
}

// noteLocked measures the first sound and the first picture.
func (v *Viewer) noteLocked(video bool, shown int, at time.Time) {
	switch {
	case !video && v.timings.FirstAudio == 0:
		v.timings.FirstAudio = v.timings.Join + max(1, at.Sub(v.began.Round(0)))
	case video && shown > 0 && v.timings.FirstVideo == 0:
		v.timings.FirstVideo = v.timings.Join + max(1, at.Sub(v.began.Round(0)))
	}
}

func (v *Viewer) find(ssrc uint32) (place, bool) {
	i := sort.Search(len(v.streams), func(i int) bool { return v.streams[i].ssrc >= ssrc })
	if i == len(v.streams) || v.streams[i].ssrc != ssrc {
		return place{}, false
	}
	return v.streams[i], true
}

// unlock makes the keys known and works off what came too early.
func (v *Viewer) unlock(k *keys) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys = k
	for _, p := range v.early {
		v.rtpLocked(p.b, time.Unix(0, p.at))
	}
	v.early = nil
	now := time.Now()
	v.reportAt = now.Add(v.opts.reportEvery())
	v.due.Store(now.UnixNano()) // the reader tells of them: nobody else does, so that they stay in their order
}

func (v *Viewer) openLocked(now time.Time) {
	if !v.opened && v.path.open(now) {
		v.opened = true
		close(v.ready)
	}
}

// tend does what time demands: checks, reports, and asking again. The fleet's reader calls it when it is due.
func (v *Viewer) tend(now time.Time) {
	packets, silent := v.attend(now)
	v.tell(packets)
	if silent {
		v.lost(ErrSilent)
	}
}

func (v *Viewer) attend(now time.Time) (packets []client.Packet, silent bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	silent = v.path.due(now, v.sendTo)
	v.openLocked(now)
	next := v.path.next
	if v.keys != nil {
		if !now.Before(v.reportAt) {
			v.reportAt = now.Add(v.opts.reportEvery())
			v.sendRTCPLocked(v.reportsLocked())
		}
		if v.reportAt.Before(next) {
			next = v.reportAt
		}
	}
	v.due.Store(next.UnixNano())
	if v.lacks {
		v.askLocked(now)
	}
	return v.takeLocked(), silent
}

// askLocked asks for what is missing.
func (v *Viewer) askLocked(now time.Time) {
	var wishes []rtcp.Packet
	wishes, v.lacks = v.wishesLocked(now)
	v.sendRTCPLocked(wishes)
	if again := now.Add(tendAgain).UnixNano(); v.lacks && again < v.due.Load() {
		v.due.Store(again)
	}
}

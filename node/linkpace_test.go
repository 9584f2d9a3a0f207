package node

import (
	"testing"

	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
)

// TestPacedLink: what waits in a link's pacer comes in order and whole.
func TestPacedLink(t *testing.T) {
	w, _, bob, _ := across(t)
	a := w.nodes["node-a"]
	r := a.relay("node-b")
	t.Cleanup(pacedAlways(a, &r.pacer))
	eventually(t, "something waits", func() bool { return r.pacer.full(0) })
	last := bob.next().SequenceNumber
	for range 200 {
		p := bob.next()
		if got := packet.SeqDiff(p.SequenceNumber, last); got != 1 {
			t.Fatalf("%d packets on from the last, want 1", got)
		}
		last = p.SequenceNumber
	}
}

// lone is a layer over a link that is not there, 6 kB of which wait: more than three times what may.
func lone() *outletStream {
	l := &layer{rank: 1}
	o := &outlet{relay: &relay{}, track: &published{Track: Track{Kind: Video}, layers: []*layer{{}, l}}}
	o.relay.pacer.set(true, bandwidth.Pacing{Rate: 8_000_000, Estimate: 8_000_000, Queue: 1000}, 0)
	o.relay.pacer.bytes = 6000
	o.sends.Store(1 << l.rank)
	return &outletStream{outlet: o, layer: l, media: rtc.Stream{SSRC: 7}}
}

// TestPacedLinkLosesWhatIsTooMuch: what comes to a link for which too much waits is lost.
func TestPacedLinkLosesWhatIsTooMuch(t *testing.T) {
	s := lone()
	if buf := make([]byte, 100); s.dispatch(nil, &s.media, buf, 12, len(buf), bandwidth.Media, 0) || s.outlet.relay.pacer.bytes != 6000 {
		t.Error("it waits")
	}
}

// TestPacedLinkForgets: of a layer that has been given up nothing that waits leaves, nor what waits under an SSRC that has been replaced.
func TestPacedLinkForgets(t *testing.T) {
	s := lone()
	waits := func() *held {
		return &held{from: s, stream: &s.media, layer: s.layer, packet: append([]byte{8: 0, 11: 7}, make([]byte, 88)...)}
	}
	h := waits()
	if s.empty(h) || h.late || len(h.packet) != 100 {
		t.Error("it is emptied while it is wanted")
	}
	s.media.SSRC = 8
	s.depart(h, nil, 0) // panics if it leaves: there is no link
	s.media.SSRC = 7
	s.outlet.sends.Store(1)
	s.depart(h, nil, 0)
	if !s.empty(h) || !h.late || len(h.packet) != 0 {
		t.Error("it is not emptied when it has been given up")
	}
	s.outlet.sends.Store(3)
	if !s.empty(h) || !h.late {
		t.Error("what has been emptied is to leave")
	}
}

// TestEmptyLinkIsProbed: padding finds out that there is room again also where nothing is sent of what is asked for.
func TestEmptyLinkIsProbed(t *testing.T) {
	w, _, _, camera := across(t)
	a := w.nodes["node-a"]
	r := a.relay("node-b")
	r.outlet(feedKey{camera.ID, "node-a"}).sends.Store(0)
	out := a.takeBatch()
	defer a.giveBatch(out)
	if sent := r.fill(r.way.Load(), 1000, a.endpoint.Now(), out); sent < 1000 {
		t.Errorf("%d bytes of padding are sent, want 1000", sent)
	}
}

package node

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNarrowLink: when a link is cut to half of what goes over it no voice suffers, layers fall, those of who speaks last, and of the others those with the
// higher priority later; and all come back when it is wide again.
func TestNarrowLink(t *testing.T) {
	const cameras, half = 3, 1_650_000
	w := regions(t, 20*time.Millisecond, "eu-1", "us-1")
	voice := w.talkers("eu-1", 9, 1, 30)[0]
	var tracks []Track
	for i := range cameras {
		c := join(t, w.nodes["eu-1"], fmt.Sprintf("pt_%d", i))
		c.more = [maxLayers]int{-350, 0, 800} // with the headers 0.2, 0.5 and 1.1 Mbit/s
		tracks = append(tracks, c.obey(3))
	}
	bob := join(t, w.nodes["us-1"], "pt_bob")
	bob.slots(cameras)
	bob.hears(1)
	bob.offerWith(unmeasured)
	for _, track := range append(tracks, voice.peer.Tracks()[0]) {
		w.nodes["us-1"].AddRemote("mtg_1", track, "eu-1")
	}
	wish := Subscription{}
	for i, mid := range slotMIDs(bob, Video) {
		wish.Slots = append(wish.Slots, SlotRequest{MID: mid, TrackID: tracks[i].ID, Priority: 1 + i})
	}
	if err := bob.peer.Subscribe(wish); err != nil {
		t.Fatal(err)
	}
	layers := func() (of [cameras]string) {
		bob.events.mu.Lock()
		defer bob.events.mu.Unlock()
		for i, track := range tracks {
			if at := slices.IndexFunc(bob.events.slots, func(s Slot) bool { return s.TrackID == track.ID }); at >= 0 {
				of[i] = bob.events.slots[at].Layer
			}
		}
		return of
	}
	full := func() bool { bob.drain(0); return layers() == [cameras]string{"f", "f", "f"} }
	eventually(t, "everything is shown", full)
	heard := map[uint32]bool{}
	listen := func(within time.Duration) (pictures int) {
		over := time.After(within)
		for {
			select {
			case p := <-bob.media:
				if len(p.Payload) == 5 {
					heard[binary.BigEndian.Uint32(p.Payload[1:])] = true
				} else {
					pictures++
				}
			case <-over:
				return pictures
			}
		}
	}
	listen(3 * time.Second)
	clear(heard)
	w.nodes["eu-1"].roomOf("mtg_1").spoke([]Speaker{{ParticipantID: "pt_1"}}) // behind the voice, which is still the only one
	eu := w.nodes["eu-1"].relay("us-1")
	known := func() string { return fmt.Sprintf("%+v", eu.way.Load().known()) }
	t.Logf("wide: %v, %s", layers(), known())
	w.narrow("eu-1", "us-1", half)
	rank := func(layer string) int { return strings.Index("qhf", layer) }
	var queues []time.Duration
	var counts []int
	first, second := 0, 0
	for i := range 8 {
		pictures := listen(time.Second)
		queue := w.narrow("eu-1", "us-1", half)
		if i > 2 {
			queues, counts = append(queues, queue), append(counts, pictures)
			of := layers()
			if max(rank(of[0]), rank(of[2])) <= rank(of[1]) {
				first++
			}
			if rank(of[0]) <= rank(of[2]) {
				second++
			}
		}
		t.Logf("narrow for %d s: %v, %d pictures, queue %v, %s", i+1, layers(), pictures, queue, known())
	}
	w.narrow("eu-1", "us-1", 0)
	oldest, newest := slices.Min(slices.Collect(maps.Keys(heard))), slices.Max(slices.Collect(maps.Keys(heard)))
	lost, of := int(newest-oldest)+1-len(heard), int(newest-oldest)+1
	t.Logf("%d of %d packets of the voice are missing", lost, of)
	if lost*100 > of { // none, where the machine lets the nodes look in time
		t.Error("the voice suffers")
	}
	slices.Sort(queues)
	slices.Sort(counts)
	if queues[2] > 100*time.Millisecond || counts[2] < 100 || first < 3 || second < 3 {
		t.Errorf("from the fourth second on queues are %v, pictures a second %v, and who speaks is first in %d of 5, who is preferred second in %d", queues, counts, first, second)
	}
	began := time.Now()
	eventually(t, "everything is shown again", full)
	t.Logf("all back %v after the link is wide again: %s", time.Since(began), known())
}

// slotMIDs are the slots of a kind.
func slotMIDs(c *client, kind Kind) (mids []string) {
	for _, s := range c.peer.Slots() {
		if s.Kind == kind {
			mids = append(mids, s.MID)
		}
	}
	return mids
}

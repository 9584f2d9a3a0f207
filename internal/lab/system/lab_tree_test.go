package system_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// Nine nodes in three regions, six who publish and sixty who watch, fewer in a short run: everybody gets media, and each link between regions
// carries one copy of the layers that are wanted on its other side, however many watch there. Four of six voices are chosen, and everybody has
// slots for those: who they are may change while links are measured, and with it what each link carries, but not what all of them do.
func TestLabTree(t *testing.T) {
	const bound = 1.03
	watchers := either(60, 12) // two processors that have become slow carry no more: packets are late then, and links tell more of them
	watch := 2 * howMuch().watch
	w := lab.StartWorld(t, lab.Overseas(), 3, "eu", "us", "ap")
	meeting := w.NewMeeting(t, "Nine nodes").ID
	var speakers []*speaker
	for i := range 6 {
		r := w.Regions[i%3]
		speakers = append(speakers, speak(t, r.Nodes[i/3], meeting, fmt.Sprint("Speaker ", i+1)))
	}
	look := func(i int) *person {
		r := w.Regions[i%3]
		p := attendWith(t, r.Nodes[i/3%3], meeting, fmt.Sprint("Watcher ", i+1), client.JoinOptions{Role: "viewer"}, client.Options{VideoSlots: len(speakers), AudioSlots: 4})
		if small(r) {
			var slots []wire.SlotRequest
			for _, s := range p.SlotStats() {
				if s.Slot.Kind == "video" {
					slots = append(slots, wire.SlotRequest{MID: s.Slot.MID, MaxWidth: 320, MaxHeight: 180})
				}
			}
			if err := p.Subscribe(t.Context(), slots...); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	figures := newTable(t, "watching", "link", "kbit/s", "of that wanted", "bound", "")
	measure := func(watching int) (all float64) {
		time.Sleep(7 * time.Second) // for parents to be chosen, and for layers that are not wanted any more to stop
		before := countLinks(w, speakers)
		time.Sleep(watch) // long enough for what happens to be lost, and is repaired, to be about as much as on average
		for link, now := range countLinks(w, speakers) {
			count := linkCount{now.carried - before[link].carried, now.wanted - before[link].wanted}
			rate := float64(count.carried) * 8 / 1000 / watch.Seconds()
			all += rate
			judge(t, figures, count.excess() <= bound, watching, link, fmt.Sprintf("%.0f", rate), fmt.Sprintf("× %.3f", count.excess()), fmt.Sprintf("× %.2f", bound))
		}
		return all
	}

	people := []*person{look(0), look(1), look(2)}
	awaitAll(t, people, speakers)
	few := measure(len(people))
	start := time.Now()
	for i := len(people); i < watchers; i++ {
		people = append(people, look(i))
	}
	joined := time.Since(start)
	awaitAll(t, people, speakers)
	many := measure(len(people))
	judge(t, figures, many <= few*bound, watchers, "all, of what they did with 3", fmt.Sprintf("%.0f", many), fmt.Sprintf("× %.3f", many/few), fmt.Sprintf("× %.2f", bound))
	figures.add(watchers, "they joined within", joined, "", "", "")
	lab.Until(t, 10*time.Second, "everybody knows everybody", func() bool {
		for _, p := range people {
			if len(p.Participants()) != len(people)+len(speakers) {
				return false
			}
		}
		return true
	})
}

// small says whether the people of a region show small pictures only.
func small(r *lab.Region) bool { return r.Name == "ap" }

// speaker is somebody who publishes and watches nothing.
type speaker struct {
	*client.Client
	region             *lab.Region
	camera, microphone *client.Publication
}

func speak(tb testing.TB, n *lab.Node, meeting, name string) *speaker {
	tb.Helper()
	s := &speaker{region: n.Region, camera: camera(tb), microphone: client.NewMicrophone(clip(tb, "tone.ogg").Loop(), nil)}
	s.Client = n.Region.Join(tb, n, meeting, client.JoinOptions{DisplayName: name}, client.Options{
		VideoSlots: client.NoSlots, AudioSlots: client.NoSlots, Publish: []*client.Publication{s.camera, s.microphone},
	})
	go drain(s.Client)
	return s
}

// awaitAll waits until everybody gets the picture of every speaker and the sound of somebody.
func awaitAll(tb testing.TB, people []*person, speakers []*speaker) {
	tb.Helper()
	mark(people)
	for _, p := range people {
		lab.Until(tb, 30*time.Second, p.name+" hears somebody", func() bool {
			for _, s := range speakers {
				if p.watch.of(s.Self().ID, "audio").packets > 10 {
					return true
				}
			}
			return false
		})
		for _, s := range speakers {
			lab.Until(tb, 30*time.Second, p.name+" sees "+s.Self().DisplayName, func() bool {
				return p.watch.of(s.Self().ID, "video").packets > 10
			})
		}
	}
}

// linkCount is what went from one region to another, in bytes on the wire, and what had to.
type linkCount struct{ carried, wanted int }

// excess is how many times as much went as had to.
func (c linkCount) excess() float64 { return float64(c.carried) / float64(c.wanted) }

// countLinks counts what went between each two regions so far, as the interface between them counts: with IP and UDP.
func countLinks(w *lab.World, speakers []*speaker) map[string]linkCount {
	const (
		headers = 20 + 8 + 12 + 16 // IP, UDP, RTP, and the tag of AES-GCM
		level   = 8                // the header extension for loudness
	)
	counts := map[string]linkCount{}
	for _, from := range w.Regions {
		for _, to := range w.Regions {
			if from == to {
				continue
			}
			c := linkCount{carried: w.WAN.Count(lab.MediaBetween(from, to)).Bytes}
			for _, s := range speakers {
				if s.region != from {
					continue
				}
				layer := s.camera.Sent()[2]
				if small(to) {
					layer = s.camera.Sent()[1]
				}
				sound := s.microphone.Sent()[0]
				c.wanted += int(layer.Bytes+layer.Packets*headers) + int(sound.Bytes+sound.Packets*(headers+level))
			}
			counts[from.Name+" → "+to.Name] = c
		}
	}
	return counts
}

package system_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// film brings a browser with a camera into the stage's meeting, beside its node, until end is called.
func (s *stage) film() (end func()) {
	t := s.t
	t.Helper()
	s.films++
	dir, over := t.TempDir(), make(chan struct{})
	go func() {
		defer close(over)
		lab.Browse(t, s.node, "camera.test.mjs", s.node.Region.Namespace, 5*time.Minute, "LAB_JOIN_URL="+s.meeting.JoinURL, "CAMERA_DIR="+dir)
	}()
	end = sync.OnceFunc(func() {
		if err := os.WriteFile(filepath.Join(dir, "end"), nil, 0o600); err != nil {
			t.Error(err)
		}
		<-over
	})
	t.Cleanup(end)
	return end
}

// wanted is how many bit/s the meeting's participant would be sent if there were room, as the node says.
func (s *stage) wanted(participant string) int {
	s.t.Helper()
	var all struct {
		Participants []struct {
			ID        string `json:"id"`
			Bandwidth struct {
				Wanted int `json:"wanted"`
			} `json:"bandwidth"`
		} `json:"participants"`
	}
	s.node.Call(s.t, http.MethodGet, "/v1/meetings/"+s.meeting.ID+"/participants", nil, &all)
	for _, one := range all.Participants {
		if one.ID == participant {
			return one.Bandwidth.Wanted
		}
	}
	return 0
}

// pictured is what a receiver of one camera got in a time.
type pictured struct {
	rate        float64 // frames a second
	width       int     // largest
	small       float64 // share of the time with a smaller one
	nacks, plis int
	frozen      float64 // seconds
}

// picturedBetween looks at the only stream of pictures that anything came of.
func picturedBetween(looks []glance, from, to time.Time) (p pictured) {
	var first, last *stream
	var begun, ended, seen float64
	widths := map[int]float64{}
	for _, look := range within(looks, from, to) {
		for _, s := range look.Streams {
			if s.Kind != "video" || s.Frames == 0 {
				continue
			}
			if first == nil {
				first, begun = &s, look.At
			}
			last, ended = &s, look.At
			widths[s.Width]++
			p.width, seen = max(p.width, s.Width), seen+1
		}
	}
	if first == nil || ended == begun {
		return pictured{}
	}
	p.small = 1 - widths[p.width]/seen
	p.rate = float64(last.Frames-first.Frames) / (ended - begun) * 1000
	p.nacks, p.plis, p.frozen = last.Nacks-first.Nacks, last.PLIs-first.PLIs, last.Frozen-first.Frozen
	return p
}

// thinned is what is promised of a picture that comes at half of its frame rate.
type thinned struct {
	each, judged time.Duration // each way stays so long, of which the end is judged
	low, high    float64       // share of the frame rate
	frozen       float64       // seconds
	small        float64       // share of the time
}

// TestLabBandwidthThinned: a browser films, another watches over a way that carries 85 % of it, and gets half of the pictures in the same
// size, without a freeze and without asking for anything again.
func TestLabBandwidthThinned(t *testing.T) {
	bound := either(thinned{15 * time.Second, 8 * time.Second, 0.45, 0.55, 0, 0}, thinned{9 * time.Second, 4 * time.Second, 0.3, 0.75, 2, 0.5})
	s := newStage(t, openWay(), 0, false)
	end := s.film()
	who := s.browse("")
	time.Sleep(10 * time.Second) // what is wanted is a guess at first, and then what a browser sends that has just begun to
	lab.Until(t, 2*time.Minute, "the browser sends as much as it likes to", func() bool { return s.wanted(who.id) > 900_000 })
	whole := s.wanted(who.id)
	var ends []time.Time
	for _, down := range []lab.Path{openWay(), stepWay(whole * 17 / 20), openWay()} {
		s.shape(down)
		time.Sleep(bound.each)
		ends = append(ends, time.Now())
	}
	looks := who.finish()
	end()
	tellLate(t, s.world)
	figures := newTable(t, "way", "pictures a second", "width", "smaller", "frozen, s", "keyframes asked for", "packets asked for again", "")
	open := picturedBetween(looks, ends[0].Add(-bound.judged), ends[0])
	for i, name := range []string{"open", "85 % of " + megabits(float64(whole)), "open again"} {
		p := picturedBetween(looks, ends[i].Add(-bound.judged), ends[i])
		low, high := bound.high, 2.0
		if i == 1 {
			low, high = bound.low, bound.high
		}
		same := p.width == open.width && p.small <= bound.small && p.frozen <= bound.frozen
		good := same && p.plis == 0 && p.nacks == 0 && p.rate > low*open.rate && p.rate < high*open.rate
		judge(t, figures, good, name, fmt.Sprintf("%.1f", p.rate), p.width, percent(p.small), fmt.Sprintf("%.2f", p.frozen), p.plis, p.nacks)
	}
}

package system_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// roamer is somebody at home who may change networks, and what everybody was told meanwhile.
type roamer struct {
	*person
	home *lab.Home
}

// chronicle keeps what a client was told of people and tracks, and of its own state.
type chronicle struct {
	mu    sync.Mutex
	told  []string // about others
	state []string // about itself
}

// keep reads the client's events until it has stopped.
func (c *chronicle) keep(of *client.Client) {
	for e := range of.Events() {
		c.mu.Lock()
		switch e := e.(type) {
		case client.ParticipantsLeft, client.ParticipantsJoined, client.TrackPublished, client.TrackUnpublished:
			c.told = append(c.told, strings.TrimPrefix(fmt.Sprintf("%T", e), "client."))
		case client.StateChanged:
			c.state = append(c.state, string(e.State))
		case client.MediaStateChanged:
			c.state = append(c.state, "media "+string(e.State))
		}
		c.mu.Unlock()
	}
}

// news takes what was told since the last call.
func (c *chronicle) news() (told, state []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told, state = c.told, c.state
	c.told, c.state = nil, nil
	return told, state
}

// pairing is two people in a meeting, one of whom may change networks.
type pairing struct {
	stays  *person
	roams  *roamer
	stayed *chronicle
	roamed *chronicle
}

// startCall lets somebody in a region and somebody at home see and hear each other.
func startCall(t *testing.T, w *lab.World, access lab.Access) *pairing {
	t.Helper()
	n := w.Nodes()[0]
	meeting := w.NewMeeting(t, "On the way")
	home := lab.NewHome(t, w, access)
	c := &pairing{stayed: &chronicle{}, roamed: &chronicle{}}
	options := func(p *person) client.Options {
		return client.Options{
			Publish:    []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
			VideoSlots: 2, AudioSlots: 2, OnPacket: p.watch.packet,
		}
	}
	c.stays = &person{name: "who stays", node: n, sends: true, watch: newMediaWatch()}
	c.stays.Client = n.Region.Join(t, n, meeting.ID, client.JoinOptions{DisplayName: c.stays.name}, options(c.stays))
	go c.stayed.keep(c.stays.Client)
	c.roams = &roamer{&person{name: "who roams", node: n, sends: true, watch: newMediaWatch()}, home}
	c.roams.Client = home.Join(t, n, meeting.ID, client.JoinOptions{DisplayName: c.roams.name}, options(c.roams.person))
	go c.roamed.keep(c.roams.Client)
	awaitMedia(t, 20*time.Second, c.stays, c.roams.person)
	c.stayed.news()
	c.roamed.news()
	return c
}

// back waits until everything flows again that flowed before, and returns how long after a moment the first packet of the
// slowest way came.
func (c *pairing) back(t *testing.T, limit time.Duration, since time.Time) time.Duration {
	t.Helper()
	var slowest time.Duration
	for _, f := range flows([]*person{c.stays, c.roams.person}, nil) {
		if !(milestone{is: func() bool { return f.now().packets > 0 }}).await(limit).reached {
			_, state := c.roamed.news()
			t.Fatalf("%s did not come back within %s: %v, %s", f, limit, state, c.roams.State())
		}
		slowest = max(slowest, f.now().first.Sub(since))
	}
	return slowest
}

// again waits until everything has come again after what it was interrupted by, and returns the longest silence since a moment. What
// was on its way then does not count.
func (c *pairing) again(t *testing.T, limit time.Duration, since time.Time) time.Duration {
	t.Helper()
	const underWay = 100 * time.Millisecond
	var slowest time.Duration
	for _, f := range flows([]*person{c.stays, c.roams.person}, nil) {
		went := milestone{is: func() bool {
			now := f.now()
			return now.packets > 0 && now.last.After(since.Add(underWay)) && time.Since(now.last) < underWay/2
		}}
		if !went.await(limit).reached {
			t.Fatalf("%s did not go on within %s", f, limit)
		}
	}
	time.Sleep(time.Second)
	for _, f := range flows([]*person{c.stays, c.roams.person}, nil) {
		slowest = max(slowest, f.now().longest)
	}
	return slowest
}

// unchanged says what was noticed that nobody should notice.
func (c *pairing) unchanged(before string) (faults []string) {
	if told, _ := c.stayed.news(); len(told) > 0 {
		faults = append(faults, fmt.Sprintf("who stays was told of %v", told))
	}
	if now := c.identity(); now != before {
		faults = append(faults, fmt.Sprintf("%s is now %s", before, now))
	}
	return faults
}

// identity is what others know somebody by: the participant, its tracks, and its media connection.
func (c *pairing) identity() string {
	var tracks []string
	for _, track := range c.stays.Tracks() {
		tracks = append(tracks, track.ID)
	}
	slices.Sort(tracks)
	return fmt.Sprint(c.roams.Self().ID, tracks, len(c.stays.Participants()))
}

func (c *pairing) markNow() { mark([]*person{c.stays, c.roams.person}) }

// Somebody changes networks in the middle of the call, with and without a time in between: they are back by themselves, as the
// same participant with the same tracks, and nobody sees them leave or come.
func TestLabChangeOfNetwork(t *testing.T) {
	const bound = 2 * time.Second
	w := lab.StartWorld(t, lab.Path{}, 1, "eu")
	access := []lab.Access{
		lab.PortRestricted().Over(lab.Path{Delay: 10 * time.Millisecond}),
		lab.Symmetric().Over(lab.Path{Delay: 30 * time.Millisecond}),
	}
	c := startCall(t, w, access[0])
	before := c.identity()
	figures := newTable(t, "without a network for", "changes", "media back both ways, p50", "p95", "max", "bound", "")
	for _, gap := range []time.Duration{0, time.Second, 5 * time.Second} {
		var took []time.Duration
		for i := range howMuch().moves {
			c.roams.home.Leave(t)
			if gap > 0 {
				time.Sleep(gap)
			}
			c.markNow()
			c.roams.home.Enter(t, access[(i+1)%2])
			up := time.Now()
			back := c.back(t, 20*time.Second, up)
			took = append(took, back)
			_, state := c.roamed.news()
			t.Logf("%s: back after %s: %v", gap, back, state)
			awaitMedia(t, 10*time.Second, c.stays, c.roams.person)
			for _, fault := range c.unchanged(before) {
				t.Error(fault)
			}
		}
		p95 := percentile(took, 95)
		figures.add(gap, len(took), percentile(took, 50), p95, slices.Max(took), bound, verdict(p95 <= bound))
		if p95 > bound {
			t.Errorf("after %s without a network media was back after %s", gap, p95)
		}
	}
}

// A browser changes networks. The page comes back by itself: it is the same participant over the same connection, and media flow
// both ways as soon as with a Go client.
func TestLabBrowserChangesNetwork(t *testing.T) {
	const bound = 2 * time.Second
	gaps := []time.Duration{0, time.Second, 5 * time.Second}
	w := lab.StartWorld(t, lab.Path{}, 1, "eu")
	n := w.Nodes()[0]
	meeting := w.NewMeeting(t, "A browser on the way")
	access := lab.PortRestricted().Over(lab.Path{Delay: 10 * time.Millisecond})
	home := lab.NewHome(t, w, access)
	stays, told := &person{name: "who stays", node: n, sends: true, watch: newMediaWatch()}, &chronicle{}
	stays.Client = n.Region.Join(t, n, meeting.ID, client.JoinOptions{DisplayName: stays.name}, client.Options{
		Publish:    []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
		VideoSlots: 2, AudioSlots: 2, OnPacket: stays.watch.packet,
	})
	go told.keep(stays.Client)
	moves := len(gaps) * howMuch().moves
	dir, over := t.TempDir(), make(chan struct{})
	go func() {
		defer close(over)
		lab.Browse(t, n, "roam.test.mjs", home.Namespace, 10*time.Minute,
			"ROAM_DIR="+dir, "ROAM_MOVES="+fmt.Sprint(moves), "LAB_JOIN_URL="+meeting.JoinURL)
	}()
	heard := func(name string) (content []byte) {
		lab.Until(t, time.Minute, "the browser writes "+name, func() bool {
			select {
			case <-over:
				t.Fatal("the browser has ended")
			default:
			}
			var err error
			content, err = os.ReadFile(filepath.Join(dir, name))
			return err == nil && len(content) > 0
		})
		return content
	}
	say := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name+".part"), fmt.Append(nil, time.Now().UnixMilli()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".part"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	guest := string(heard("joined"))
	receives := func(kind string) milestone {
		return milestone{is: func() bool { return stays.watch.of(guest, kind).packets > 0 }}
	}
	if !receives("video").await(20*time.Second).reached || !receives("audio").await(20*time.Second).reached {
		t.Fatal("the browser sends nothing")
	}
	told.news()
	tracks := len(stays.Tracks())
	figures := newTable(t, "without a network for", "others receive again after", "the browser gets sound", "picture", "shows frames")
	took := make(map[time.Duration][]time.Duration)
	for i := range moves {
		gap := gaps[i%len(gaps)]
		say(fmt.Sprint("down-", i))
		home.Leave(t)
		time.Sleep(gap)
		stays.watch.mark()
		home.Enter(t, access)
		up := time.Now()
		say(fmt.Sprint("up-", i))
		var back time.Duration
		for _, kind := range []string{"video", "audio"} {
			if !receives(kind).await(30 * time.Second).reached {
				t.Fatalf("no %s of the browser within 30 s", kind)
			}
			back = max(back, stays.watch.of(guest, kind).first.Sub(up))
		}
		var shown struct{ Sound, Picture, Frames time.Duration } // in milliseconds
		if err := json.Unmarshal(heard(fmt.Sprint("back-", i)), &shown); err != nil {
			t.Fatal(err)
		}
		figures.add(gap, back, shown.Sound*time.Millisecond, shown.Picture*time.Millisecond, shown.Frames*time.Millisecond)
		took[gap] = append(took[gap], max(back, shown.Sound*time.Millisecond, shown.Picture*time.Millisecond))
		time.Sleep(time.Second) // as long as one needs for a sentence
	}
	if seen, _ := told.news(); len(seen) > 0 || len(stays.Tracks()) != tracks {
		t.Errorf("who stays was told of %v, and knows %d tracks of %d", seen, len(stays.Tracks()), tracks)
	}
	say("end")
	<-over
	summary := newTable(t, "without a network for", "changes", "media back both ways, p50", "p95", "max", "bound", "")
	for _, gap := range gaps {
		p95 := percentile(took[gap], 95)
		summary.add(gap, len(took[gap]), percentile(took[gap], 50), p95, slices.Max(took[gap]), bound, verdict(p95 <= bound))
		if p95 > bound {
			t.Errorf("after %s without a network media was back after %s", gap, p95)
		}
	}
}

// A home's router gives the media another port in the middle of the call. The server follows, and nobody asks for anything: the
// socket lives on, and no ICE restart is made.
func TestLabRebinding(t *testing.T) {
	const bound = 1500 * time.Millisecond
	w := lab.StartWorld(t, lab.Path{}, 1, "eu")
	figures := newTable(t, "NAT", "times", "media back both ways, p50", "max", "bound", "")
	for _, access := range []lab.Access{lab.FullCone(), lab.PortRestricted()} {
		c := startCall(t, w, access.Over(lab.Path{Delay: 10 * time.Millisecond}))
		before := c.identity()
		var took []time.Duration
		for range howMuch().moves {
			c.markNow()
			at := time.Now()
			c.roams.home.Rebind(t)
			took = append(took, c.again(t, 10*time.Second, at))
			awaitMedia(t, 10*time.Second, c.stays, c.roams.person)
			for _, fault := range c.unchanged(before) {
				t.Error(fault)
			}
		}
		if _, state := c.roamed.news(); len(state) > 0 {
			t.Errorf("the client did something about it: %v", state)
		}
		worst := slices.Max(took)
		figures.add(access.Name, len(took), percentile(took, 50), worst, bound, verdict(worst <= bound))
		if worst > bound {
			t.Errorf("%s: media was back after %s", access.Name, worst)
		}
	}
}

// Somebody is without a network for long. Within the time that the server keeps a place nobody notices; after it they have left,
// and join again by themselves, under the same id.
func TestLabLongAbsence(t *testing.T) {
	w := lab.StartWorld(t, lab.Path{}, 1, "eu")
	access := lab.PortRestricted().Over(lab.Path{Delay: 10 * time.Millisecond})
	c := startCall(t, w, access)
	before, id := c.identity(), c.roams.Self().ID
	away := howMuch().away
	c.roams.home.Leave(t)
	time.Sleep(away)
	c.markNow()
	c.roams.home.Enter(t, access)
	back := c.back(t, 30*time.Second, time.Now())
	awaitRoster(t, 10*time.Second, []*person{c.stays, c.roams.person})
	told, _ := c.stayed.news()
	figures := newTable(t, "without a network for", "media back both ways", "the others were told of")
	figures.add(away, back, told)
	if c.roams.Self().ID != id {
		t.Errorf("%s is now %s", id, c.roams.Self().ID)
	}
	if now := c.identity(); away <= keptFor && (len(told) > 0 || now != before) {
		t.Errorf("others were told of %v, and %s is now %s", told, before, now)
	}
}

// keptFor is how long a place is kept for certain: signal.Config.Grace.
const keptFor = 20 * time.Second

// While somebody is away the server is started anew, or dies for good. They come back to it, or to another candidate.
func TestLabServerIsGoneMeanwhile(t *testing.T) {
	figures := newTable(t, "while somebody was away", "media back both ways")
	access := lab.PortRestricted().Over(lab.Path{Delay: 10 * time.Millisecond})
	for _, tc := range []struct {
		name  string
		nodes int
		do    func(n *lab.Node)
	}{
		{"their node was started anew", 1, func(n *lab.Node) {
			n.Kill(t)
			n.Start(t)
			lab.Until(t, 30*time.Second, "the node is ready", func() bool {
				status, err := n.TryCall(t, http.MethodGet, "/readyz", nil, nil)
				return err == nil && status == http.StatusOK
			})
		}},
		{"their node died", 2, func(n *lab.Node) { n.Kill(t) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := lab.StartWorld(t, lab.Path{}, tc.nodes, "eu")
			c := startCall(t, w, access)
			c.roams.home.Leave(t)
			tc.do(c.roams.node)
			c.markNow()
			c.roams.home.Enter(t, access)
			figures.add(tc.name, c.back(t, 30*time.Second, time.Now()))
			awaitRoster(t, 10*time.Second, []*person{c.stays, c.roams.person})
		})
	}
}

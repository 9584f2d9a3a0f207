package bench

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// A Sample is what one second of a run was like.
type Sample struct {
	At           float64 `json:"at_s"` // since measuring began
	In           int     `json:"people"`
	Received     float64 `json:"received_packets_per_s"`
	Missed       uint64  `json:"missed_packets"`
	Lost         uint64  `json:"lost_packets"`
	AudioMedian  float64 `json:"audio_latency_p50_ms"`
	AudioLatency float64 `json:"audio_latency_p99_ms"`
	VideoMedian  float64 `json:"video_latency_p50_ms"`
	VideoLatency float64 `json:"video_latency_p99_ms"`
	ServerCPU    float64 `json:"server_cpu_cores"`
	ServerMB     float64 `json:"server_memory_mb"`
	OwnCPU       float64 `json:"own_cpu_share"` // the largest of all agents'
}

// A Progress is what a run tells of itself while it goes on.
type Progress struct {
	Stage   string
	Elapsed time.Duration // of the stage
	Of      time.Duration // the stage's length, where it is known
	People  int           // who are to come
	Agents  int
	Failed  int
	Sample         // the newest second
	Doing   string // the newest action
}

// A board gathers the pulses of all agents and the readings of the servers into a sample a second, and says how it goes.
type board struct {
	agents, people int
	tell           func(Progress)
	telling        sync.Mutex // one at a time, the oldest first

	mu      sync.Mutex // protects following
	stage   string
	since   time.Time
	of      time.Duration
	doing   string
	latest  map[string]pulse // of each agent
	open    map[int]*second
	samples []Sample
	before  Sample // the sums up to the last sample
	servers map[int][2]float64
}

// second collects what the agents say of one second.
type second struct {
	heard        int
	sum          pulse
	voice, video *tally
}

func newBoard(agents, people int, tell func(Progress)) *board {
	if tell == nil {
		tell = func(Progress) {}
	}
	return &board{agents: agents, people: people, tell: tell, since: time.Now(), latest: map[string]pulse{}, open: map[int]*second{}, servers: map[int][2]float64{}}
}

// enter begins a stage.
func (b *board) enter(stage string, since time.Time, of time.Duration) {
	b.mu.Lock()
	b.stage, b.since, b.of = stage, since, of
	b.mu.Unlock()
	b.show()
}

func (b *board) does(what string) {
	b.mu.Lock()
	b.doing = what
	b.mu.Unlock()
}

// hear takes a pulse.
func (b *board) hear(p pulse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest[p.Agent] = p
	if p.Stage != stageMeasuring || p.Voice == nil || p.Video == nil {
		return
	}
	s := b.open[p.Second]
	if s == nil {
		s = &second{voice: newTally(), video: newTally()}
		b.open[p.Second] = s
	}
	s.heard++
	s.sum.In += p.In
	s.sum.Received, s.sum.Missed, s.sum.Lost = s.sum.Received+p.Received, s.sum.Missed+p.Missed, s.sum.Lost+p.Lost
	s.sum.Own.Share = max(s.sum.Own.Share, p.Own.Share)
	s.voice.merge(p.Voice)
	s.video.merge(p.Video)
	b.closeLocked(p.Second)
}

// closeLocked makes samples of the seconds that are complete, or that a silent agent has held up for long.
func (b *board) closeLocked(newest int) {
	const patience = 5
	for _, at := range slices.Sorted(maps.Keys(b.open)) {
		s := b.open[at]
		if s.heard < b.agents && at > newest-patience {
			return
		}
		delete(b.open, at)
		b.sampleLocked(at, s)
	}
}

func (b *board) sampleLocked(at int, s *second) {
	voice, video := s.voice.spread(), s.video.spread()
	total := Sample{At: float64(at), Received: float64(s.sum.Received), Missed: s.sum.Missed, Lost: s.sum.Lost}
	seconds := max(total.At-b.before.At, 1)
	if at > 0 { // the first only says where it begins
		b.samples = append(b.samples, Sample{
			At: total.At, In: s.sum.In, Received: max(0, total.Received-b.before.Received) / seconds,
			Missed: less(total.Missed, b.before.Missed), Lost: less(total.Lost, b.before.Lost),
			AudioMedian: voice.P50, AudioLatency: voice.P99, VideoMedian: video.P50, VideoLatency: video.P99, OwnCPU: s.sum.Own.Share,
		})
	}
	b.before = total
}

// less is the difference of two sums, none where who moved to another node has begun anew.
func less(a, b uint64) uint64 { return a - min(a, b) }

// serve notes what the servers used in a second.
func (b *board) serve(at int, cores, megabytes float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.servers[at] = [2]float64{cores, megabytes}
}

// series is all samples, completed with what the servers used.
func (b *board) series() []Sample {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closeLocked(1 << 30)
	all := slices.Clone(b.samples)
	slices.SortStableFunc(all, func(x, y Sample) int { return cmp.Compare(x.At, y.At) })
	var used [2]float64
	for i := range all {
		if newer, ok := b.servers[int(all[i].At)]; ok { // else nobody answered then
			used = newer
		}
		all[i].ServerCPU, all[i].ServerMB = used[0], used[1]
	}
	return all
}

// show tells how it goes.
func (b *board) show() {
	b.telling.Lock()
	defer b.telling.Unlock()
	b.mu.Lock()
	p := Progress{Stage: b.stage, Elapsed: max(time.Since(b.since), 0), Of: b.of, People: b.people, Agents: b.agents, Doing: b.doing}
	if n := len(b.samples); n > 0 {
		p.Sample = b.samples[n-1]
		for at := int(p.At); at >= int(p.At)-2 && p.ServerMB == 0; at-- {
			used := b.servers[at]
			p.ServerCPU, p.ServerMB = used[0], used[1]
		}
	}
	p.In, p.OwnCPU = 0, 0
	for _, one := range b.latest {
		p.In += one.In
		p.Failed += one.Failed
		p.OwnCPU = max(p.OwnCPU, one.Own.Share)
	}
	b.mu.Unlock()
	b.tell(p)
}

// shows shows it twice a second until it is stopped.
func (b *board) shows() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				b.show()
			case <-done:
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

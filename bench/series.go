package bench

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// A Sample is what one second of a run was like.
type Sample struct {
	At           float64 `json:"at_s"` // since measuring began
	Received     float64 `json:"received_packets_per_s"`
	Lost         uint64  `json:"lost_packets"`
	AudioLatency float64 `json:"audio_latency_p95_ms"`
	VideoLatency float64 `json:"video_latency_p95_ms"`
	ServerCPU    float64 `json:"server_cpu_cores"`
	ServerMB     float64 `json:"server_memory_mb"`
	OwnCPU       float64 `json:"own_cpu_share"`
}

// sampler looks at a run once a second.
type sampler struct {
	run     *run
	begun   time.Time
	samples []Sample

	last struct {
		at             time.Time
		received, lost uint64
		own            time.Duration
		servers        reading
	}
}

// sample samples until it is stopped, which returns the samples.
func (r *run) sample(ctx context.Context, servers reading) (stop func() []Sample) {
	s := &sampler{run: r, begun: time.Now()}
	s.last.at, s.last.own, s.last.servers = s.begun, ownCPU(), servers
	s.last.received, s.last.lost = r.counted()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.look(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() []Sample {
		cancel()
		wg.Wait()
		return s.samples
	}
}

// look takes one sample.
func (s *sampler) look(ctx context.Context) {
	now, own := time.Now(), ownCPU()
	servers, err := s.run.rest.read(ctx, s.run.plan.Metrics)
	if err != nil {
		return // a server that does not answer is a gap in the plot
	}
	received, lost := s.run.counted()
	seconds := now.Sub(s.last.at).Seconds()
	audio, video := s.run.latest()
	s.samples = append(s.samples, Sample{
		At: now.Sub(s.begun).Seconds(), Received: float64(received-s.last.received) / seconds, Lost: lost - s.last.lost,
		AudioLatency: audio.P95, VideoLatency: video.P95,
		ServerCPU: (servers.cpu - s.last.servers.cpu) / servers.at.Sub(s.last.servers.at).Seconds(), ServerMB: servers.memory / 1e6,
		OwnCPU: (own - s.last.own).Seconds() / seconds / float64(runtime.NumCPU()),
	})
	s.last.at, s.last.own, s.last.servers, s.last.received, s.last.lost = now, own, servers, received, lost
}

// counted is what all viewers have received and lost so far.
func (r *run) counted() (received, lost uint64) {
	for _, p := range r.people {
		if p.sends {
			continue
		}
		for _, s := range p.SlotStats() {
			received, lost = received+s.Packets, lost+s.Lost
		}
	}
	return received, lost
}

// latest is the latency in all rooms since it was last asked for.
func (r *run) latest() (audio, video Spread) {
	a, v := newTally(), newTally()
	for _, room := range r.rooms {
		room.audio.recent(a)
		room.video.recent(v)
	}
	return a.spread(), v.spread()
}

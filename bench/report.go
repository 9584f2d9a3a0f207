package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// validCPU is the share of all CPUs that a run may use itself: above it what it measures is its own slowness.
const validCPU = 0.8

// A Report is what a run found. Times are in milliseconds.
type Report struct {
	Valid bool   `json:"valid"`
	Why   string `json:"why,omitempty"` // it is not valid

	Rooms      int     `json:"rooms"`
	Publishers int     `json:"publishers"` // in all rooms
	Viewers    int     `json:"viewers"`    // in all rooms
	Failed     int     `json:"failed_joins"`
	Throttled  int     `json:"throttled_joins"` // answers of 429 that were waited out
	Reconnects int     `json:"reconnects"`
	JoinedIn   float64 `json:"joined_in_s"`
	Seconds    float64 `json:"measured_s"`

	Join       Spread `json:"join_ms"`
	Socket     Spread `json:"websocket_ms"`
	Answer     Spread `json:"offer_answer_ms"`
	ICE        Spread `json:"ice_ms"`
	DTLS       Spread `json:"dtls_ms"`
	FirstAudio Spread `json:"first_audio_ms"`
	FirstFrame Spread `json:"first_frame_ms"`

	Latency      Spread `json:"latency_ms"` // of all media, from the publisher's stamp to the viewer
	AudioLatency Spread `json:"audio_latency_ms"`
	VideoLatency Spread `json:"video_latency_ms"`
	Event        Spread `json:"event_ms"` // from a raised hand to everybody who is told

	Received    uint64  `json:"received_packets"` // by viewers, while it was measured, likewise the following
	Missed      uint64  `json:"missed_packets"`   // before repair
	Lost        uint64  `json:"lost_packets"`     // after repair
	Freezes     uint64  `json:"freezes"`
	FreezeRatio float64 `json:"freeze_ratio"` // of the time that pictures were watched

	Server Server `json:"server"`
	Own    struct {
		CPU float64 `json:"cpu_share"` // of all CPUs of this machine
	} `json:"own"`

	Series []Sample `json:"series"`
}

// Server is what the run cost the servers, all of them together.
type Server struct {
	CPU             float64 `json:"cpu_cores"`
	MicrosPerPacket float64 `json:"cpu_us_per_packet"` // of RTP sent
	MicrosPerMbit   float64 `json:"cpu_ms_per_mbit"`
	Packets         float64 `json:"packets_per_s"` // of RTP sent
	MbitPerSecond   float64 `json:"mbit_per_s"`
	MemoryMB        float64 `json:"memory_mb"`
	MemoryPerPerson float64 `json:"memory_kb_per_person"` // of all memory
	Goroutines      float64 `json:"goroutines"`
	LinkMbit        float64 `json:"link_mbit_per_s"` // between nodes
}

func (rep *Report) fill(r *run, took time.Duration, before, after reading) {
	rep.Rooms, rep.Seconds = r.plan.Rooms, took.Seconds()
	rep.Failed, rep.Throttled = int(r.failed.Load()), int(r.throttled.Load())
	var watched, frozen time.Duration
	for _, p := range r.people {
		rep.Reconnects += int(p.resumed.Load())
		r.steps.took(p.Timings())
		if p.sends {
			rep.Publishers++
			continue
		}
		rep.Viewers++
		w, f := rep.received(p, took)
		watched, frozen = watched+w, frozen+f
	}
	if watched > 0 {
		rep.FreezeRatio = frozen.Seconds() / watched.Seconds()
	}
	s := r.steps
	rep.Join, rep.Socket, rep.Answer, rep.ICE, rep.DTLS = s.join.spread(), s.socket.spread(), s.answer.spread(), s.ice.spread(), s.dtls.spread()
	rep.FirstAudio, rep.FirstFrame = s.firstAudio.spread(), s.firstFrame.spread()
	audio, video, all, hands := newTally(), newTally(), newTally(), newTally()
	for _, room := range r.rooms {
		audio.h.Merge(room.audio.h)
		video.h.Merge(room.video.h)
		hands.h.Merge(room.hands.seen.h)
	}
	all.h.Merge(audio.h)
	all.h.Merge(video.h)
	rep.AudioLatency, rep.VideoLatency, rep.Latency, rep.Event = audio.spread(), video.spread(), all.spread(), hands.spread()
	rep.cost(before, after, len(r.people))
	rep.judge()
}

// received counts what one viewer got, and returns how long pictures were watched and stood still.
func (rep *Report) received(p *person, took time.Duration) (watched, frozen time.Duration) {
	began := map[string]client.SlotStats{}
	for _, s := range p.began {
		began[s.Slot.MID] = s
	}
	for _, s := range p.ended {
		b := began[s.Slot.MID]
		rep.Received += s.Packets - b.Packets
		rep.Missed += s.Missed - b.Missed
		rep.Lost += s.Lost - b.Lost
		if s.Slot.Kind == "video" && s.Slot.State == "active" {
			rep.Freezes += s.Freezes - b.Freezes
			watched += took
			frozen += s.FreezeTime - b.FreezeTime
		}
	}
	return watched, frozen
}

func (rep *Report) cost(before, after reading, people int) {
	const micro, milli, mega, kilo = 1e6, 1e3, 1e6, 1e3
	seconds := after.at.Sub(before.at).Seconds()
	cpu, packets, bits := after.cpu-before.cpu, after.packets-before.packets, 8*(after.bytes-before.bytes)
	s := &rep.Server
	s.CPU, s.Packets, s.MbitPerSecond = cpu/seconds, packets/seconds, bits/seconds/mega
	if packets > 0 {
		s.MicrosPerPacket = cpu * micro / packets
	}
	if bits > 0 {
		s.MicrosPerMbit = cpu * milli / (bits / mega)
	}
	s.MemoryMB, s.MemoryPerPerson = after.memory/mega, after.memory/kilo/float64(people)
	s.Goroutines, s.LinkMbit = after.routines, 8*(after.linked-before.linked)/seconds/mega
}

// judge says whether the figures may be trusted.
func (rep *Report) judge() {
	switch {
	case rep.Own.CPU > validCPU:
		rep.Why = fmt.Sprintf("swarm itself used %.0f%% of all CPUs, more than %.0f%%: it measured its own slowness", rep.Own.CPU*100, validCPU*100)
	case rep.Viewers > 0 && rep.Received == 0 && rep.Publishers > 0:
		rep.Why = "viewers received nothing"
	default:
		rep.Valid = true
	}
}

// namedSpread is a distribution with the name that people read.
type namedSpread struct {
	name string
	s    Spread
}

// spreads lists the steps of a join and the latencies, in their order.
func (rep *Report) spreads() []namedSpread {
	return []namedSpread{
		{"join call", rep.Join},
		{"WebSocket", rep.Socket},
		{"offer → answer", rep.Answer},
		{"ICE", rep.ICE},
		{"DTLS", rep.DTLS},
		{"first audio", rep.FirstAudio},
		{"first frame", rep.FirstFrame},
		{"audio latency", rep.AudioLatency},
		{"video latency", rep.VideoLatency},
		{"event", rep.Event},
	}
}

// Print writes the report for people.
func (rep *Report) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d publishers and %d viewers in %d rooms, joined in %.1f s, measured for %.0f s\n\n",
		rep.Publishers, rep.Viewers, rep.Rooms, rep.JoinedIn, rep.Seconds)
	fmt.Fprintln(w, "ms\tp50\tp95\tp99\tmax\tof")
	for _, row := range rep.spreads() {
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%d\n", row.name, row.s.P50, row.s.P95, row.s.P99, row.s.Max, row.s.Count)
	}
	fmt.Fprintf(w, "\npackets\t%d received, %d missed, %d lost after repair\n", rep.Received, rep.Missed, rep.Lost)
	fmt.Fprintf(w, "frozen\t%.3f%% of the time, %d times\n", rep.FreezeRatio*100, rep.Freezes)
	fmt.Fprintf(w, "joins\t%d failed, %d throttled; %d reconnects\n", rep.Failed, rep.Throttled, rep.Reconnects)
	s := rep.Server
	fmt.Fprintf(w, "servers\t%.2f cores, %.2f µs a packet at %.0f packets/s, %.2f ms a Mbit at %.1f Mbit/s\n",
		s.CPU, s.MicrosPerPacket, s.Packets, s.MicrosPerMbit, s.MbitPerSecond)
	fmt.Fprintf(w, "\t%.0f MB, %.0f kB a person; %.0f goroutines; %.2f Mbit/s between nodes\n", s.MemoryMB, s.MemoryPerPerson, s.Goroutines, s.LinkMbit)
	fmt.Fprintf(w, "swarm\t%.0f%% of all CPUs\n", rep.Own.CPU*100)
	if !rep.Valid {
		fmt.Fprintf(w, "\nNOT VALID: %s\n", rep.Why)
	}
	_ = w.Flush() // out is the terminal
}

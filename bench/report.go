package bench

import (
	"fmt"
	"strings"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
)

// ValidCPU is the share of what its machine gives it that swarm, or an agent, may use: above it, what it measures is its own slowness.
const ValidCPU = 0.8

// A Report is what a run found. Times are in milliseconds, over all people and agents.
type Report struct {
	Valid bool   `json:"valid"`
	Why   string `json:"why,omitempty"` // it is not valid

	Scenario string    `json:"scenario,omitempty"`
	Seed     uint64    `json:"seed"`
	Begun    time.Time `json:"begun"`

	Rooms      int     `json:"rooms"`
	Publishers int     `json:"publishers"` // in all rooms, at the end, likewise the following
	Viewers    int     `json:"viewers"`
	Lean       int     `json:"lean_viewers"` // of the viewers
	Failed     int     `json:"failed_joins"`
	Throttled  int     `json:"throttled_joins"` // answers of 429 that were waited out
	Reconnects int     `json:"reconnects"`
	CutOff     int     `json:"cut_off"` // without a server at the end
	Moved      int     `json:"moved"`   // to other nodes, because theirs drained
	Churned    int     `json:"churned"` // left, and followed by somebody new
	Refused    int     `json:"refused_steps"`
	Meetings   int     `json:"meetings_created"`
	JoinedIn   float64 `json:"joined_in_s"`
	Seconds    float64 `json:"measured_s"`

	// Of a join: from when it was due to the ticket; the steps by themselves; and from when it was due to sound and picture.
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
	Event        Spread `json:"event_ms"` // from when a change of presence was due to everybody who is told
	Chat         Spread `json:"chat_ms"`  // likewise
	Reconnect    Spread `json:"reconnect_ms"`
	Create       Spread `json:"create_ms"` // a meeting, from when it was due

	Received    uint64      `json:"received_packets"` // by those who watch, while it was measured, likewise the following
	Missed      uint64      `json:"missed_packets"`   // before repair
	Lost        uint64      `json:"lost_packets"`     // after repair
	LossRatio   float64     `json:"loss_ratio"`       // after repair, of all that should have come
	Freezes     uint64      `json:"freezes"`
	FreezeRatio float64     `json:"freeze_ratio"` // of the time that pictures were watched
	Verifiers   int         `json:"verifiers"`    // people who looked at every frame
	Verified    reel.Counts `json:"verified_frames"`

	Budgets []Budget `json:"budgets"`
	Server  Server   `json:"server"`
	Own     Usage    `json:"own"`         // of the agent that used most while it was measured
	Joining Usage    `json:"own_joining"` // likewise, while people came; zero where that took less than a second
	Agents  []Usage  `json:"agents,omitempty"`

	Faults []string              `json:"faults,omitempty"` // of joins and steps, the first few
	Marks  []Mark                `json:"marks,omitempty"`
	Curves map[string][]Quantile `json:"curves,omitempty"`
	Series []Sample              `json:"series"`
}

// Server is what the run cost the servers, all of them together.
type Server struct {
	CPU             float64 `json:"cpu_cores"`
	MicrosPerPacket float64 `json:"cpu_us_per_packet"` // of RTP sent
	MillisPerMbit   float64 `json:"cpu_ms_per_mbit"`   // of a second at 1 Mbit/s
	Packets         float64 `json:"packets_per_s"`     // of RTP sent
	MbitPerSecond   float64 `json:"mbit_per_s"`
	MemoryMB        float64 `json:"memory_mb"`
	MemoryPerPerson float64 `json:"memory_kb_per_person"` // that it grew by since nobody was there
	MillisPerJoin   float64 `json:"cpu_ms_per_join"`      // of all that servers did while people came
	Goroutines      float64 `json:"goroutines"`
	LinkMbit        float64 `json:"link_mbit_per_s"` // between nodes
	LinkMB          float64 `json:"link_mb"`         // likewise, of the whole time
}

func (rep *Report) fill(o *outcome, s *Scenario, took time.Duration, used reading) {
	c := &o.Counts
	rep.Rooms, rep.Seconds = s.Rooms, took.Seconds()
	rep.Publishers, rep.Viewers, rep.Failed, rep.Throttled = c.Publishers, c.Viewers, c.Failed, c.Throttled
	rep.Lean, rep.CutOff = c.Lean, c.CutOff
	rep.Reconnects, rep.Moved, rep.Churned, rep.Refused, rep.Meetings = c.Reconnects, c.Moved, c.Churned, c.Refused, c.Meetings
	rep.Received, rep.Missed, rep.Lost, rep.Freezes = c.Received, c.Missed, c.Lost, c.Freezes
	rep.Verifiers, rep.Verified, rep.Faults = c.Verifiers, c.Verified, o.Faults
	if all := c.Received + c.Lost; all > 0 {
		rep.LossRatio = float64(c.Lost) / float64(all)
	}
	if c.Watched > 0 {
		rep.FreezeRatio = c.Frozen / c.Watched
	}
	t := o.Times
	for m, to := range map[measure]*Spread{
		timeJoin: &rep.Join, timeSocket: &rep.Socket, timeAnswer: &rep.Answer, timeICE: &rep.ICE, timeDTLS: &rep.DTLS,
		timeAudio: &rep.FirstAudio, timeFrame: &rep.FirstFrame, timeVoice: &rep.AudioLatency, timeVideo: &rep.VideoLatency,
		timeEvent: &rep.Event, timeChat: &rep.Chat, timeReconnect: &rep.Reconnect, timeMeet: &rep.Create,
	} {
		*to = t[m].spread()
	}
	media := newTally()
	media.merge(t[timeVoice])
	media.merge(t[timeVideo])
	rep.Latency = media.spread()
	rep.Curves = map[string][]Quantile{}
	for _, m := range []measure{timeJoin, timeAudio, timeFrame, timeVoice, timeVideo, timeEvent} {
		if curve := t[m].curve(); curve != nil {
			rep.Curves[string(m)] = curve
		}
	}
	rep.Budgets = rep.budgets()
	rep.cost(used, took)
	rep.Own, rep.Joining = busiest(o.Own), busiest(o.Joining)
	if len(o.Own) > 1 {
		rep.Agents = o.Own
	}
}

// busiest is the use of the agent that took the largest share.
func busiest(all []Usage) (most Usage) {
	for _, u := range all {
		if u.Share >= most.Share {
			most = u
		}
	}
	return most
}

func (rep *Report) cost(used reading, took time.Duration) {
	const micro, milli, mega = 1e6, 1e3, 1e6
	seconds := took.Seconds()
	bits := 8 * used.bytes
	s := &rep.Server
	s.CPU, s.Packets, s.MbitPerSecond = used.cpu/seconds, used.packets/seconds, bits/seconds/mega
	if used.packets > 0 {
		s.MicrosPerPacket = used.cpu * micro / used.packets
	}
	if bits > 0 {
		s.MillisPerMbit = used.cpu * milli / (bits / mega)
	}
	s.MemoryMB, s.Goroutines, s.LinkMbit, s.LinkMB = used.memory/mega, used.routines, 8*used.linked/seconds/mega, used.linked/mega
}

// people says what a person costs the servers, from how they were before anybody came, when all had come, and in the end.
func (rep *Report) people(empty, joined, end reading, invited int) {
	const milli, kilo = 1e3, 1e3
	if there := rep.Publishers + rep.Viewers; there > 0 {
		rep.Server.MemoryPerPerson = max(0, end.memory-empty.memory) / kilo / float64(there)
	}
	if came := invited - rep.Failed; came > 0 {
		rep.Server.MillisPerJoin = (joined.cpu - empty.cpu) * milli / float64(came)
	}
}

// doubt adds a reason not to trust the report.
func (rep *Report) doubt(why string) {
	if why != "" {
		rep.Why = strings.TrimPrefix(rep.Why+"; "+why, "; ")
	}
}

// judge says whether the figures may be trusted.
func (rep *Report) judge() {
	rep.doubt(slowness("", rep.Own))
	rep.doubt(slowness("while people came ", rep.Joining))
	if busy := rep.starved(); busy > starvedMost && rep.Own.Share <= ValidCPU {
		rep.doubt(fmt.Sprintf("in %.0f%% of all seconds swarm used more than %.0f%% of the CPU that its machine left it", busy*100, ValidCPU*100))
	}
	if rep.Viewers > 0 && rep.Received == 0 && rep.Publishers > 0 {
		rep.doubt("viewers received nothing")
	}
	rep.Valid = rep.Why == ""
}

// slowness says, of some time, that what was measured is swarm's own; empty: it is not.
func slowness(when string, u Usage) string {
	if u.Share <= ValidCPU {
		return ""
	}
	who := "swarm itself"
	if u.Agent != "" {
		who = u.Agent
	}
	return fmt.Sprintf("%s%s used %.0f%% of the CPU that its machine left it (%.2f of %.2f cores), more than %.0f%%: it measured its own slowness",
		when, who, u.Share*100, u.Cores, u.Given, ValidCPU*100)
}

// starvedMost is the share of seconds in which swarm may be short of CPU: a mean alone would hide a bad minute.
const starvedMost = 0.1

// starved is the share of seconds in which swarm used more of what was left to it than a valid run may.
func (rep *Report) starved() float64 {
	n := 0
	for _, s := range rep.Series {
		if s.OwnCPU > ValidCPU {
			n++
		}
	}
	return float64(n) / float64(max(len(rep.Series), minSeconds))
}

const minSeconds = 10 // of a run, for one second not to spoil it

// namedSpread is a distribution with the name that people read.
type namedSpread struct {
	name   string
	s      Spread
	budget float64 // SPEC section 10, milliseconds; 0: none
}

// spreads lists the steps of a join and the latencies, in their order.
func (rep *Report) spreads() []namedSpread {
	return []namedSpread{
		{"join call", rep.Join, 80},
		{"WebSocket", rep.Socket, 40},
		{"offer → answer", rep.Answer, 30},
		{"ICE", rep.ICE, 200},
		{"DTLS", rep.DTLS, 60},
		{"first audio", rep.FirstAudio, 410},
		{"first frame", rep.FirstFrame, 0},
		{"audio latency", rep.AudioLatency, 150},
		{"video latency", rep.VideoLatency, 200},
		{"event", rep.Event, 100},
		{"chat", rep.Chat, 100},
		{"reconnect", rep.Reconnect, 0},
		{"create a meeting", rep.Create, 0},
	}
}

// A Budget is what one step may take, and whether it does: 95 of 100 must keep to it.
type Budget struct {
	Step  string  `json:"step"`
	Limit float64 `json:"budget_ms"`
	P95   float64 `json:"p95_ms"`
	Kept  bool    `json:"kept"`
}

// budgets are those of what was measured.
func (rep *Report) budgets() (all []Budget) {
	for _, row := range rep.spreads() {
		if row.budget > 0 && row.s.Count > 0 {
			all = append(all, Budget{row.name, row.budget, row.s.P95, row.s.P95 <= row.budget})
		}
	}
	return all
}

package bench

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
)

// someReport is one of a run that went through everything.
func someReport() *Report {
	o := newOutcome()
	for i, m := range measures() {
		for n := range 100 {
			o.Times[m].add(time.Duration(i+n+1) * time.Millisecond)
		}
	}
	o.Counts = counts{
		Publishers: 2, Viewers: 3, Lean: 2, Received: 9000, Missed: 12, Lost: 1, Freezes: 1, Watched: 100, Frozen: 1, Verifiers: 1,
		Verified: reel.Counts{Whole: 1234},
	}
	o.Own = []Usage{{Agent: "agent 1 on a", Share: 0.2, Cores: 0.4, Given: 2}, {Agent: "agent 2 on <b>", Share: 0.3, Cores: 0.6, Given: 2}}
	o.Own[0].per(10*time.Second, 4000, 300_000, 2)
	o.Own[1].per(10*time.Second, 5000, 600_000, 3)
	o.Joining = []Usage{{Agent: "agent 1 on a", Share: 0.7, Cores: 1.4, Given: 2}, {Agent: "agent 2 on <b>", Share: 0.1, Cores: 0.2, Given: 2}}
	o.Faults = []string{"it <hurt>"}
	rep := &Report{Scenario: "a <name>", Marks: []Mark{{2, "drain n1"}, {99, "never"}}, Begun: time.Unix(0, 0).UTC()}
	b := newBoard(2, 5, nil)
	for second := range 6 {
		for _, agent := range []string{"1", "2"} {
			t := newTally()
			t.add(time.Duration(second+1) * time.Millisecond)
			b.hear(pulse{Agent: agent, Stage: stageMeasuring, Second: second, In: 2, Received: uint64(1000 * second), Lost: uint64(second), Voice: t, Video: newTally()})
		}
		b.serve(second, 0.5, 80)
	}
	rep.Series = b.series()
	s := Simple(1, 2, 3, SendsAV, "vp8", LayoutGrid, 10, time.Minute)
	rep.fill(o, s, 10*time.Second, reading{cpu: 5, packets: 10_000, bytes: 12.5e6, memory: 50e6, linked: 1e6})
	rep.people(reading{memory: 40e6}, reading{cpu: 0.01}, reading{memory: 50e6}, 5)
	rep.judge()
	return rep
}

func TestReportAddsUp(t *testing.T) {
	rep := someReport()
	if !rep.Valid || rep.Own.Agent != "agent 2 on <b>" || rep.Joining.Share != 0.7 || rep.Latency.Count != 200 || rep.FreezeRatio != 0.01 {
		t.Errorf("%+v", rep)
	}
	want := Server{
		CPU: 0.5, MicrosPerPacket: 500, MillisPerMbit: 50, Packets: 1000, MbitPerSecond: 10, MemoryMB: 50, MemoryPerPerson: 2000, MillisPerJoin: 2, LinkMbit: 0.8, LinkMB: 1,
	}
	if rep.Server != want {
		t.Errorf("%+v, want %+v", rep.Server, want)
	}
	if len(rep.Series) != 5 || rep.Series[0].Received != 2000 || rep.Series[4].Lost != 2 || rep.Series[2].AudioLatency < 4 || rep.Series[3].In != 4 {
		t.Errorf("%+v", rep.Series)
	}
}

// The fields that SPEC promises are there, whatever else is.
func TestReportHasThePromisedFields(t *testing.T) {
	raw, err := json.Marshal(someReport())
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]json.RawMessage
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"viewers", "received_packets", "lost_packets", "freeze_ratio"} {
		if read[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	for _, key := range []string{"join_ms", "first_audio_ms", "first_frame_ms", "latency_ms"} {
		var spread map[string]float64
		if err := json.Unmarshal(read[key], &spread); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for _, part := range []string{"p50", "p95", "p99", "max"} {
			if spread[part] <= 0 {
				t.Errorf("%s.%s is %g", key, part, spread[part])
			}
		}
	}
}

func TestBudgetsAreJudged(t *testing.T) {
	rep := someReport()
	kept := func(step string) bool {
		i := slices.IndexFunc(rep.Budgets, func(b Budget) bool { return b.Step == step })
		return i >= 0 && rep.Budgets[i].Kept
	}
	if len(rep.Budgets) != 10 || !kept("first audio") || kept("offer → answer") || kept("WebSocket") {
		t.Errorf("%+v", rep.Budgets)
	}
}

func TestReportsAreDoubted(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*Report)
		says  string
	}{
		"busy": {func(r *Report) { r.Own = Usage{Agent: "agent 2", Share: 0.81, Cores: 0.8, Given: 1} }, "agent 2 used 81%"},
		"busy while people came": {
			func(r *Report) { r.Joining = Usage{Share: 0.9, Cores: 0.9, Given: 1} }, "while people came swarm itself used 90%",
		},
		"starved": {func(r *Report) { r.Series = slices.Repeat([]Sample{{OwnCPU: 0.1}, {OwnCPU: 0.2}, {OwnCPU: 0.9}}, 5) }, "in 33% of all seconds"},
		"nothing": {func(r *Report) { r.Received = 0 }, "received nothing"},
		"told":    {func(r *Report) { r.doubt("agent 1 is gone") }, "agent 1 is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			rep := someReport()
			tc.spoil(rep)
			rep.judge()
			if rep.Valid || !strings.Contains(rep.Why, tc.says) {
				t.Errorf("valid: %v, %q", rep.Valid, rep.Why)
			}
		})
	}
}

func TestPageNeedsNothingElse(t *testing.T) {
	for name, rep := range map[string]*Report{"full": someReport(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			var page bytes.Buffer
			if err := rep.WriteHTML(&page); err != nil {
				t.Fatal(err)
			}
			text := page.String()
			for _, bad := range []string{"<hurt>", "<b>\"", "a <name>", "http://", "https://", "<script", "NaN", "Inf", "ZgotmplZ"} {
				if strings.Contains(text, bad) {
					t.Errorf("it has %q", bad)
				}
			}
			if name == "full" && (strings.Count(text, "<svg") != 10 || !strings.Contains(text, "drain n1") || strings.Contains(text, ">never<")) {
				t.Errorf("%d plots", strings.Count(text, "<svg"))
			}
		})
	}
}

func TestReportForPeople(t *testing.T) {
	rep, old := someReport(), someReport()
	rep.Server.MicrosPerPacket = 250
	var out bytes.Buffer
	rep.Print(&out)
	rep.Compare(&out, old)
	for _, want := range []string{"✗ 30", "✓ 410", "agent 1 on a", "CPU a packet", "× 0.50", "1234 whole", "3 viewers (2 of them lean)", "1200.00 µs a packet received, grown by 200 kB a person", "1000.00 µs a packet, 150 kB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out.String())
		}
	}
}

// An agent that falls silent holds nothing up for long.
func TestBoardDoesNotWaitForTheSilent(t *testing.T) {
	var shown Progress
	b := newBoard(2, 5, func(p Progress) { shown = p })
	for second := range 10 {
		b.hear(pulse{Agent: "1", Stage: stageMeasuring, Second: second, In: 2, Received: uint64(100 * second), Voice: newTally(), Video: newTally()})
	}
	b.show()
	if shown.At < 3 || shown.Received != 100 || shown.In != 2 || len(b.open) > 5 {
		t.Errorf("%+v, %d are open", shown, len(b.open))
	}
	if got := len(b.series()); got != 9 {
		t.Errorf("%d samples", got)
	}
}

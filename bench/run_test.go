package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// Real people in a real node: both codecs, every kind of step, and every frame is what was sent.
func TestRunAgainstANode(t *testing.T) {
	n := lab.StartNode(t)
	s, err := Parse(strings.NewReader(`
name: everything
seed: 3
rooms: 2
people:
  - {role: attendee, count: 1}
  - {role: attendee, count: 1, codec: h264, layers: [q, h], layout: grid}
  - {role: viewer, count: 3, verify: 0.5}
  - {role: viewer, count: 1, layout: speaker}
join: {within: 2s}
duration: 6s
actions:
  - {do: hands, every: 500ms}
  - {do: chat, rate: 4}
  - {do: speakers, every: 1s}
  - {do: churn, rate: 1}
  - {do: mute, at: 1s, for: 1s, share: 0.5}
  - {do: layout, at: 2s, layout: speaker}
  - {do: meetings, at: 1s, for: 1s, rate: 10}
`))
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]bool{}
	rep, err := Run(t.Context(), Config{Scenario: s, URL: n.URL, Token: n.Token, Tell: func(p Progress) { stages[p.Stage] = true }})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Publishers != 4 || rep.Viewers < 6 || rep.Failed > 0 || rep.Churned < 4 || rep.Meetings != 10 {
		t.Errorf("%d publishers, %d viewers, %d failed, %d churned, %d meetings: %v", rep.Publishers, rep.Viewers, rep.Failed, rep.Churned, rep.Meetings, rep.Faults)
	}
	if v := rep.Verified; v.Whole < 1000 || v.Corrupt > 0 || v.Misplaced > 0 {
		t.Errorf("frames: %+v, looked at by %d", v, rep.Verifiers)
	}
	for _, row := range rep.spreads() {
		if row.s.Count == 0 && row.name != "reconnect" {
			t.Errorf("%s was not measured", row.name)
		}
	}
	if rep.Own.Cores <= 0 || rep.Joining.Cores <= 0 { // people come for two seconds
		t.Errorf("swarm itself: %+v, and while people came %+v", rep.Own, rep.Joining)
	}
	if rep.Received < 1000 || rep.Server.MicrosPerPacket <= 0 || rep.Server.MemoryMB <= 0 || len(rep.Series) < 4 {
		t.Errorf("%d packets, %+v, %d samples", rep.Received, rep.Server, len(rep.Series))
	}
	if !rep.Valid && !strings.Contains(rep.Why, "CPU") { // the machine may be busy
		t.Errorf("not valid: %s", rep.Why)
	}
	for _, stage := range []string{stageJoining, stageMeasuring, stageLeaving} {
		if !stages[stage] {
			t.Errorf("nothing was told of %s", stage)
		}
	}
}

func TestRunThatIsRefused(t *testing.T) {
	n := lab.StartNode(t)
	s := Simple(1, 1, 1, SendsAV, "vp8", LayoutGrid, 10, time.Second)
	if _, err := Run(t.Context(), Config{Scenario: s, URL: n.URL, Token: "none"}); err == nil || !strings.Contains(err.Error(), "create a meeting") {
		t.Errorf("says %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	s = Simple(1, 1, 1, SendsAV, "vp8", LayoutGrid, 10, time.Hour)
	if _, err := Run(ctx, Config{Scenario: s, URL: n.URL, Token: n.Token}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run that is stopped says %v", err)
	}
}

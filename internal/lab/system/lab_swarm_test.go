package system_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/bench"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// A scenario of swarm in three regions, with what only the lab can do to them: a node is killed and started again, NATS is
// away, and the way to a region gets worse. People who were on the node come back; everybody else stays.
func TestLabScenario(t *testing.T) {
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	victim := w.Regions[2].Nodes[0] // its people come back through the other regions
	var regions []string
	for _, r := range w.Regions {
		var urls []string
		for _, n := range r.Nodes {
			urls = append(urls, n.URL)
		}
		regions = append(regions, fmt.Sprintf("  %s: [%s]", r.Name, strings.Join(urls, ", ")))
	}
	scenario, err := bench.Parse(strings.NewReader(`
name: three regions and their accidents
seed: 11
regions:
` + strings.Join(regions, "\n") + `
people:
  - {role: attendee, count: 1, region: us, layers: [q]}
  - {role: viewer, count: 2, region: eu}
  - {role: viewer, count: 2, region: us}
  - {role: viewer, count: 2, region: ap}
join: {rate: 4}
duration: 24s
actions:
  - {do: hands, every: 1s}
  - {do: link, at: 2s, region: ap, delay: 100ms, loss: 0.02, for: 4s}
  - {do: nats, at: 8s, for: 2s}
  - {do: kill, at: 14s, node: ` + victim.ID + `, for: 5s}
`))
	if err != nil {
		t.Fatal(err)
	}
	hands := &stagehands{t: t, world: w, before: lab.Overseas()}
	rep, err := bench.Run(t.Context(), bench.Config{
		Scenario: scenario, URL: w.Nodes()[0].URL, Token: w.Nodes()[0].Token, Lab: hands, HTTP: w.Regions[0].HTTPClient(),
	})
	if err != nil {
		t.Fatal(err)
	}
	rep.Print(t.Output())
	if rep.Failed > 0 || rep.Publishers != 1 || rep.Viewers != 6 {
		t.Errorf("%d joins failed, %d publishers, %d viewers: %v", rep.Failed, rep.Publishers, rep.Viewers, rep.Faults)
	}
	if want := []string{"link ap", "link ap undone", "nats", "nats undone", "kill " + victim.ID, "kill " + victim.ID + " undone"}; !slices.Equal(titles(rep.Marks), want) {
		t.Errorf("was done: %q, want %q", titles(rep.Marks), want)
	}
	if rep.Reconnects < 2 || rep.Reconnect.Max > 15_000 {
		t.Errorf("%d came back, the last after %.0f ms", rep.Reconnects, rep.Reconnect.Max)
	}
	if v := rep.Verified; v.Whole == 0 || v.Corrupt > 0 {
		t.Errorf("frames: %+v", v)
	}
	if rep.Missed == 0 || rep.Server.LinkMB <= 0 {
		t.Errorf("the ways between regions lose one in a hundred: %d missed, %g MB between nodes", rep.Missed, rep.Server.LinkMB)
	}
}

func titles(marks []bench.Mark) (all []string) {
	for _, m := range marks {
		all = append(all, m.What)
	}
	return all
}

// stagehands do to a World what a scenario says.
type stagehands struct {
	t      *testing.T
	world  *lab.World
	before lab.Path // between regions
}

func (s *stagehands) region(name string) *lab.Region {
	return s.world.Regions[slices.IndexFunc(s.world.Regions, func(r *lab.Region) bool { return r.Name == name })]
}

func (s *stagehands) node(id string) *lab.Node {
	nodes := s.world.Nodes()
	return nodes[slices.IndexFunc(nodes, func(n *lab.Node) bool { return n.ID == id })]
}

func (s *stagehands) Place(region string, opts *client.Options) { s.region(region).Place(opts) }

func (s *stagehands) Kill(_ context.Context, node string) error {
	s.node(node).Kill(s.t)
	return nil
}

func (s *stagehands) Start(_ context.Context, node string) error {
	s.node(node).Start(s.t)
	return nil
}

func (s *stagehands) NATS(_ context.Context, away bool) error {
	if away {
		s.world.KillNATS(s.t)
	} else {
		s.world.StartNATS(s.t)
	}
	return nil
}

func (s *stagehands) Link(_ context.Context, region string, c bench.Condition) error {
	path := lab.Path{Delay: c.Delay, Jitter: c.Jitter, Loss: c.Loss}
	if c == (bench.Condition{}) {
		path = s.before
	}
	for _, other := range s.world.Regions {
		if other.Name != region {
			s.world.WAN.Set(s.region(region), other, path)
		}
	}
	return nil
}



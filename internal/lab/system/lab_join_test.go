package system_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// A meeting made in one region can be joined in all of them at once, and POST …/join is quick wherever its meeting was read a
// moment ago.
func TestLabJoins(t *testing.T) {
	const meetings, again, laterBound = 15, 20, 40 * time.Millisecond
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	figures := newTable(t, "POST …/join", "p50", "p95", "bound", "")
	first, later := map[string][]time.Duration{}, map[string][]time.Duration{}
	refused := 0
	try := func(n *lab.Node, meeting string) (time.Duration, bool) {
		ticket, err := client.JoinMeeting(t.Context(), n.URL, meeting, client.JoinOptions{HTTPClient: n.Region.HTTPClient()})
		if err != nil {
			t.Errorf("join of a new meeting in %s: %v", n.Region.Name, err)
			refused++
		}
		return ticket.Took, err == nil
	}
	var last lab.Meeting
	for range meetings {
		last = w.Regions[0].Nodes[0].NewMeeting(t, "Joined at once", nil)
		for _, r := range w.Regions {
			if took, ok := try(r.Nodes[0], last.ID); ok {
				first[r.Name] = append(first[r.Name], took)
			}
		}
	}
	figures.add("right after the meeting was made in eu: refused", refused, meetings*len(w.Regions), 0, verdict(refused == 0))
	time.Sleep(2 * time.Second) // the copies of the meeting have followed, and people come one after the other
	for range again {
		for _, r := range w.Regions {
			if took, ok := try(r.Nodes[0], last.ID); ok {
				later[r.Name] = append(later[r.Name], took)
			}
		}
	}
	for _, r := range w.Regions {
		figures.add(r.Name+": the first after it was made", percentile(first[r.Name], 50), percentile(first[r.Name], 95), "", "")
		p50, p95 := percentile(later[r.Name], 50), percentile(later[r.Name], 95)
		figures.add(r.Name+": later ones", p50, p95, laterBound, verdict(p50 < laterBound))
		if p50 >= laterBound {
			t.Errorf("%s: p50 of joins = %s, want less than %s", r.Name, p50, laterBound)
		}
	}
	if status, err := w.Nodes()[2].TryCall(t, http.MethodPost, "/v1/meetings/mtg_none/join", map[string]any{}, nil); err != nil || status != http.StatusNotFound {
		t.Errorf("join of no meeting = %d, %v", status, err)
	}
}

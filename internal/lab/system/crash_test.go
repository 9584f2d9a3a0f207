package system_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/parley-sfu/parley/internal/lab"
)

// acked are the meetings that a node has acknowledged.
type acked struct {
	mu     sync.Mutex
	titles map[string]string // by id
}

func (a *acked) add(id, title string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.titles[id] = title
}

// create makes meetings one after the other until the node dies, and sends a token for the first one.
func (a *acked) create(t *testing.T, n *lab.Node, name string, first chan<- struct{}) {
	for i := 0; ; i++ {
		title := fmt.Sprintf("%s, meeting %d", name, i)
		var m lab.Meeting
		status, err := n.TryCall(t, http.MethodPost, "/v1/meetings", map[string]any{"title": title}, &m)
		if err != nil {
			return // killed before it answered
		}
		if status != http.StatusCreated {
			t.Errorf("POST /v1/meetings = %d, want 201", status)
			return
		}
		a.add(m.ID, title)
		select {
		case first <- struct{}{}:
		default:
		}
	}
}

// What a 201 acknowledged is on disk: kill -9 right after it, 50 times, loses nothing.
func TestKillLosesNoMeeting(t *testing.T) {
	const rounds, writers = 50, 3
	dir := t.TempDir()
	all := &acked{titles: map[string]string{}}
	for round := range rounds {
		n := lab.StartNodeOn(t, dir)
		first := make(chan struct{}, 1)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() { all.create(t, n, fmt.Sprintf("round %d, writer %d", round, w), first) })
		}
		<-first
		n.Kill(t)
		wg.Wait()
		if t.Failed() {
			return
		}
	}

	n := lab.StartNodeOn(t, dir)
	lost := 0
	for id, title := range all.titles {
		var m struct {
			Title string `json:"title"`
		}
		if status := n.Call(t, http.MethodGet, "/v1/meetings/"+id, nil, &m); status != http.StatusOK || m.Title != title {
			t.Errorf("GET %s = %d %q, want 200 %q", id, status, m.Title, title)
			lost++
		}
	}
	figures := newTable(t, "kill -9", "meetings acknowledged", "lost", "bound", "")
	figures.add(rounds, len(all.titles), lost, 0, verdict(lost == 0))
	n.Stop(t)
}

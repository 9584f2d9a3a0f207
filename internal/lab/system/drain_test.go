package system_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// nodeIDOf is the id under which the cluster knows a node.
func nodeIDOf(t *testing.T, n *lab.Node) string {
	t.Helper()
	var answer struct {
		Nodes []struct {
			ID   string `json:"id"`
			Self bool   `json:"self"`
		} `json:"nodes"`
	}
	if status := n.Call(t, http.MethodGet, "/v1/cluster/nodes", nil, &answer); status != http.StatusOK {
		t.Fatalf("GET /v1/cluster/nodes = %d", status)
	}
	for _, known := range answer.Nodes {
		if known.Self {
			return known.ID
		}
	}
	t.Fatal("the node does not know itself")
	return ""
}

// command runs a parley command that asks a node.
func command(t *testing.T, ask *lab.Node, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), lab.Build(t), append(args, "--url", ask.URL, "--token", ask.Token)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("parley %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// watch notes who was told that anybody left or came, or that a track ended or began, until the test is over.
func watch(c *client.Client) (noticed func() []string) {
	var seen []string
	return func() []string {
		for {
			select {
			case e, more := <-c.Events():
				switch e.(type) {
				case client.ParticipantsLeft, client.ParticipantsJoined, client.TrackPublished, client.TrackUnpublished:
					seen = append(seen, fmt.Sprintf("%T", e))
				}
				if more {
					continue
				}
			default:
			}
			return seen
		}
	}
}

// A node is drained by command, and another by the signal to stop: people go over to the other node in the middle of the call,
// nobody sees anybody leave or come, and sound and picture go on.
func TestDrainMovesPeopleInTheMiddleOfTheCall(t *testing.T) {
	nodes := lab.StartCluster(t, 2)
	ids := []string{nodeIDOf(t, nodes[0]), nodeIDOf(t, nodes[1])}
	meeting := nodes[0].NewMeeting(t, "A node is drained", nil)
	both := make([]*client.Client, 2)
	ears := make([]*ear, 2)
	for i, n := range nodes {
		ears[i] = &ear{count: map[string]int{}}
		both[i] = join(t, n, meeting.ID, client.JoinOptions{DisplayName: fmt.Sprint("Person ", i+1), Region: fmt.Sprint("region-", i+1)}, client.Options{
			Publish:  []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
			OnPacket: ears[i].packet,
		})
	}
	meet := func(what string) {
		t.Helper()
		for i, of := range ears {
			before := [2]int{of.of(both[1-i], "audio"), of.of(both[1-i], "video")}
			lab.Until(t, 20*time.Second, what, func() bool {
				return of.of(both[1-i], "audio") > before[0]+10 && of.of(both[1-i], "video") > before[1]+10
			})
		}
	}
	meet("they see and hear each other through two nodes")
	figures := newTable(t, "what", "measured")
	left := func(i int) (people int) {
		var state struct {
			People int `json:"people"`
		}
		nodes[0].Call(t, http.MethodGet, "/v1/cluster/nodes/"+ids[i], nil, &state)
		return state.People
	}
	if n := left(1); n != 1 {
		t.Fatalf("%d people on the second node, want 1", n)
	}
	noticed := []func() []string{watch(both[0]), watch(both[1])}
	for _, f := range noticed {
		f()
	}

	start := time.Now()
	var drained struct {
		Left    int  `json:"left"`
		Drained bool `json:"drained"`
	}
	if err := json.Unmarshal([]byte(command(t, nodes[0], "drain", ids[1], "--json")), &drained); err != nil || !drained.Drained {
		t.Fatalf("drained: %+v, %v", drained, err)
	}
	figures.add("parley drain, one person with camera and microphone", time.Since(start))
	meet("they see and hear each other on the first node")
	if n := left(0); n != 2 {
		t.Errorf("%d people on the first node, want 2", n)
	}

	command(t, nodes[0], "undrain", ids[1])
	if out := command(t, nodes[1], "drain", ids[0]); !strings.Contains(out, "nobody is left") {
		t.Errorf("drain says: %s", out)
	}
	meet("they see and hear each other on the second node")
	command(t, nodes[1], "undrain", ids[0])
	lab.Until(t, 10*time.Second, "the second node knows that it can send people to the first", func() bool {
		return !strings.Contains(command(t, nodes[1], "nodes"), "draining")
	})
	start = time.Now()
	nodes[1].Stop(t)
	figures.add("SIGTERM to the end of the process, two people on it", time.Since(start))
	meet("they see and hear each other after the second node has stopped")
	for i, f := range noticed {
		if seen := f(); len(seen) > 0 {
			t.Errorf("person %d was told of %v", i+1, seen)
		}
	}
	if n := len(both[0].Participants()); n != 2 {
		t.Errorf("%d participants, want 2", n)
	}
}

// A client that does not know how to move keeps its node from stopping, until a second signal: then it is told to go elsewhere.
func TestDrainEndsAtASecondSignal(t *testing.T) {
	nodes := lab.StartCluster(t, 2)
	meeting := nodes[0].NewMeeting(t, "An old client", nil)
	ticket, err := client.JoinMeeting(t.Context(), nodes[1].URL, meeting.ID, client.JoinOptions{DisplayName: "Old", Region: "region-2"})
	if err != nil {
		t.Fatal(err)
	}
	s, got := knock(t, nodes[1], ticket.JoinToken)
	if s == nil {
		t.Fatalf("the upgrade was answered %+v", got)
	}
	if err := s.say(map[string]any{"type": "participant.hello", "participant_id": ticket.ParticipantID, "display_name": "Old", "sdp_offer": ""}); err != nil {
		t.Fatal(err)
	}
	until := func(what string) {
		t.Helper()
		for {
			m, closed, err := s.hear()
			if err != nil || closed != 0 {
				t.Fatalf("closed with %d before %s came: %v", closed, what, err)
			}
			if m.Type == what {
				return
			}
		}
	}
	until("room.snapshot")
	nodes[1].Terminate(t)
	until("session.migrate")
	if !nodes[1].Running() {
		t.Fatal("the node did not wait")
	}
	start := time.Now()
	nodes[1].Stop(t)
	if _, closed := s.outcome(false); closed != wire.CloseGoingAway {
		t.Errorf("closed with %d, want %d", closed, wire.CloseGoingAway)
	}
	newTable(t, "what", "measured").add("second SIGTERM to the end of the process", time.Since(start))
}

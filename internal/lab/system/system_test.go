// Package system_test runs whole nodes as real processes, with real browsers and real networks, and holds them to what
// the README promises. Each test prints its figures. `go test -short` leaves all of them out.
package system_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("system tests are not short: none is run")
		return
	}
	if err := lab.BuildOnce(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// table collects figures beside their bounds and prints them when the test is over.
type table struct {
	tb   testing.TB
	rows [][]string
}

func newTable(tb testing.TB, columns ...string) *table {
	t := &table{tb: tb, rows: [][]string{columns}}
	tb.Cleanup(t.print)
	return t
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		if d, ok := cell.(time.Duration); ok {
			cell = fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
		}
		row[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, row)
}

func (t *table) print() {
	w := tabwriter.NewWriter(t.tb.Output(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w)
	for _, row := range t.rows {
		fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
	}
	fmt.Fprintln(w)
	_ = w.Flush()
}

// percentile of durations that need not be sorted, by nearest rank: of 20 the 95th is the 19th.
func percentile(of []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// verdict is a table's last word on a row.
func verdict(good bool) string {
	if good {
		return "ok"
	}
	return "NOT MET"
}

func TestBrowsersMeet(t *testing.T) {
	lab.Browse(t, lab.StartNode(t), "meeting.test.mjs", "", 5*time.Minute)
}

func TestLayersFollowTheTile(t *testing.T) {
	lab.Browse(t, lab.StartNode(t), "layers.test.mjs", "", 3*time.Minute)
}

// TestLayersInOneStream: likewise where one stream has all layers.
func TestLayersInOneStream(t *testing.T) {
	for _, how := range []string{"vp9,L3T3_KEY", "av1,L3T3_KEY"} {
		t.Run(how, func(t *testing.T) {
			lab.Browse(t, lab.StartNode(t), "scalable.test.mjs", "", 3*time.Minute, "LAB_SCALABLE="+how)
		})
	}
}

func TestLossIsRepaired(t *testing.T) {
	link := lab.NewLink(t)
	node := lab.ServeOn(t, link)
	link.Lose(t, "udp", 5)
	lab.Browse(t, node, "loss.test.mjs", link.Client, 4*time.Minute)
	fmt.Fprintln(t.Output(), link.Lost(t))
}

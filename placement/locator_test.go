package placement_test

import (
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"github.com/parley-sfu/parley/placement"
)

// locate returns a locator over nodes whose own region is eu.
func locate(t *testing.T, nodes []placement.Node, cfg placement.LocatorConfig) *placement.Locator {
	t.Helper()
	cfg.Region = "eu"
	l, err := placement.NewLocator(cfg, func() []placement.Node { return nodes })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func regions(nodes []placement.Node) string {
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Region)
	}
	return strings.Join(names, " ")
}

func TestTheOrderOfRegions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "geo.mmdb")
	tokyo, virginia, nodeInAP := netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:5::/48"), netip.MustParsePrefix("192.0.2.0/24")
	database := mmdb(map[netip.Prefix]placement.Place{
		tokyo: {Latitude: 35.7, Longitude: 139.7}, virginia: {Latitude: 38, Longitude: -78}, nodeInAP: {Latitude: 1.3, Longitude: 103.8},
	})
	if err := os.WriteFile(file, database, 0o600); err != nil {
		t.Fatal(err)
	}
	nodes := fleet(9, "eu", "us", "ap")
	nodes[8].Media = netip.MustParseAddrPort("192.0.2.9:7881") // says where ap is
	l := locate(t, nodes, placement.LocatorConfig{
		GeoIPFile: file,
		Places:    map[string]placement.Place{"eu": {Latitude: 50, Longitude: 8}, "us": {Latitude: 39, Longitude: -77}},
	})
	rtts := map[string]float64{"us": 20, "ap": 90, "eu": 95, "mars": 1}
	inTokyo := netip.MustParseAddr("::ffff:203.0.113.7")
	for name, tc := range map[string]struct {
		hint placement.Hint
		want string
	}{
		"nothing known: our own":               {placement.Hint{}, "eu eu ap"},
		"asked for":                            {placement.Hint{Region: "ap", RTTs: rtts, Remote: inTokyo}, "ap ap us"},
		"asked for one that is not there":      {placement.Hint{Region: "mars", RTTs: rtts, Remote: inTokyo}, "us us ap"},
		"measured":                             {placement.Hint{RTTs: rtts, Remote: inTokyo}, "us us ap"},
		"measured nonsense":                    {placement.Hint{RTTs: map[string]float64{"us": -1, "ap": math.NaN()}}, "eu eu ap"},
		"measured two as near: our own":        {placement.Hint{RTTs: map[string]float64{"us": 20, "eu": 24.9, "mars": 1}, Remote: inTokyo}, "eu eu us"},
		"measured two, ours is farther":        {placement.Hint{RTTs: map[string]float64{"us": 20, "eu": 25.1}, Remote: inTokyo}, "us us eu"},
		"looked up, IPv4":                      {placement.Hint{Remote: inTokyo}, "ap ap eu"},
		"looked up, IPv6":                      {placement.Hint{Remote: netip.MustParseAddr("2001:db8:5::1")}, "us us eu"},
		"looked up in vain":                    {placement.Hint{Remote: netip.MustParseAddr("10.0.0.1")}, "eu eu ap"},
		"measured one, the next by looking up": {placement.Hint{RTTs: map[string]float64{"eu": 9}, Remote: inTokyo}, "eu eu ap"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.hint.Room = "mtg_x"
			got, err := l.Candidates(t.Context(), tc.hint)
			if err != nil || regions(got) != tc.want {
				t.Errorf("%s, %v, want %s", regions(got), err, tc.want)
			}
		})
	}
}

func TestTheNextRegionIsTheNearestOnTheNetwork(t *testing.T) {
	nodes := fleet(3, "eu", "ap", "us")
	for i, seconds := range []float64{0, 0.2, 0.08} {
		nodes[i].Coordinate = &coordinate.Coordinate{Vec: make([]float64, 8)}
		nodes[i].Coordinate.Vec[0] = seconds
	}
	if d, ok := nodes[0].Distance(nodes[1]); !ok || d != 200*time.Millisecond {
		t.Errorf("Distance = %v, %v", d, ok)
	}
	got, err := locate(t, nodes, placement.LocatorConfig{}).Candidates(t.Context(), placement.Hint{})
	if err != nil || regions(got) != "eu us ap" {
		t.Errorf("%s, %v", regions(got), err)
	}
}

func TestOneRoomPacksOntoFewNodesAndSpills(t *testing.T) {
	nodes := fleet(8, "eu")
	l := locate(t, nodes, placement.LocatorConfig{})
	ask := func(hint placement.Hint) []string {
		hint.Room = "mtg_x"
		got, err := l.Candidates(t.Context(), hint)
		if err != nil {
			t.Fatal(err)
		}
		return ids(got)
	}
	ranked := ids(placement.Rank("mtg_x", nodes))
	at := func(id string) *placement.Node {
		return &nodes[slices.IndexFunc(nodes, func(n placement.Node) bool { return n.ID == id })]
	}
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("all free", ask(placement.Hint{}), ranked[0], ranked[1], ranked[2])
	at(ranked[0]).Pressure = placement.Busy
	expect("the first is busy: a new room goes elsewhere", ask(placement.Hint{}), ranked[1], ranked[2], ranked[3])
	expect("a room that is there stays", ask(placement.Hint{Carriers: []string{ranked[0]}}), ranked[0], ranked[1], ranked[2])
	at(ranked[0]).Pressure = placement.Full
	expect("the first is full: it spills", ask(placement.Hint{Carriers: []string{ranked[0]}}), ranked[1], ranked[2], ranked[3])
	at(ranked[0]).Pressure = placement.Free
	at(ranked[0]).Draining = true
	expect("the first drains", ask(placement.Hint{Carriers: []string{ranked[0]}}), ranked[1], ranked[2], ranked[3])
	for i := range nodes {
		nodes[i].Draining = true
	}
	expect("all drain: better than none", ask(placement.Hint{}), ranked[0], ranked[1], ranked[2])
}

func TestAFullRegionSpillsIntoTheNext(t *testing.T) {
	nodes := fleet(6, "eu", "us")
	for i := range nodes {
		if nodes[i].Region == "eu" {
			nodes[i].Pressure = placement.Full
		}
	}
	got, err := locate(t, nodes, placement.LocatorConfig{}).Candidates(t.Context(), placement.Hint{Room: "mtg_x"})
	if err != nil || regions(got) != "us us us" {
		t.Errorf("%s, %v", regions(got), err)
	}
}

func TestSplitTiersBorrowASignalEndpoint(t *testing.T) {
	nodes := fleet(4, "eu", "us")
	for i := range nodes {
		nodes[i].SignalEndpoint = "wss://" + nodes[i].ID
		nodes[i].Roles = []string{placement.RoleMedia}
	}
	nodes[1].Roles = []string{placement.RoleSignal} // of us; eu has none
	nodes[0].ProbeURL = "https://probe"
	l := locate(t, nodes, placement.LocatorConfig{})
	got, err := l.Candidates(t.Context(), placement.Hint{Room: "mtg_x"})
	if err != nil || regions(got) != "eu eu us" {
		t.Fatalf("%s, %v", regions(got), err)
	}
	for _, n := range got {
		if n.SignalEndpoint != "wss://"+nodes[1].ID {
			t.Errorf("%s: %s", n.ID, n.SignalEndpoint)
		}
	}
	want := []placement.Region{{Name: "eu", ProbeURL: "https://probe"}, {Name: "us"}}
	if got := l.Regions(); !slices.Equal(got, want) {
		t.Errorf("Regions = %+v, want %+v", got, want)
	}
}

func TestNobodyForMedia(t *testing.T) {
	if got, err := locate(t, nil, placement.LocatorConfig{}).Candidates(t.Context(), placement.Hint{}); !errors.Is(err, placement.ErrNoNode) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestABrokenGeoIPFileIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "geo.mmdb")
	if err := os.WriteFile(file, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + ".missing"} {
		if _, err := placement.NewLocator(placement.LocatorConfig{GeoIPFile: name}, nil); err == nil || !strings.Contains(err.Error(), "GeoIP") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Clients of a thousand rooms in a cluster of a thousand nodes: each region's nodes share them, and nobody leaves home.
func TestLocatingAmongAThousandNodes(t *testing.T) {
	nodes := fleet(1000, "eu", "us", "ap")
	l := locate(t, nodes, placement.LocatorConfig{})
	used := map[string]int{}
	for i := range 1000 {
		got, err := l.Candidates(t.Context(), placement.Hint{Region: "us", Room: room(i)})
		if err != nil || len(got) != 3 || got[0].Region != "us" {
			t.Fatalf("%v, %v", got, err)
		}
		used[got[0].ID]++
	}
	if len(used) < 300 { // of 333; 1,000 balls leave about 17 of them empty
		t.Errorf("only %d nodes are used", len(used))
	}
}

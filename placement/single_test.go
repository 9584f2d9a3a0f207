package placement_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/placement"
)

// TestMain fails on goroutines that stay. memberlist's last probe ends by its own timeout, after Shutdown, so that the
// search is repeated.
func TestMain(m *testing.M) {
	code := m.Run()
	var leak error
	for range 20 {
		if leak = goleak.Find(); leak == nil {
			break
		}
	}
	if leak != nil && code == 0 {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}

func theNode() placement.Node {
	return placement.Node{
		ID: "n1", Region: "eu-west", SFUEndpoint: "127.0.0.1:7881", SignalEndpoint: "ws://127.0.0.1:7880/v1/signal",
		ProbeURL: "http://127.0.0.1:7880/livez",
	}
}

func TestSingleIsTheAnswerToEveryHint(t *testing.T) {
	s, err := placement.NewSingle(theNode())
	if err != nil {
		t.Fatal(err)
	}
	for name, hint := range map[string]placement.Hint{
		"no hint":             {},
		"its region":          {Region: "eu-west"},
		"a region without us": {Region: "mars"},
		"measured":            {RTTs: map[string]float64{"mars": 1, "eu-west": 400}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Candidates(t.Context(), hint)
			if err != nil || !reflect.DeepEqual(got, []placement.Node{theNode()}) {
				t.Errorf("Candidates = %+v, %v", got, err)
			}
		})
	}
	want := []placement.Region{{Name: "eu-west", ProbeURL: "http://127.0.0.1:7880/livez"}}
	if got := s.Regions(); !slices.Equal(got, want) {
		t.Errorf("Regions = %+v, want %+v", got, want)
	}
}

func TestNewSingleNamesEveryFault(t *testing.T) {
	_, err := placement.NewSingle(placement.Node{ID: "n1"})
	for _, field := range []string{"Region", "SFUEndpoint", "SignalEndpoint"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
}

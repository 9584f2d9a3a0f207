package bench

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const small = "people: [{role: attendee, count: 1}, {role: viewer, count: 2}]\nduration: 10s\n"

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("scenarios/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	people := map[string]int{"smoke": 15, "churn": 200, "speakers": 49, "webinar": 525, "regions": 63}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			s, err := Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			if s.Name+".yaml" != filepath.Base(name) {
				t.Errorf("it is called %s", s.Name)
			}
			if got := len(newPlan(s).seats); got != people[s.Name] {
				t.Errorf("%d people, want %d", got, people[s.Name])
			}
		})
	}
}

func TestScenarioIsCompleted(t *testing.T) {
	s, err := Parse(strings.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	publisher, viewer := s.People[0], s.People[1]
	if publisher.Sends != SendsAV || publisher.Layout != LayoutNone || len(publisher.Layers) != 3 || publisher.Codec != "vp8" {
		t.Errorf("an attendee is %+v", publisher)
	}
	if viewer.Sends != SendsNothing || viewer.Layout != LayoutGrid || viewer.Page != maxPage || *viewer.Verify != 1 {
		t.Errorf("a viewer is %+v", viewer)
	}
	if s.Rooms != 1 || s.interval() != 100*time.Millisecond {
		t.Errorf("%d rooms, one join in %s", s.Rooms, s.interval())
	}
}

func TestScenarioFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		says []string
	}{
		"nothing":       {"", []string{"empty"}},
		"no YAML":       {"people: [", []string{"yaml"}},
		"unknown keys":  {small + "colour: red\nsmell: none\n", []string{"line 3: field colour", "line 4: field smell"}},
		"nobody":        {"duration: 1m", []string{"people: nobody would come"}},
		"two documents": {small + "---\nname: b\n", []string{"more than one document"}},
		"too long":      {strings.Repeat("#", maxFile+1), []string{"longer than"}},
		"everything bad": {
			"rooms: -1\nseed: 1\njoin: {rate: 1, within: 2s}\nregions: {eu: [ftp://x], us: []}\n" +
				"people: [{role: king, count: 0, sends: smell, codec: av2, layers: [f, q], layout: heap, page: 26, receiver: fat, region: mars, verify: 2}, {role: viewer, count: 1, sends: av}]\n" +
				"duration: soon\nactions: [{do: dance}, {do: churn}, {do: mute, share: 0.5, rate: 3}, {do: hands, every: 1ms, at: 2h}, {do: chat, rate: .nan}]",
			[]string{
				"rooms:", "join: has a rate and a time", "regions.eu[0]:", "regions.us:", "people[0].role:", "people[0].count:", "people[0].sends:",
				"people[0].codec:", "people[0].layers:", "people[0].layout:", "people[0].page:", "people[0].receiver:", "people[0].region:",
				"people[0].verify:", "people[1].sends: a viewer may send nothing", `duration: "soon"`, "actions[0].do:", "actions[1].rate: churn needs it",
				"actions[2].rate: mute has none", "actions[2].for: mute needs it", "actions[3].every:", "actions[3].at:", "actions[4].rate:",
			},
		},
		"too many":       {"people: [{role: viewer, count: 9000}]\nrooms: 2\nduration: 1m", []string{"people: more than 10000"}},
		"too much to do": {small + "actions: [{do: chat, rate: 10000}]\n" + "rooms: 5\n# for a day\n", nil},
		"too many steps": {"people: [{role: viewer, count: 9}]\nduration: 24h\nactions: [{do: chat, rate: 100}]", []string{"actions: come to"}},
		"too long a run": {"people: [{role: viewer, count: 9}]\nduration: 25h", []string{"duration: must be at most"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(tc.text))
			if (err == nil) != (tc.says == nil) {
				t.Fatalf("says %v", err)
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestOutsideTheLab(t *testing.T) {
	s, err := Parse(strings.NewReader(small + "actions: [{do: kill, at: 1s, node: a}, {do: drain, at: 1s, node: a}, {do: nats, for: 2s}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.People[1].Receiver = ReceiverLean
	err = (&Config{Scenario: s, URL: "x", Agents: 2}).Validate()
	for _, want := range []string{"url:", "actions[0].do: kill is done to machines", "actions[2].do: nats", "people[1].receiver:", "nats: agents are reached"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "actions[1]") {
		t.Errorf("draining needs no lab: %v", err)
	}
}

// What is read is the same after it was written: a coordinator sends it so.
func FuzzParse(f *testing.F) {
	f.Add(small)
	files, _ := filepath.Glob("scenarios/*.yaml")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		written, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(strings.NewReader(string(written)))
		if err != nil || !reflect.DeepEqual(again, s) && len(written) < maxFile {
			t.Errorf("%v\n%s", err, written)
		}
	})
}

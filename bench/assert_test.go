package bench

import (
	"strings"
	"testing"
)

func TestAssertions(t *testing.T) {
	rep := &Report{Join: Spread{P95: 12.5, Max: 40}, Lost: 3, FreezeRatio: 0.004, Server: Server{CPU: 0.5}}
	for name, tc := range map[string]struct {
		text  string
		holds bool
	}{
		"below":              {"join_p95<1500ms", true},
		"not below":          {"join_p95<12ms", false},
		"another unit":       {"join_p95<0.013s", true},
		"spaces":             {" join_max >= 40ms ", true},
		"the bound itself":   {"lost_packets<=3", true},
		"below the bound":    {"lost_packets<3", false},
		"a share":            {"freeze_ratio<1%", true},
		"a figure inside":    {"server.cpu_cores<0.6", true},
		"above":              {"server.cpu_cores>0.6", false},
		"a spread's own key": {"join_ms.p95<13", true},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := ParseAssertion(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Check(rep); (err == nil) != tc.holds {
				t.Errorf("holds = %v, want %v: %v", err == nil, tc.holds, err)
			}
		})
	}
}

func TestBadAssertions(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"nothing":         {"", "must be like"},
		"no bound":        {"join_p95<", "must be like"},
		"unknown figure":  {"jion_p95<1ms", "no figure"},
		"no unit":         {"join_p95<1500", "needs a unit"},
		"unit of a count": {"lost_packets<1ms", "no unit of time"},
		"a whole section": {"server<1", "is no figure"},
		"no number":       {"lost_packets<1e", "must be like"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseAssertion(tc.text); err == nil || !strings.Contains(err.Error(), tc.says) && tc.says != "must be like" {
				t.Errorf("says %v, want %q", err, tc.says)
			}
		})
	}
}

func FuzzAssertion(f *testing.F) {
	f.Add("join_p95<1500ms")
	f.Add("lost_packets<=0")
	f.Fuzz(func(_ *testing.T, text string) {
		if a, err := ParseAssertion(text); err == nil {
			_ = a.Check(&Report{})
		}
	})
}

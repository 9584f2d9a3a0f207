package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench"
	"github.com/parley-sfu/parley/internal/lab"
)

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	scenario := filepath.Join(dir, "s.yaml")
	text := "people: [{role: viewer, count: 1}]\nduration: 5s\nactions: [{do: kill, node: a}, {do: dance}]\nsmell: none\n"
	if err := os.WriteFile(scenario, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lab := filepath.Join(dir, "lab.yaml")
	if err := os.WriteFile(lab, []byte(strings.ReplaceAll(text[:strings.Index(text, ", {do: dance")], "\nsmell", "")+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"help":             {[]string{"--help"}, exitOK, []string{"--scenario"}},
		"unknown flag":     {[]string{"--fast"}, exitUsage, []string{"--fast"}},
		"no URL":           {[]string{"--url", "x"}, exitUsage, []string{"url:"}},
		"nobody":           {[]string{"--publishers", "0", "--viewers", "0"}, exitUsage, []string{"nobody would come"}},
		"fewer than none":  {[]string{"--viewers=-1"}, exitUsage, []string{"people[1].count:"}},
		"assertion":        {[]string{"--assert", "smell<1"}, exitUsage, []string{"no figure smell"}},
		"bad scenario":     {[]string{"--scenario", scenario}, exitUsage, []string{"s.yaml", "line 4: field smell", "actions[1].do:"}},
		"the lab's":        {[]string{"--scenario", lab}, exitUsage, []string{"actions[0].do: kill", "only the lab"}},
		"agents but where": {[]string{"--agents", "2"}, exitUsage, []string{"nats:"}},
		"agents of nobody": {[]string{"--agents", "2", "--nats", "nowhere"}, exitFailed, []string{"nats:"}},
		"agent of whom":    {[]string{"--agent"}, exitUsage, []string{"nats:"}},
		"no report":        {[]string{"--compare", scenario}, exitUsage, []string{"is no report"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(t.Context(), tc.args, &out, &out); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, want := range tc.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("does not say %q:\n%s", want, out.String())
				}
			}
		})
	}
}

// The flags of SPEC, from the beginning to files and assertions.
func TestRunOfFlags(t *testing.T) {
	n := lab.StartNode(t)
	dir := t.TempDir()
	report, page := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	args := []string{
		"--url", n.URL, "--token", n.Token, "--rooms", "1", "--publishers", "1", "--viewers", "3", "--media", "audio", "--layout", "grid",
		"--duration", "3s", "--json", report, "--html", page,
	}
	var out bytes.Buffer
	code := run(t.Context(), append(args, "--assert", "failed_joins<=0", "--assert", "viewers>100"), &out, &out)
	var rep bench.Report
	raw, err := os.ReadFile(report)
	if err != nil || json.Unmarshal(raw, &rep) != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if rep.Viewers != 3 || rep.Received == 0 || rep.FirstFrame.Count != 0 {
		t.Errorf("%d viewers, %d packets, %d pictures", rep.Viewers, rep.Received, rep.FirstFrame.Count)
	}
	if v := rep.Verified; rep.Lean != 3 || rep.Verifiers != 1 || v.Whole == 0 || v.Corrupt > 0 || rep.AudioLatency.Count == 0 {
		t.Errorf("%d lean viewers, %d who looked at frames: %+v, %d latencies", rep.Lean, rep.Verifiers, v, rep.AudioLatency.Count)
	}
	if rep.Own.MicrosPerPacket <= 0 {
		t.Errorf("swarm itself: %+v", rep.Own)
	}
	if rep.Valid && (code != exitFailed || !strings.Contains(out.String(), "does not hold: viewers>100")) || !rep.Valid && code != exitInvalid {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
	if html, err := os.ReadFile(page); err != nil || !bytes.Contains(html, []byte("<svg")) {
		t.Errorf("the page: %v", err)
	}
	out.Reset()
	if code := run(t.Context(), append(args, "--compare", report, "-q"), &out, &out); code != exitOK && code != exitInvalid || !strings.Contains(out.String(), "now/before") {
		t.Errorf("exit code %d:\n%s", code, out.String())
	}
}

func TestViewIsDrawnOver(t *testing.T) {
	var out bytes.Buffer
	v := &view{out: &out, terminal: true}
	p := bench.Progress{Stage: "measuring", Elapsed: 65 * time.Second, Of: 2 * time.Minute, People: 12, Agents: 2, Failed: 1, Doing: "drain n1"}
	p.In, p.OwnCPU = 11, 0.9
	v.tell(p)
	p.Sample = bench.Sample{At: 3, In: 11, Received: 12_345, Lost: 2, AudioMedian: 1.5, AudioLatency: 9, ServerCPU: 0.5, ServerMB: 80}
	v.tell(p)
	v.close()
	v.tell(p) // too late
	text := out.String()
	for _, want := range []string{
		"1:05 of 2:00", "11 of 12 in, 1 failed, on 2 agents", "drain n1", "12345/s", "2 lost", "1.5 / 9.0 ms", "0.50 cores, 80 MB", "too much for the result",
		"\x1b[3A", // the first time there were three lines
	} {
		if !strings.Contains(text, want) {
			t.Errorf("does not show %q:\n%q", want, text)
		}
	}
	if n := strings.Count(text, "people"); n != 2 {
		t.Errorf("drawn %d times", n)
	}
}

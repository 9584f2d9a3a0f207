package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStepsAreSkippedForTheFirstCause(t *testing.T) {
	x := newExamination("https://meet.example.org", nil)
	ask := func(f finding) func(context.Context) finding { return func(context.Context) finding { return f } }
	for _, s := range []step{
		{id: "a", name: "A", limit: time.Second, ask: ask(fine("here"))},
		{id: "b", name: "B", needs: []string{"a"}, limit: time.Second, ask: ask(broken("gone", "look"))},
		{id: "c", name: "C", needs: []string{"b"}, limit: time.Second, ask: ask(fine(""))},
		{id: "d", name: "D", needs: []string{"c"}, limit: time.Second, ask: ask(fine(""))},
		{id: "e", name: "E", needs: []string{"a"}, limit: time.Second, ask: ask(doubtful("slow", ""))},
		{id: "f", name: "F", needs: []string{"e"}, limit: time.Second, ask: ask(fine(""))},
	} {
		x.run(t.Context(), s)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	x.run(over, step{id: "g", name: "G", limit: time.Second, ask: ask(fine(""))})
	r := x.finish("no")
	for id, want := range map[string]string{
		"a": "ok ", "b": "fail gone", "c": "skipped because of B", "d": "skipped because of B", "e": "warn slow", "f": "ok ",
		"g": "skipped because the time for all checks was over",
	} {
		check, _ := r.Find(id)
		if got := string(check.State) + " " + check.Cause; got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	if r.OK {
		t.Error("all is well, and B failed")
	}
}

func TestAStepIsGivenItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExamination("", nil)
		x.run(t.Context(), step{id: "a", limit: 3 * time.Second, ask: func(ctx context.Context) finding {
			<-ctx.Done()
			return broken("late", "")
		}})
		if check, _ := x.report.Find("a"); time.Duration(check.Took) != 3*time.Second {
			t.Errorf("took %s", time.Duration(check.Took))
		}
	})
}

// legsOf makes an exam in which the ways went as told, each as "ice dtls rtp".
func legsOf(ways map[string]string, more ...Check) *exam {
	e := &exam{examination: newExamination("", nil)}
	e.report.Checks = more
	for _, id := range []string{"udp", "tcp", "relay_udp", "relay_tcp", "relay_tls"} {
		states := strings.Fields(ways[id])
		for i, plane := range []string{"ice", "dtls", "rtp"} {
			state := Skipped
			if i < len(states) {
				state = State(states[i])
			}
			check := Check{ID: plane + "." + id, Plane: plane, State: state}
			if state == Fail {
				check.Cause = plane + " by " + id
			}
			e.report.Checks = append(e.report.Checks, check)
		}
	}
	return e
}

func TestVerdict(t *testing.T) {
	const flows = "ok ok ok"
	candidate := Check{ID: "ice.relay_udp_candidate", Plane: "ice", State: OK}
	for _, tc := range []struct {
		name string
		exam *exam
		want string
	}{
		{"all is well", legsOf(map[string]string{"udp": flows, "tcp": flows}), "Calls will work."},
		{"losses", legsOf(map[string]string{"udp": "ok ok warn"}), "Calls will work."},
		{"only TCP", legsOf(map[string]string{"udp": "fail", "tcp": flows}), "Calls will work, over TCP: UDP blocked."},
		{"only a relay", legsOf(map[string]string{"udp": "fail", "tcp": "fail", "relay_tls": flows}), "Calls will work, through the relay: UDP blocked."},
		{"nothing", legsOf(map[string]string{"udp": "fail", "tcp": "fail"}), "Calls will not work: UDP blocked and no relay."},
		{"the relay leads nowhere", legsOf(map[string]string{"udp": "fail", "tcp": "fail", "relay_udp": "fail"}, candidate), "Calls will not work: UDP blocked, and the relay does not reach the server."},
		{"no keys", legsOf(map[string]string{"udp": "ok fail", "tcp": "fail"}), "Calls will not work: dtls by udp."},
		{"no sound", legsOf(map[string]string{"udp": "ok ok fail"}), "Calls will not work: rtp by udp."},
		{"REST down", legsOf(nil, Check{ID: "rest.livez", Plane: "rest", State: Fail, Cause: "REST down: HTTP 502"}), "Calls will not work: REST down: HTTP 502."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.exam.verdict(); got != tc.want {
				t.Errorf("verdict = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReportIsStable(t *testing.T) {
	r := Report{
		Schema: Schema, URL: "https://meet.example.org", Began: time.Unix(0, 0).UTC(), Took: Millis(1234567 * time.Microsecond), Verdict: "Calls will work.", OK: true,
		Checks: []Check{{
			ID: "ice.udp", Plane: "ice", Name: "ICE by UDP", State: Warn, Took: Millis(1500 * time.Microsecond),
			Found: "f", Cause: "c", Hint: "h", Figures: map[string]float64{"ice_ms": 1.5},
		}, {ID: "rtp.udp", Plane: "rtp", Name: "RTP by UDP", State: Skipped}},
	}
	const want = `{"schema":1,"url":"https://meet.example.org","began":"1970-01-01T00:00:00Z","took_ms":1234.6,"ok":true,"verdict":"Calls will work.","checks":[` +
		`{"id":"ice.udp","plane":"ice","name":"ICE by UDP","state":"warn","took_ms":1.5,"found":"f","cause":"c","hint":"h","figures":{"ice_ms":1.5}},` +
		`{"id":"rtp.udp","plane":"rtp","name":"RTP by UDP","state":"skipped","took_ms":0.0}]}`
	got, err := json.Marshal(r)
	if err != nil || string(got) != want {
		t.Errorf("report is\n%s\nwant\n%s\n%v", got, want, err)
	}
	var back Report
	if err := json.Unmarshal(got, &back); err != nil || back.Checks[0].Took != r.Checks[0].Took {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

func TestPrinter(t *testing.T) {
	var out bytes.Buffer
	p := &Printer{W: &out}
	for _, c := range []Check{
		{Name: "REST", State: OK, Found: "/livez answers", Took: Millis(2 * time.Millisecond)},
		{Name: "ICE by UDP", State: Fail, Cause: "UDP blocked", Hint: "Let UDP out.", Took: Millis(5 * time.Second)},
		{Name: "DTLS by UDP", State: Skipped, Cause: "because of ICE by UDP"},
		{Name: "RTP by UDP", State: Skipped, Cause: "because of ICE by UDP"},
		{Name: "STUN", State: Skipped, Cause: "because there is none"},
	} {
		p.Check(c)
	}
	p.Verdict(Report{Verdict: "Calls will not work.", Took: Millis(5 * time.Second)})
	const want = `  ok    REST                          2 ms  /livez answers
  FAIL  ICE by UDP                 5000 ms  UDP blocked
                                            → Let UDP out.
  -     skipped because of ICE by UDP: DTLS by UDP, RTP by UDP
  -     skipped because there is none: STUN

  Calls will not work.  (5.0 s)
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	(&Printer{W: &out, Color: true}).Check(Check{Name: "REST", State: Fail, Cause: "down"})
	if !strings.Contains(out.String(), "\x1b[31;1mFAIL\x1b[0m") {
		t.Errorf("no colour in %q", out.String())
	}
}

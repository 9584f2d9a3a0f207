package path

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func result(commit, date, cpu string, ratio float64) *Result {
	return &Result{
		Date: date, Commit: commit, Machine: Machine{CPU: cpu, Cores: 2},
		Rows: []Row{{Load: "a", Floor: Ratio{ratio, ratio, ratio}}, {Load: "a", Paced: true, Floor: Ratio{9, 9, 9}}},
	}
}

func TestCompare(t *testing.T) {
	old := result("old", "", "", 2)
	for name, tc := range map[string]struct {
		now   *Result
		fails bool
	}{
		"the same":             {result("new", "", "", 2), false},
		"14 % worse":           {result("new", "", "", 2.28), false},
		"16 % worse":           {result("new", "", "", 2.32), true},
		"another load":         {&Result{Rows: []Row{{Load: "b", Floor: Ratio{9, 9, 9}}}}, false},
		"only the paced worse": {&Result{Rows: []Row{{Load: "a", Paced: true, Floor: Ratio{11, 11, 11}}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.now.Compare(Kept{old}); (err != nil) != tc.fails {
				t.Errorf("= %v", err)
			}
		})
	}
	if err := result("new", "", "", 3).Compare(Kept{old}); err == nil || !strings.Contains(err.Error(), "+50 %") {
		t.Errorf("the error does not say how much worse: %v", err)
	}
	if err := result("new", "", "", 3).Compare(nil); err != nil {
		t.Errorf("without an old result = %v", err)
	}
}

func TestEarlier(t *testing.T) {
	dir := t.TempDir()
	mine := Machine{CPU: "mine", Cores: 2}
	if got, err := Earlier(dir, mine); got != nil || err != nil {
		t.Fatalf("of an empty directory = %v, %v", got, err)
	}
	for _, step := range []struct {
		add  *Result
		want string
		why  string
	}{
		{result("a", "2026-01-01T00:00:00Z", "other", 1), "a", "there is no other"},
		{result("b", "2025-01-01T00:00:00Z", "mine", 1), "b", "it is of this kind of machine"},
		{result("c", "2026-02-01T00:00:00Z", "other", 1), "b", "a newer one is of another kind"},
		{result("d", "2025-06-01T00:00:00Z", "mine", 1), "d", "it is newer"},
	} {
		if _, err := step.add.Write(dir); err != nil {
			t.Fatal(err)
		}
		got, err := Earlier(dir, mine)
		if err != nil || got[0].Commit != step.want {
			t.Errorf("after %s = %v, %v; want %s first, since %s", step.add.Commit, got, err, step.want, step.why)
		}
	}
}

func TestModel(t *testing.T) {
	if got := modelIn("processor\t: 0\nmodel name\t: AMD EPYC 9 : x\nflags: a\n"); got != "AMD EPYC 9 : x" {
		t.Errorf("= %q", got)
	}
	if got := modelIn("Processor: ARM\n"); got != "" {
		t.Errorf("= %q", got)
	}
}

func TestKernelsNumbers(t *testing.T) {
	for release, want := range map[string]string{"6.18.0-who+where": "6.18.0", "6.1": "6.1", "5.15.0.custom": "5.15.0"} {
		if got := numbersOf(release); got != want {
			t.Errorf("of %q = %q, want %q", release, got, want)
		}
	}
}

func TestClassify(t *testing.T) {
	for name, tc := range map[string]struct {
		b    []byte
		want class
	}{
		"STUN": {[]byte{0, 1}, isCheck}, "DTLS": {[]byte{22, 254}, isCheck}, "RTP": {[]byte{0x90, 96}, isMedia},
		"RTP with the marker": {[]byte{0x80, 0x80 | 111}, isMedia}, "RTCP": {[]byte{0x80, 200}, isReport},
		"TURN channel": {[]byte{0x40, 0}, isReport}, "nothing": {nil, isReport}, "beyond": {[]byte{0xff, 0}, isReport},
	} {
		t.Run(name, func(t *testing.T) {
			if got := classify(tc.b); got != tc.want {
				t.Errorf("= %v, want %v", got, tc.want)
			}
		})
	}
}

// TestCompareSurely: chance, a busy machine, another kind of machine, another floor and a cheaper one are doubts; only the rest fails.
func TestCompareSurely(t *testing.T) {
	row := func(ratio Ratio, others float64, cpu string) *Result {
		return &Result{Machine: Machine{CPU: cpu}, Rows: []Row{{Load: "a", Floor: ratio, Others: others, Micros: map[string]float64{Floor: 3, Parley: 3 * ratio.Median}}}}
	}
	at := func(floor float64, r *Result) *Result {
		r.Rows[0].Micros = map[string]float64{Floor: floor, Parley: floor * r.Rows[0].Floor.Median}
		return r
	}
	earlier := Kept{row(Ratio{2, 1.9, 2.1}, 0, "mine"), at(1.2, row(Ratio{3, 2.9, 3.1}, 0, "mine"))}
	for name, tc := range map[string]struct {
		now    *Result
		doubts int
		fails  bool
	}{
		"the same":                  {row(Ratio{2, 1.9, 2.1}, 0, "mine"), 0, false},
		"a little worse":            {row(Ratio{2.2, 1.9, 2.6}, 0, "mine"), 0, false},
		"worse by chance":           {row(Ratio{2.5, 2.2, 2.9}, 0, "mine"), 1, false},
		"worse":                     {row(Ratio{2.5, 2.4, 2.9}, 0.1, "mine"), 0, true},
		"worse on a busy machine":   {row(Ratio{2.5, 2.4, 2.9}, 0.3, "mine"), 1, false},
		"worse on another machine":  {row(Ratio{2.5, 2.4, 2.9}, 0, "other"), 1, false},
		"as with such a floor":      {at(1, row(Ratio{3, 2.9, 3.1}, 0, "mine")), 0, false},
		"worse than with one":       {at(1.2, row(Ratio{4, 3.9, 4.1}, 0, "mine")), 0, true},
		"no floor was such":         {at(9, row(Ratio{4, 3.9, 4.1}, 0, "mine")), 1, false},
		"only the floor is cheaper": {at(2.4, row(Ratio{2.5, 2.4, 2.9}, 0, "mine")), 1, false},
		"better on another machine": {row(Ratio{1.5, 1.4, 1.9}, 0, "other"), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			doubts, err := tc.now.CompareSurely(earlier)
			if len(doubts) != tc.doubts || (err != nil) != tc.fails {
				t.Errorf("= %q, %v", doubts, err)
			}
		})
	}
}

// TestOthers: time that this process takes is not others'.
func TestOthers(t *testing.T) {
	begun := moment{at: time.Unix(100, 0), known: true}
	cpus := time.Duration(runtime.NumCPU())
	end := moment{at: time.Unix(101, 0), own: 300 * time.Millisecond, idle: cpus*time.Second - time.Second, known: true}
	if got, want := end.others(begun, 500*time.Millisecond), 0.2/float64(cpus); math.Abs(got-want) > 1e-6 {
		t.Errorf("others took %.3f of the machine, want %.3f", got, want)
	}
	if now := thisMoment(); runtime.GOOS == "linux" && (!now.known || now.own == 0) {
		t.Errorf("this moment is %+v", now)
	}
}

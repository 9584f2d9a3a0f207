package path

import (
	"strings"
	"testing"

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
			if err := tc.now.Compare(old); (err != nil) != tc.fails {
				t.Errorf("= %v", err)
			}
		})
	}
	if err := result("new", "", "", 3).Compare(old); err == nil || !strings.Contains(err.Error(), "+50 %") {
		t.Errorf("the error does not say how much worse: %v", err)
	}
	if err := result("new", "", "", 3).Compare(nil); err != nil {
		t.Errorf("without an old result = %v", err)
	}
}

func TestBaseline(t *testing.T) {
	dir := t.TempDir()
	mine := Machine{CPU: "mine", Cores: 2}
	if got, err := Baseline(dir, mine); got != nil || err != nil {
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
		got, err := Baseline(dir, mine)
		if err != nil || got.Commit != step.want {
			t.Errorf("after %s = %v, %v; want %s, since %s", step.add.Commit, got, err, step.want, step.why)
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

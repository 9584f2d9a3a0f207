package bench

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Assertion is a bound on one figure of a report, such as join_p95<1500ms, lost_packets<=0 or server.cpu_cores<1.
type Assertion struct {
	text   string
	path   []string // keys of the report's JSON
	less   bool     // or more
	equal  bool     // may be the bound itself
	bound  float64
	millis bool // the figure is a time
}

var assertionForm = regexp.MustCompile(`^\s*([a-z0-9_.]+)\s*(<=|>=|<|>)\s*([-+0-9.eE]+)\s*(us|µs|ms|s|m|%)?\s*$`)

// ParseAssertion reads one. Figures are named as in the JSON report; name_p95 is the p95 of name_ms.
func ParseAssertion(text string) (Assertion, error) {
	parts := assertionForm.FindStringSubmatch(text)
	if parts == nil {
		return Assertion{}, fmt.Errorf("%q: must be like join_p95<1500ms", text)
	}
	a := Assertion{text: strings.TrimSpace(text), less: parts[2][0] == '<', equal: strings.HasSuffix(parts[2], "=")}
	bound, err := strconv.ParseFloat(parts[3], 64)
	if err != nil {
		return Assertion{}, fmt.Errorf("%q: %q is no number", text, parts[3])
	}
	a.path = strings.Split(parts[1], ".")
	last := a.path[len(a.path)-1]
	for _, part := range []string{"p50", "p95", "p99", "max"} {
		if name, ok := strings.CutSuffix(last, "_"+part); ok {
			a.path = append(a.path[:len(a.path)-1], name+"_ms", part)
			a.millis = true
		}
	}
	switch unit := parts[4]; {
	case unit == "%":
		bound /= 100
	case unit != "":
		d, err := time.ParseDuration(parts[3] + unit)
		if err != nil || !a.millis {
			return Assertion{}, fmt.Errorf("%q: %s has no unit of time", text, parts[1])
		}
		bound = float64(d) / float64(time.Millisecond)
	case a.millis:
		return Assertion{}, fmt.Errorf("%q: a time needs a unit, such as ms", text)
	}
	a.bound = bound
	if _, err := a.figure(&Report{}); err != nil {
		return Assertion{}, err
	}
	return a, nil
}

// Check returns an error that says what the figure is, where the report does not keep to the assertion.
func (a Assertion) Check(rep *Report) error {
	got, err := a.figure(rep)
	if err != nil {
		return err
	}
	if a.less && got < a.bound || !a.less && got > a.bound || a.equal && got == a.bound {
		return nil
	}
	unit := ""
	if a.millis {
		unit = " ms"
	}
	return fmt.Errorf("%s: it is %.4g%s", a.text, got, unit)
}

// figure finds the figure in the report, by the names of its JSON.
func (a Assertion) figure(rep *Report) (float64, error) {
	raw, err := json.Marshal(rep)
	if err != nil {
		return 0, err
	}
	var at any
	if err := json.Unmarshal(raw, &at); err != nil {
		return 0, err
	}
	for _, key := range a.path {
		inside, ok := at.(map[string]any)
		if !ok || !slices.Contains(keys(inside), key) {
			return 0, fmt.Errorf("%q: a report has no figure %s", a.text, strings.Join(a.path, "."))
		}
		at = inside[key]
	}
	number, ok := at.(float64)
	if !ok {
		return 0, fmt.Errorf("%q: %s is no figure", a.text, strings.Join(a.path, "."))
	}
	return number, nil
}

func keys(m map[string]any) []string {
	all := make([]string, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	return all
}

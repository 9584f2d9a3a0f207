// Package doctor finds out why a call does not work, and says it in words that somebody can act on: it looks at every
// plane that a call needs, from the name of the server to the sound that comes back, one after the other, and names the
// first cause of what is broken.
//
// It is a client and nothing else: it speaks HTTP, STUN and TURN by hand and everything further through the public client
// library, so that it sees what people see. On a server's own machine it also looks at what a client cannot: ports,
// limits, disk and certificates.
package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Schema counts the changes of Report that old readers would misunderstand.
const Schema = 1

// State is how a check went.
type State string

// The states of a check.
const (
	OK      State = "ok"
	Warn    State = "warn"    // calls work, and somebody should know
	Fail    State = "fail"    // broken
	Skipped State = "skipped" // could not be asked
)

// Check is one question and its answer.
type Check struct {
	ID      string             `json:"id"`    // stable, such as "ice.udp"
	Plane   string             `json:"plane"` // network, rest, token, websocket, ice, dtls, rtp, signalling, rooms, machine, cluster
	Name    string             `json:"name"`  // for people
	State   State              `json:"state"`
	Took    Millis             `json:"took_ms"`
	Found   string             `json:"found,omitempty"`   // what is there
	Cause   string             `json:"cause,omitempty"`   // why it is not ok
	Hint    string             `json:"hint,omitempty"`    // what to do about it
	Figures map[string]float64 `json:"figures,omitempty"` // their names end in their units
}

// Report is a whole examination.
type Report struct {
	Schema  int       `json:"schema"`
	URL     string    `json:"url,omitempty"`
	Began   time.Time `json:"began"`
	Took    Millis    `json:"took_ms"`
	OK      bool      `json:"ok"` // no check failed
	Verdict string    `json:"verdict"`
	Checks  []Check   `json:"checks"`
}

// Find returns the check of that id.
func (r Report) Find(id string) (Check, bool) {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.ID == id })
	if i < 0 {
		return Check{}, false
	}
	return r.Checks[i], true
}

// And joins two reports; the later one's verdict is that of both, unless something failed before.
func (r Report) And(later Report) Report {
	if r.Schema == 0 {
		return later
	}
	later.Checks = append(slices.Clone(r.Checks), later.Checks...)
	later.Began, later.Took = r.Began, r.Took+later.Took
	if !r.OK {
		later.Verdict = r.Verdict + " " + later.Verdict
	}
	later.OK = r.OK && later.OK
	return later
}

// Millis is a duration that is written in milliseconds, to the tenth.
type Millis time.Duration

// MarshalJSON implements json.Marshaler.
func (m Millis) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.1f", float64(m)/float64(time.Millisecond)), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Millis) UnmarshalJSON(b []byte) error {
	var ms float64
	if err := json.Unmarshal(b, &ms); err != nil {
		return err
	}
	*m = Millis(ms * float64(time.Millisecond))
	return nil
}

// finding is the answer of one step.
type finding struct {
	state   State
	found   string
	cause   string
	hint    string
	figures map[string]float64
	took    time.Duration // where it is not the time of asking
}

func fine(format string, args ...any) finding {
	return finding{state: OK, found: fmt.Sprintf(format, args...)}
}

func broken(cause, hint string) finding { return finding{state: Fail, cause: cause, hint: hint} }

func doubtful(cause, hint string) finding { return finding{state: Warn, cause: cause, hint: hint} }

func skipped(because string) finding { return finding{state: Skipped, cause: because} }

// A step asks one question, if what it needs is well.
type step struct {
	id, plane, name string
	needs           []string      // ids of steps before it
	limit           time.Duration // for the answer
	ask             func(context.Context) finding
}

// examination collects the answers. One goroutine uses it.
type examination struct {
	report Report
	tell   func(Check)
}

func newExamination(url string, tell func(Check)) *examination {
	if tell == nil {
		tell = func(Check) {}
	}
	return &examination{report: Report{Schema: Schema, URL: url, Began: time.Now().UTC().Truncate(time.Millisecond)}, tell: tell}
}

// run asks, and notes the answer.
func (x *examination) run(ctx context.Context, s step) {
	check := Check{ID: s.id, Plane: s.plane, Name: s.name}
	began := time.Now()
	answer := x.answer(ctx, s)
	if answer.state != Skipped {
		check.Took = Millis(cmp.Or(answer.took, time.Since(began)))
	}
	check.State, check.Found, check.Cause = answer.state, answer.found, answer.cause
	check.Hint, check.Figures = answer.hint, answer.figures
	x.report.Checks = append(x.report.Checks, check)
	x.tell(check)
}

func (x *examination) answer(ctx context.Context, s step) finding {
	for _, id := range s.needs {
		need, _ := x.report.Find(id)
		switch need.State {
		case Fail:
			return skipped("because of " + need.Name)
		case Skipped:
			return skipped(need.Cause) // the first cause is the one to look at
		case OK, Warn:
		}
	}
	if ctx.Err() != nil {
		return skipped("because the time for all checks was over")
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return s.ask(ctx)
}

// finish ends the report.
func (x *examination) finish(verdict string) Report {
	x.report.Took = Millis(time.Since(x.report.Began))
	x.report.OK = !slices.ContainsFunc(x.report.Checks, func(c Check) bool { return c.State == Fail })
	x.report.Verdict = verdict
	return x.report
}

// is says how the check of that id went; Skipped where it was not made.
func (x *examination) is(id string) State {
	if check, made := x.report.Find(id); made {
		return check.State
	}
	return Skipped
}

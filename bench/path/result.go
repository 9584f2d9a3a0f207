package path

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Result is one run of the measurement, as it is kept.
type Result struct {
	Date    string  `json:"date"` // RFC 3339, UTC
	Commit  string  `json:"commit"`
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
}

// A Row is what one load came to.
type Row struct {
	Load        string             `json:"load"`
	Paced       bool               `json:"paced"` // at a real pace, and not flat out
	Rounds      int                `json:"rounds"`
	Micros      map[string]float64 `json:"micros"` // CPU µs a forwarded packet, median over the rounds, by contender
	Cores       map[string]float64 `json:"cores"`  // that it used meanwhile
	Floor       Ratio              `json:"parley_to_floor"`
	Before      *Ratio             `json:"parley_to_before,omitempty"`
	Pion        *Ratio             `json:"parley_to_pion,omitempty"`
	PionViewers int                `json:"pion_viewers,omitempty"` // as many as it could hold
	Dropped     uint64             `json:"dropped"`                // by viewers' sockets, over all contenders
	Spoilt      int                `json:"spoilt"`                 // windows that were measured again, since packets were lost before
	Others      float64            `json:"others"`                 // part of the machine that other programs took meanwhile, median over the windows
}

// find returns the row of the same load and pace.
func (r *Result) find(like Row) (Row, bool) {
	if r == nil {
		return Row{}, false
	}
	i := slices.IndexFunc(r.Rows, func(o Row) bool { return o.Load == like.Load && o.Paced == like.Paced })
	if i < 0 {
		return Row{}, false
	}
	return r.Rows[i], true
}

// Compare returns an error that names every row whose ratio to the floor has worsened by more than 15 %. Rows that the old
// result lacks are passed over.
func (r *Result) Compare(old *Result) error {
	var faults []error
	for _, row := range r.Rows {
		was, ok := old.find(row)
		if !ok || row.Floor.Median <= was.Floor.Median*allowed {
			continue
		}
		faults = append(faults, fmt.Errorf("%s: Parley costs %.2f times the floor (%.2f to %.2f), and did %.2f times at %s: %+.0f %%",
			row.name(), row.Floor.Median, row.Floor.Low, row.Floor.High, was.Floor.Median, old.Commit,
			100*(row.Floor.Median/was.Floor.Median-1)))
	}
	return errors.Join(faults...)
}

// busyMachine is the part of a machine that other programs may take for its figures to be believed.
const busyMachine = 0.15

// CompareSurely is for machines of which nobody knows what else they do. It returns an error that names the rows which have worsened
// for certain: the whole interval lies beyond the 15 %, most of the machine was there for the measurement, and the old result is of
// the same kind of machine. Whatever else looks worse is a doubt.
func (r *Result) CompareSurely(old *Result) (doubts []string, err error) {
	for _, row := range r.Rows {
		only := &Result{Rows: []Row{row}}
		fault := only.Compare(old)
		if fault == nil {
			continue
		}
		was, _ := old.find(row)
		switch {
		case judge(row.Floor, was.Floor) != worse:
			doubts = append(doubts, fmt.Sprintf("%v; that may be chance", fault))
		case row.Others > busyMachine:
			doubts = append(doubts, fmt.Sprintf("%v; but others took %.0f %% of the machine", fault, 100*row.Others))
		case !r.Machine.like(old.Machine):
			doubts = append(doubts, fmt.Sprintf("%v; but that was on %s", fault, old.Machine))
		default:
			err = errors.Join(err, fault)
		}
	}
	return doubts, err
}

func (r Row) name() string {
	if r.Paced {
		return r.Load + ", at a real pace"
	}
	return r.Load + ", flat out"
}

// Baseline finds the result to compare with among those kept in a directory: the newest of the same kind of machine, and where
// there is none, the newest of all. It is nil where none is kept.
func Baseline(dir string, of Machine) (*Result, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var best *Result
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r Result
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if best == nil || r.nearer(best, of) {
			best = &r
		}
	}
	return best, nil
}

// nearer says whether r is rather to be compared with than other.
func (r *Result) nearer(other *Result, of Machine) bool {
	if like := r.Machine.like(of); like != other.Machine.like(of) {
		return like
	}
	return r.Date > other.Date
}

// Write keeps the result in a directory, as JSON and as a table for people, and returns the path of the former.
func (r *Result) Write(dir string) (string, error) {
	date, err := time.Parse(time.RFC3339, r.Date)
	if err != nil {
		return "", err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, date.Format("2006-01-02T150405Z-")+r.Commit+".json")
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		return "", err
	}
	var table strings.Builder
	fmt.Fprintf(&table, "# Cost of a forwarded packet\n\n%s, commit %s, on %s.\n\n", r.Date, r.Commit, r.Machine)
	r.Table(&table)
	return path, os.WriteFile(strings.TrimSuffix(path, ".json")+".md", []byte(table.String()), 0o644)
}

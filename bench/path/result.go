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
	i := slices.IndexFunc(r.Rows, func(o Row) bool { return o.Load == like.Load && o.Paced == like.Paced })
	if i < 0 {
		return Row{}, false
	}
	return r.Rows[i], true
}

// Kept are earlier results, those first that are rather to be compared with: of the same kind of machine, and newer.
type Kept []*Result

// find returns the row of the same load and pace to compare one with: the first whose floor costs about as much, or else the first of all.
func (k Kept) find(row Row) (was Row, of *Result) {
	for _, r := range k {
		old, ok := r.find(row)
		if ok && old.floorLike(row) {
			return old, r
		}
		if ok && of == nil {
			was, of = old, r
		}
	}
	return was, of
}

// floorLike says whether the floors of two rows cost about the same. Where a hypervisor has made a system call half as dear, or twice, and what a
// server does between them as dear as it was, a ratio to the floor is another one.
func (r Row) floorLike(o Row) bool {
	a, b := r.Micros[Floor], o.Micros[Floor]
	return max(a, b) <= floorsAlike*min(a, b)
}

// floorsAlike is how many times as much one floor may cost as another for ratios to them to be comparable.
const floorsAlike = 1.3

// Compare returns an error that names every row whose ratio to the floor has worsened by more than 15 %. Rows that no
// earlier result has are passed over.
func (r *Result) Compare(earlier Kept) error {
	var faults []error
	for _, row := range r.Rows {
		was, old := earlier.find(row)
		if old == nil || row.Floor.Median <= was.Floor.Median*allowed {
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
// for certain: the whole interval lies beyond the 15 %, and what a packet costs does as well; most of the machine was there for the measurement;
// and the earlier result is of the same kind of machine, with a floor like this one's. Whatever else looks worse is a doubt.
func (r *Result) CompareSurely(earlier Kept) (doubts []string, err error) {
	for _, row := range r.Rows {
		only := &Result{Rows: []Row{row}}
		fault := only.Compare(earlier)
		if fault == nil {
			continue
		}
		was, old := earlier.find(row)
		switch {
		case judge(row.Floor, was.Floor) != worse:
			doubts = append(doubts, fmt.Sprintf("%v; that may be chance", fault))
		case row.Others > busyMachine:
			doubts = append(doubts, fmt.Sprintf("%v; but others took %.0f %% of the machine", fault, 100*row.Others))
		case !r.Machine.like(old.Machine):
			doubts = append(doubts, fmt.Sprintf("%v; but that was on %s", fault, old.Machine))
		case row.Micros[Parley] <= was.Micros[Parley]*allowed:
			doubts = append(doubts, fmt.Sprintf("%v; but a packet costs %.2f µs, and did %.2f: the floor has become cheaper", fault, row.Micros[Parley], was.Micros[Parley]))
		case !row.floorLike(was):
			doubts = append(doubts, fmt.Sprintf("%v; but the floor was %.2f µs then", fault, was.Micros[Floor]))
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

// Earlier reads the results that are kept in a directory, in the order in which a machine's are to be compared with them.
func Earlier(dir string, of Machine) (Kept, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all Kept
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r Result
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, &r)
	}
	slices.SortFunc(all, func(a, b *Result) int {
		if like := a.Machine.like(of); like != b.Machine.like(of) {
			if like {
				return -1
			}
			return 1
		}
		return strings.Compare(b.Date, a.Date)
	})
	return all, nil
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

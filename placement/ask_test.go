package placement_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/placement"
)

func TestNodesAskEachOther(t *testing.T) {
	a := start(t, config("a"))
	b := answering(t, config("b", a), func(from string, question []byte) ([]byte, error) {
		switch string(question) {
		case "no":
			return nil, errors.New("never")
		case "long":
			return make([]byte, 2000), nil
		}
		return []byte(from + " asks " + string(question)), nil
	})
	a.until(t, "b", sees("a", "b"))
	b.until(t, "a", sees("a", "b"))
	for name, tc := range map[string]struct {
		to, question, want string
		err                error
		says               string
	}{
		"an answer":               {to: "b", question: "who", want: "a asks who"},
		"no question":             {to: "b", want: "a asks "},
		"a refusal":               {to: "b", question: "no", err: placement.ErrRefused, says: "never"},
		"a node that is not":      {to: "c", question: "who", err: placement.ErrUnknownNode},
		"a question too long":     {to: "b", question: strings.Repeat("x", 1000), says: "more than"},
		"an answer that is":       {to: "b", question: "long", err: placement.ErrRefused, says: "more than"},
		"the node itself is none": {to: "a", question: "who", err: placement.ErrUnknownNode},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := a.Ask(t.Context(), tc.to, []byte(tc.question))
			if string(got) != tc.want || tc.err != nil && !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil && tc.says == "") {
				t.Fatalf("%q, %v, want %q, %v", got, err, tc.want, tc.err)
			}
			if err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("the error does not say %q: %v", tc.says, err)
			}
		})
	}
}

// A question that is lost is asked again: it gets through as soon as packets do.
func TestAQuestionOutlivesACut(t *testing.T) {
	cable := newCable(t)
	a := start(t, config("a").NeverProbing())
	var asked atomic.Int32
	cfg := config("b").Over(cable).NeverProbing()
	cfg.Join = []string{a.Addr().String()}
	b := answering(t, cfg, func(string, []byte) ([]byte, error) {
		asked.Add(1)
		return []byte("here"), nil
	})
	a.until(t, "b", sees("a", "b"))
	b.until(t, "a", sees("a", "b"))
	cable.cut.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, err := a.Ask(ctx, "b", []byte("there?")); !errors.Is(err, context.DeadlineExceeded) || asked.Load() != 0 {
		t.Errorf("%q, %v through a cable that is cut", got, err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := a.Ask(t.Context(), "b", []byte("there?"))
		answer <- err
	}()
	cable.cut.Store(false)
	if err := <-answer; err != nil {
		t.Error(err)
	}
}

// What is too long for a packet comes over a connection, once for each call, and is encrypted and bounded as well.
func TestNodesFetchFromEachOther(t *testing.T) {
	a := start(t, config("a"))
	var calls atomic.Int32
	b := answering(t, config("b", a), nil)
	b.Supply(func(from string, question []byte) ([]byte, error) {
		calls.Add(1)
		switch string(question) {
		case "no":
			return nil, errors.New("never")
		case "too much":
			return make([]byte, 4<<20), nil
		}
		return bytes.Repeat([]byte(from), 1<<20), nil
	})
	a.until(t, "b", sees("a", "b"))
	b.until(t, "a", sees("a", "b"))
	got, err := a.Fetch(t.Context(), "b", bytes.Repeat([]byte("?"), 1<<20))
	if err != nil || string(got) != strings.Repeat("a", 1<<20) || calls.Load() != 1 {
		t.Errorf("%d bytes of %d calls, %v", len(got), calls.Load(), err)
	}
	for question, says := range map[string]string{"no": "never", "too much": "more than"} {
		if _, err := a.Fetch(t.Context(), "b", []byte(question)); !errors.Is(err, placement.ErrRefused) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is answered with %v", question, err)
		}
	}
	if _, err := a.Fetch(t.Context(), "c", nil); !errors.Is(err, placement.ErrUnknownNode) {
		t.Errorf("a node that is not says %v", err)
	}
	if _, err := a.Fetch(t.Context(), "b", make([]byte, 4<<20)); err == nil {
		t.Error("a question that is too long leaves")
	}
	b.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.Fetch(ctx, "b", nil); err == nil {
		t.Error("a node that is gone answers")
	}
}

// Who answers nothing, as a release before there were questions, costs the time that was given.
func TestANodeThatAnswersNothing(t *testing.T) {
	a := start(t, config("a"))
	b := start(t, config("b", a))
	b.until(t, "a", sees("a", "b"))
	a.until(t, "b", sees("a", "b"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, err := a.Ask(ctx, "b", []byte("there?")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%q, %v", got, err)
	}
}

// A cluster that starts in parts becomes one as soon as the configured node is there.
func TestALateSeedJoinsTheParts(t *testing.T) {
	seed := start(t, config("seed"))
	address := seed.Addr().String()
	seed.stop()
	first := config("a")
	first.Join = []string{address}
	a := start(t, first)
	second := config("c")
	second.Join = []string{address}
	b, c := start(t, config("b", a)), start(t, second)
	a.until(t, "b", sees("a", "b"))
	again := config("seed")
	again.Listen = address
	seed = start(t, again)
	for _, r := range []*running{a, b, c, seed} {
		r.until(t, "all", sees("a", "b", "c", "seed"))
	}
}

package udp

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// await takes turns until everything that is wanted has come, and returns how many datagrams that were.
func await(t *testing.T, s *Sweep[string], want map[string]int, note func(Piece)) (datagrams int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); len(want) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("did not come: %v", want)
		}
		datagrams += s.Turn(func(tag string, ps []Piece) {
			for _, p := range ps {
				note(p)
				p.Datagrams(func(b []byte) {
					key := tag + " " + string(b)
					if want[key]--; want[key] == 0 {
						delete(want, key)
					}
					if want[key] < 0 {
						t.Errorf("%q was not sent, or not so often", key)
					}
				})
			}
		})
	}
	return datagrams
}

func TestSweepReadsAllMembers(t *testing.T) {
	s, sender := NewSweep[string](), member1(t)
	var conns []*Conn
	for i := range 100 {
		conns = append(conns, member1(t))
		if err := s.Add(conns[i], fmt.Sprint("conn", i)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		want := map[string]int{}
		before := time.Now()
		for i, c := range conns {
			for range i%40 + 1 { // more than one system call takes
				if _, err := sender.WriteTo(fmt.Append(nil, "round", round), AddrFrom(c.LocalAddr())); err != nil {
					t.Fatal(err)
				}
				want[fmt.Sprintf("conn%d round%d", i, round)]++
			}
		}
		after := time.Now()
		sent := 0
		for _, n := range want {
			sent += n
		}
		got := await(t, s, want, func(p Piece) {
			if p.From.AddrPort() != sender.LocalAddr() {
				t.Errorf("came from %s, want %s", p.From, sender.LocalAddr())
			}
			// The kernel's clock may stand a little behind the one that is read here.
			if at := time.Unix(0, p.At); at.Before(before.Add(-time.Second)) || at.After(after.Add(time.Second)) {
				t.Errorf("came at %s, want between %s and %s", at, before, after)
			}
		})
		if got != sent {
			t.Errorf("read %d datagrams, want %d", got, sent)
		}
	}
}

// TestSweepLeavesSegmentsTogether sends segmented messages, whose datagrams come out as they went in.
func TestSweepLeavesSegmentsTogether(t *testing.T) {
	s, sender, c := NewSweep[string](), member1(t), member1(t)
	if err := s.Add(c, "c"); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	out := sender.NewBatch()
	for i := range 20 {
		text := fmt.Sprint(i%10, strings.Repeat("x", 1000))
		if i == 19 {
			text = "the last may be shorter"
		}
		b := out.Reserve(len(text))
		out.Queue(copy(b, text), AddrFrom(c.LocalAddr()))
		want["c "+text]++
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	pieces := 0
	await(t, s, want, func(Piece) { pieces++ })
	if got := c.Stats().Received; got != 20 {
		t.Errorf("%d are counted, want 20", got)
	}
	if sender.Stats().Segmented == 20 && pieces != 1 {
		t.Logf("the kernel took one message apart into %d", pieces) // one without UDP_GRO
	}
}

func TestSweepForgetsMembers(t *testing.T) {
	s, sender := NewSweep[string](), member1(t)
	stays, goes, closes := member1(t), member1(t), member1(t)
	for tag, c := range map[string]*Conn{"stays": stays, "goes": goes, "closes": closes} {
		if err := s.Add(c, tag); err != nil {
			t.Fatal(err)
		}
	}
	s.Remove(goes)
	closes.Close()
	for _, c := range []*Conn{stays, goes} {
		if _, err := sender.WriteTo([]byte("hello"), AddrFrom(c.LocalAddr())); err != nil {
			t.Fatal(err)
		}
	}
	await(t, s, map[string]int{"stays hello": 1}, func(Piece) {})
	s.Turn(func(tag string, _ []Piece) { t.Errorf("%s was read", tag) })
	if s.Len() != 1 {
		t.Errorf("%d members, want 1", s.Len())
	}
	if err := s.Add(closes, "closes"); err == nil {
		t.Error("a closed one was taken")
	}
}

func TestSweepDoesNotAllocate(t *testing.T) {
	s, sender, c := NewSweep[string](), member1(t), member1(t)
	if err := s.Add(c, "c"); err != nil {
		t.Fatal(err)
	}
	to, text := AddrFrom(c.LocalAddr()), []byte("hello")
	read := func(string, []Piece) {}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = sender.WriteTo(text, to)
		s.Turn(read)
	}); n > 0 {
		t.Errorf("%v allocations a turn, want none", n)
	}
}

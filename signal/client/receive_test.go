package client

import "testing"

func TestSequence(t *testing.T) {
	type step struct {
		snapshot bool
		seq      uint64
		want     order
		anew     bool
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{seq: 1, want: inOrder}, {seq: 2, want: inOrder}}},
		{"repeated", []step{{seq: 1, want: inOrder}, {seq: 1, want: repeated}}},
		{"a gap is asked for once, then filled", []step{
			{seq: 1, want: inOrder},
			{seq: 4, want: missedOne},
			{seq: 5, want: awaiting},
			{seq: 2, want: inOrder},
			{seq: 3, want: inOrder},
			{seq: 4, want: inOrder},
			{seq: 5, want: inOrder},
		}},
		{"a second gap is asked for again", []step{
			{seq: 2, want: missedOne}, {seq: 1, want: inOrder}, {seq: 3, want: missedOne},
		}},
		{"a snapshot closes a gap", []step{
			{seq: 1, want: inOrder}, {seq: 9, want: missedOne}, {snapshot: true, seq: 10}, {seq: 11, want: inOrder},
		}},
		{"the first snapshot", []step{{snapshot: true, seq: 1}, {seq: 2, want: inOrder}}},
		{"a snapshot that counts from the beginning", []step{
			{snapshot: true, seq: 1}, {seq: 2, want: inOrder}, {snapshot: true, seq: 1, anew: true}, {seq: 2, want: inOrder},
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var s sequence
			for i, step := range tc.steps {
				if step.snapshot {
					if got := s.restart(step.seq); got != step.anew {
						t.Errorf("step %d: restart(%d) = %t, want %t", i, step.seq, got, step.anew)
					}
				} else if got := s.judge(step.seq); got != step.want {
					t.Errorf("step %d: judge(%d) = %d, want %d", i, step.seq, got, step.want)
				}
			}
		})
	}
}

package packet

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSeqOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b uint16
		diff int
	}{
		"equal":             {7, 7, 0},
		"ahead":             {9, 7, 2},
		"behind":            {7, 9, -2},
		"ahead over a wrap": {1, 65535, 2},
		"behind a wrap":     {65535, 1, -2},
		"half ahead":        {32767, 0, 32767},
		"opposite":          {32768, 0, -32768},
	} {
		t.Run(name, func(t *testing.T) {
			if got := SeqDiff(tc.a, tc.b); got != tc.diff {
				t.Errorf("diff = %d, want %d", got, tc.diff)
			}
			if got := SeqLess(tc.a, tc.b); got != (tc.diff < 0) {
				t.Errorf("less = %v", got)
			}
		})
	}
}

// TestUnwrap walks on the number line in steps that 16 or 32 bits can tell apart and sees the same walk come out.
func TestUnwrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var seqs Unwrapper
		var times TimestampUnwrapper
		seq := int64(rapid.Uint16().Draw(t, "first seq"))
		ts := int64(rapid.Uint32().Draw(t, "first ts"))
		highestSeq, highestTS := seq, ts
		for range 200 {
			if got := seqs.Unwrap(uint16(seq)); got != seq {
				t.Fatalf("seq = %d, want %d", got, seq)
			}
			if got := times.Unwrap(uint32(ts)); got != ts {
				t.Fatalf("timestamp = %d, want %d", got, ts)
			}
			highestSeq, highestTS = max(highestSeq, seq), max(highestTS, ts)
			seq = highestSeq + rapid.Int64Range(-1<<15, 1<<15-1).Draw(t, "seq step")
			ts = highestTS + rapid.Int64Range(-1<<31, 1<<31-1).Draw(t, "ts step")
		}
	})
}

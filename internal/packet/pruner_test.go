package packet

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPrunerCarriesWhatIsWanted: of each size that is carried all frames come, and all that they refer to; pictures end; and what is left out can be told by who
// receives the rest, with a packet lost here and there.
func TestPrunerCarriesWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := &viewing{e: anyEncoder(t)}
		e := v.e
		plain := rapid.Bool().Draw(t, "plain")
		var (
			s       Pruner
			r       DescriptorReader
			carried = map[int]bool{} // frames
			fates   = map[uint16]bool{}
			told    = map[uint16]bool{} // left out
			last    uint16              // that came
			newest  *sentFrame
			marked  bool
		)
		lossy := rapid.Bool().Draw(t, "lossy")
		for _, p := range v.packets(t, 60) {
			f := &e.frames[p.place]
			begins := newest == nil || newest.Timestamp != p.Timestamp
			if begins {
				if newest != nil && !marked {
					t.Fatal("a picture has no end")
				}
				marked = false
				if rapid.IntRange(0, 9).Draw(t, "changes") == 0 {
					s.Want(uint8(rapid.IntRange(0, 15).Draw(t, "want")))
				}
			}
			pkt := &Packet{Header: p.Header}
			pkt.PayloadLen, pkt.StartOfFrame, pkt.Keyframe = 1000, p.start && f.spatial == 0, f.key && f.spatial == 0
			if plain {
				pkt.VP9 = VP9{HasLayers: true, SID: uint8(f.spatial), TID: uint8(f.temporal), Start: p.start, End: p.end, Inter: !f.key}
			} else if err := r.Read(e.describe(f, p.start, p.end), &pkt.Descriptor); err != nil {
				t.Fatal(err)
			}
			carry, marker := s.Select(pkt)
			if again, marked := s.Select(pkt); again != carry || marked != marker {
				t.Fatal("another fate when asked again")
			}
			serves, _ := pkt.place()
			if need := serves&s.Carried() != 0; need && !carry || carry && marked {
				t.Fatalf("frame %d for %b, of %b: carried %v, marked before %v", p.place, serves, s.Carried(), carry, marked)
			}
			if f.key && s.Lacks() {
				t.Fatal("a keyframe was not enough")
			}
			fates[p.Sequence], newest = carry, &p
			if !carry {
				continue
			}
			marked = marker
			for _, ref := range f.refs {
				if !carried[ref] {
					t.Fatalf("frame %d refers to %d, which was left out", p.place, ref)
				}
			}
			carried[p.place] = true
			if lossy && rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
				continue
			}
			last = p.Sequence
			notice := Notice(s.AppendNotice(nil, p.Sequence))
			if len(notice) > 1+noticeRuns || notice.Carried()&s.offered != s.Carried()&s.offered {
				t.Fatalf("notice %v", notice)
			}
			notice.LeftOut(p.Sequence, func(seq uint16) { told[seq] = true })
		}
		for seq, kept := range fates {
			if told[seq] && kept {
				t.Fatalf("%d is said to be left out", seq)
			}
		}
		for seq, kept := range fates {
			if !lossy && !kept && !told[seq] && SeqLess(seq, last) {
				t.Fatalf("nobody said that %d was left out", seq)
			}
		}
	})
}

// TestNoticeOfLongRuns: a run that is longer than a byte tells ends there, and numbers wrap.
func TestNoticeOfLongRuns(t *testing.T) {
	var s Pruner
	s.Want(1)
	take := func(seq uint16, sid uint8, ts uint32) (carry bool) {
		p := &Packet{Header: Header{Sequence: seq, Timestamp: ts, PayloadLen: 1}, VP9: VP9{HasLayers: true, SID: sid, Start: true, End: true}}
		carry, _ = s.Select(p)
		return carry
	}
	for i := range uint16(300) {
		if carry := take(65_400+i, uint8(min(i, 2)), 1); carry != (i == 0) {
			t.Fatal(i, carry)
		}
	}
	seq := uint16(65_400 + 300 - 1<<16)
	if !take(seq, 0, 2) {
		t.Fatal("left out")
	}
	var left []uint16
	Notice(s.AppendNotice(nil, seq)).LeftOut(seq, func(seq uint16) { left = append(left, seq) })
	if len(left) != noticeReach || left[0] != seq-noticeReach || left[noticeReach-1] != seq-1 {
		t.Fatalf("%d from %d", len(left), left[0])
	}
}

// TestLossLeavesOut: what was left out is not missing, whenever that is told, and what is lost beside it is.
func TestLossLeavesOut(t *testing.T) {
	var l Loss
	l.Received(10, 0)
	for _, seq := range []uint16{11, 13, 14} {
		l.LeftOut(seq, 1)
	}
	l.Received(16, 1)
	if l.Missing() != 2 {
		t.Fatalf("%d are missing, want 12 and 15", l.Missing())
	}
	l.LeftOut(15, 2)
	l.Due(3, 0, nil)
	if due := l.Due(20e6, 0, nil); len(due) != 1 || due[0] != 12 {
		t.Fatal(due)
	}
}

func FuzzNotice(f *testing.F) {
	f.Add([]byte{1, 8, 1, 8}, uint16(3))
	f.Fuzz(func(t *testing.T, b []byte, seq uint16) {
		if len(b) > 256 {
			return
		}
		left := 0
		Notice(b).LeftOut(seq, func(uint16) { left++ })
		if left > 128*255 {
			t.Error(left)
		}
	})
}

package packet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pion/rtp/codecs"
	"pgregory.net/rapid"
)

// keyframe is the head of a VP8 keyframe of 640×360 with scaling bits set, as behind a descriptor.
var keyframe = []byte{0x50, 0x42, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x42, 0x68, 0x81, 1, 2, 3}

func TestParseVP8(t *testing.T) {
	for name, tc := range map[string]struct {
		payload []byte
		want    VP8
		err     error
	}{
		"empty":                   {payload: nil, err: ErrShort},
		"descriptor alone":        {payload: []byte{0x10}, err: ErrShort},
		"extension bits missing":  {payload: []byte{0x90}, err: ErrShort},
		"no picture behind":       {payload: []byte{0x90, 0x00}, err: ErrShort},
		"picture id missing":      {payload: []byte{0x90, 0x80}, err: ErrShort},
		"wide picture id cut":     {payload: []byte{0x90, 0x80, 0x81}, err: ErrShort},
		"picture id, no picture":  {payload: []byte{0x90, 0x80, 0x81, 0x02}, err: ErrShort},
		"tl0 missing":             {payload: []byte{0x90, 0x40}, err: ErrShort},
		"tid missing":             {payload: []byte{0x90, 0x20}, err: ErrShort},
		"tl0 there, tid missing":  {payload: []byte{0x90, 0x60, 0x01}, err: ErrShort},
		"key index, no picture":   {payload: []byte{0x90, 0x10, 0x01}, err: ErrShort},
		"smallest":                {payload: []byte{0x10, 0x01}, want: VP8{Start: true, Size: 1}},
		"middle of a picture":     {payload: []byte{0x00, 0x00}, want: VP8{Size: 1}},
		"start of partition 1":    {payload: []byte{0x11, 0x00}, want: VP8{Size: 1}},
		"keyframe cut off":        {payload: []byte{0x10, 0x00}, want: VP8{Start: true, Keyframe: true, Size: 1}},
		"keyframe, no start code": {payload: append([]byte{0x10}, make([]byte, 12)...), want: VP8{Start: true, Keyframe: true, Size: 1}},
		"keyframe": {
			payload: append([]byte{0x90, 0x80, 0x85}, append([]byte{0x39}, keyframe...)...),
			want: VP8{
				Start: true, Keyframe: true, HasPictureID: true, Wide: true, PictureID: 0x539, Size: 4, Width: 640, Height: 360,
				pictureAt: 2,
			},
		},
		"7-bit picture id": {
			payload: []byte{0x90, 0x80, 0x7F, 0x01},
			want:    VP8{Start: true, HasPictureID: true, PictureID: 127, Size: 3, pictureAt: 2},
		},
		"everything": {
			payload: []byte{0x80, 0xF0, 0xFF, 0xFF, 0xAB, 0xBF, 0x00},
			want: VP8{
				HasPictureID: true, Wide: true, PictureID: 0x7FFF, HasTL0: true, TL0: 0xAB, HasTID: true, TID: 2, Sync: true,
				HasKeyIndex: true, KeyIndex: 31, Size: 6, pictureAt: 2, tl0At: 4,
			},
		},
		"key index without tid": {
			payload: []byte{0x80, 0x10, 0xFF, 0x00},
			want:    VP8{HasKeyIndex: true, KeyIndex: 31, Size: 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseVP8(tc.payload)
			if !errors.Is(err, tc.err) || got != tc.want {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

// descriptor draws a payload with any combination of fields.
func descriptor(t *rapid.T) []byte {
	b := []byte{0x80 | rapid.Byte().Draw(t, "first"), rapid.Byte().Draw(t, "flags")}
	if b[1]&0x80 != 0 {
		b = append(b, rapid.SliceOfN(rapid.Byte(), 1, 1).Draw(t, "picture id")...)
		if b[2]&0x80 != 0 {
			b = append(b, rapid.Byte().Draw(t, "picture id's second byte"))
		}
	}
	if b[1]&0x40 != 0 {
		b = append(b, rapid.Byte().Draw(t, "tl0"))
	}
	if b[1]&0x30 != 0 {
		b = append(b, rapid.Byte().Draw(t, "tid"))
	}
	return append(b, rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(t, "picture")...)
}

// TestRewriteVP8 sees nothing change but the two counters, whatever fields there are.
func TestRewriteVP8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := descriptor(t)
		before, err := ParseVP8(payload)
		if err != nil {
			t.Fatal(err)
		}
		id, tl0 := rapid.Uint16Range(0, 0x7FFF).Draw(t, "id"), rapid.Byte().Draw(t, "new tl0")
		dst := make([]byte, len(payload)+1)
		n := RewriteVP8(dst, payload, &before, id, tl0)
		after, err := ParseVP8(dst[:n])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dst[after.Size:n], payload[before.Size:]) {
			t.Fatalf("picture = %x, want %x", dst[after.Size:n], payload[before.Size:])
		}
		want := before
		if want.HasPictureID {
			want.PictureID = id
			if !want.Wide {
				want.Wide, want.Size = true, want.Size+1
				if want.HasTL0 {
					want.tl0At++
				}
			}
		}
		if want.HasTL0 {
			want.TL0 = tl0
		}
		if after != want {
			t.Fatalf("descriptor = %+v, want %+v", after, want)
		}
		if n != len(payload)+want.Size-before.Size {
			t.Fatalf("%d bytes", n)
		}
		if got := RewriteVP8(dst[:n-1], payload, &before, id, tl0); got != 0 {
			t.Fatalf("%d bytes written without room", got)
		}
	})
}

// FuzzVP8 holds the parser against pion's, which reads the same fields and asks for no picture behind them.
func FuzzVP8(f *testing.F) {
	f.Add([]byte{0x80, 0xF0, 0xFF, 0xFF, 0xAB, 0xBF, 0x00})
	f.Add(append([]byte{0x90, 0x80, 0x85, 0x39}, keyframe...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var theirs codecs.VP8Packet
		picture, their := theirs.Unmarshal(b)
		d, err := ParseVP8(b)
		if (err == nil) != (their == nil && len(picture) > 0) {
			t.Fatalf("err = %v, pion says %v with %d bytes behind", err, their, len(picture))
		}
		if err != nil {
			return
		}
		if d.HasPictureID != (theirs.I == 1) || d.PictureID != theirs.PictureID || d.HasTL0 != (theirs.L == 1) ||
			d.TL0 != theirs.TL0PICIDX || d.HasTID != (theirs.T == 1) || d.TID != theirs.TID || d.Sync != (theirs.Y == 1) ||
			d.HasKeyIndex != (theirs.K == 1) || d.KeyIndex != theirs.KEYIDX ||
			d.Start != (theirs.S == 1 && theirs.PID == 0) || d.Size != len(b)-len(picture) {
			t.Fatalf("%+v, pion has %+v", d, theirs)
		}
		dst := make([]byte, len(b)+1)
		if n := RewriteVP8(dst, b, &d, 5, 6); n < len(b) {
			t.Fatalf("rewritten to %d of %d bytes", n, len(b))
		}
	})
}

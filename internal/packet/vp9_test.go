package packet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pion/rtp/codecs"
)

func TestParseVP9(t *testing.T) {
	for name, tc := range map[string]struct {
		payload []byte
		want    VP9
		err     error
	}{
		"empty":                {nil, VP9{}, ErrShort},
		"no picture behind":    {[]byte{0x08}, VP9{}, ErrShort},
		"picture id missing":   {[]byte{0x80}, VP9{}, ErrShort},
		"wide picture id cut":  {[]byte{0x80, 0x81}, VP9{}, ErrShort},
		"layers missing":       {[]byte{0x20}, VP9{}, ErrShort},
		"tl0 missing":          {[]byte{0x20, 0x00}, VP9{}, ErrShort},
		"differences missing":  {[]byte{0x50}, VP9{}, ErrShort},
		"four differences":     {[]byte{0x50, 3, 3, 3, 3, 0}, VP9{}, ErrDescriptor},
		"structure missing":    {[]byte{0x02}, VP9{}, ErrShort},
		"sizes cut":            {[]byte{0x02, 0x10, 1, 2, 3}, VP9{}, ErrShort},
		"groups cut":           {[]byte{0x02, 0x08, 2, 0x08, 1, 2}, VP9{}, ErrShort},
		"smallest":             {[]byte{0x0C, 1}, VP9{Start: true, End: true, Size: 1}, nil},
		"7-bit picture id":     {[]byte{0xC9, 0x7F, 1}, VP9{Inter: true, Start: true, NotReference: true, HasPictureID: true, PictureID: 127, Size: 2}, nil},
		"one of many pictures": {[]byte{0xE4, 0x85, 0x39, 0x53, 7, 1}, VP9{Inter: true, End: true, HasPictureID: true, Wide: true, PictureID: 0x539, HasLayers: true, TID: 2, SwitchUp: true, SID: 1, InterLayer: true, HasTL0: true, TL0: 7, Size: 5}, nil},
		"flexible": {
			[]byte{0xF8, 0x05, 0x02, 0x03, 0x05, 0x08, 1},
			VP9{
				Inter: true, Flexible: true, Start: true, HasPictureID: true, PictureID: 5, HasLayers: true, SID: 1,
				DiffCount: 3, Diffs: [3]uint8{1, 2, 4}, Size: 6,
			},
			nil,
		},
		"a structure": {
			[]byte{0x0A, 0x38, 0x01, 0x40, 0x00, 0xB4, 0x02, 0x80, 0x01, 0x68, 1, 0x14, 1, 1},
			VP9{Start: true, Spatial: 2, Sizes: [MaxSpatial]Size{{320, 180}, {640, 360}}, Size: 13},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseVP9(tc.payload)
			if !errors.Is(err, tc.err) || got != tc.want {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestVP9Keyframe(t *testing.T) {
	for name, tc := range map[string]struct {
		payload []byte
		want    bool
	}{
		"without layers":              {[]byte{0x88, 1, 1}, true},
		"lowest layer of a keyframe":  {[]byte{0xA8, 1, 0x00, 1, 1}, true},
		"upper layer of a keyframe":   {[]byte{0xA8, 1, 0x03, 1, 1}, false},
		"lowest layer of another one": {[]byte{0xE8, 1, 0x00, 1, 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := ParseVP9(tc.payload)
			if err != nil || d.Keyframe() != tc.want {
				t.Errorf("keyframe: %v, %v", d.Keyframe(), err)
			}
		})
	}
}

// checkRewriteVP9 holds RewriteVP9 to changing two numbers and nothing else.
func checkRewriteVP9(t *testing.T, b []byte, d VP9) {
	t.Helper()
	const picture, tl0 = 0x5A5A, 0xA5
	dst := make([]byte, len(b))
	if RewriteVP9(dst[:len(b)-1], b, &d, picture, tl0) != 0 {
		t.Fatal("written where there is no room")
	}
	if n := RewriteVP9(dst, b, &d, picture, tl0); n != len(b) || !bytes.Equal(dst[d.Size:], b[d.Size:]) {
		t.Fatalf("% x became % x", b, dst[:n])
	}
	if d.HasPictureID {
		d.PictureID = picture & (1<<d.pictureBits() - 1)
	}
	if d.HasTL0 {
		d.TL0 = tl0
	}
	if got, err := ParseVP9(dst); err != nil || got != d {
		t.Fatalf("% x became % x: %v, %+v, want %+v", b, dst, err, got, d)
	}
}

// FuzzVP9 holds the parser to its promises, and against one that nobody here wrote.
func FuzzVP9(f *testing.F) {
	f.Add([]byte{0xE4, 0x85, 0x39, 0x53, 7, 1})
	f.Add([]byte{0xF8, 0x05, 0x02, 0x03, 0x05, 0x08, 1})
	f.Add([]byte{0x0A, 0x38, 0x01, 0x40, 0x00, 0xB4, 0x02, 0x80, 0x01, 0x68, 1, 0x14, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseVP9(b)
		if err != nil {
			return
		}
		if d.Size < 1 || d.Size >= len(b) || int(d.DiffCount) > len(d.Diffs) || d.Spatial > 8 {
			t.Fatalf("%+v of %d bytes", d, len(b))
		}
		checkRewriteVP9(t, b, d)
		var other codecs.VP9Packet
		if _, err := other.Unmarshal(b); err != nil {
			return // it refuses spatial layers above the fifth
		}
		if other.I != d.HasPictureID || other.PictureID != d.PictureID || other.B != d.Start || other.E != d.End || other.P != d.Inter {
			t.Fatalf("%+v, another reads %+v", d, other)
		}
		if d.HasLayers && (other.TID != d.TID || other.SID != d.SID || other.U != d.SwitchUp || other.D != d.InterLayer || other.TL0PICIDX != d.TL0) {
			t.Fatalf("%+v, another reads %+v", d, other)
		}
	})
}

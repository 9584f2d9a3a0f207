package packet

import (
	"errors"
	"testing"
)

func TestParseAV1(t *testing.T) {
	for name, tc := range map[string]struct {
		payload []byte
		want    AV1
		err     error
	}{
		"empty":                         {nil, AV1{}, ErrShort},
		"a head alone":                  {[]byte{0x08}, AV1{}, ErrShort},
		"sequence and frame, counted":   {[]byte{0x28, 2, 0x08, 1, 0x30, 1}, AV1{Begins: true, Units: 2, Sequence: true}, nil},
		"sequence and frame, uncounted": {[]byte{0x08, 2, 0x08, 1, 2, 0x30, 1}, AV1{Begins: true, Sequence: true}, nil},
		"a frame":                       {[]byte{0x10, 0x30, 1}, AV1{Units: 1}, nil},
		"sequence second":               {[]byte{0x28, 1, 0x12, 0x08, 1}, AV1{Begins: true, Units: 2, Sequence: true}, nil},
		"the end of a sequence header":  {[]byte{0x90, 0x08, 1}, AV1{Continues: true, Units: 1}, nil},
		"the middle of a frame":         {[]byte{0xD0, 0x30, 1}, AV1{Continues: true, Continued: true, Units: 1}, nil},
		"a length over the end":         {[]byte{0x28, 9, 0x08, 1}, AV1{Begins: true, Units: 2}, nil},
		"a length without an end":       {[]byte{0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, AV1{Units: 2}, nil},
		"a length of two bytes":         {append([]byte{0x20, 0x80, 0x01}, append(make([]byte, 128), 0x08)...), AV1{Units: 2, Sequence: true}, nil},
		"empty units":                   {[]byte{0x00, 0, 0, 0}, AV1{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAV1(tc.payload)
			if !errors.Is(err, tc.err) || got != tc.want {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tc.want, tc.err)
			}
			if got.Start() != (tc.want.Begins && !tc.want.Continues) {
				t.Errorf("start: %v", got.Start())
			}
		})
	}
}

func FuzzAV1(f *testing.F) {
	f.Add([]byte{0x28, 2, 0x08, 1, 0x30, 1})
	f.Add([]byte{0x08, 2, 0x08, 1, 2, 0x30, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseAV1(b)
		if (err != nil) != (len(b) < 2) || d.Units > 3 {
			t.Fatalf("%+v, %v of %d bytes", d, err, len(b))
		}
	})
}

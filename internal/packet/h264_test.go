package packet

import "testing"

func TestH264Keyframe(t *testing.T) {
	for name, tc := range map[string]struct {
		payload         []byte
		keyframe, start bool
	}{
		"empty":                         {nil, false, false},
		"slice":                         {[]byte{0x41, 1}, false, false},
		"IDR slice":                     {[]byte{0x65, 1}, true, false},
		"sequence parameters":           {[]byte{0x67, 1}, true, true},
		"picture parameters":            {[]byte{0x68, 1}, false, false},
		"aggregate with both":           {[]byte{0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1}, true, true},
		"aggregate, parameters second":  {[]byte{0x78, 0, 2, 0x09, 1, 0, 1, 0x67}, true, true},
		"aggregate with an IDR slice":   {[]byte{0x78, 0, 2, 0x68, 1, 0, 2, 0x65, 1}, true, false},
		"aggregate of slices":           {[]byte{0x78, 0, 2, 0x41, 1, 0, 2, 0x41, 1}, false, false},
		"aggregate of nothing":          {[]byte{0x78}, false, false},
		"aggregate with an empty unit":  {[]byte{0x78, 0, 0, 0x67}, false, false},
		"aggregate over its end":        {[]byte{0x78, 0, 9, 0x67, 1}, false, false},
		"fragment without a head":       {[]byte{0x7C}, false, false},
		"first fragment of an IDR":      {[]byte{0x7C, 0x85, 1}, true, false},
		"later fragment of an IDR":      {[]byte{0x7C, 0x05, 1}, true, false},
		"first fragment of parameters":  {[]byte{0x7C, 0x87, 1}, true, true},
		"later fragment of parameters":  {[]byte{0x7C, 0x47, 1}, true, false},
		"first fragment of a slice":     {[]byte{0x7C, 0x81, 1}, false, false},
		"aggregate of another sort":     {[]byte{0x79, 0, 2, 0x67, 1}, false, false},
		"sequence parameters, priority": {[]byte{0x27, 1}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			keyframe, start := H264Keyframe(tc.payload)
			if keyframe != tc.keyframe || start != tc.start {
				t.Errorf("got %v, %v, want %v, %v", keyframe, start, tc.keyframe, tc.start)
			}
		})
	}
}

func FuzzH264(f *testing.F) {
	f.Add([]byte{0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1})
	f.Add([]byte{0x7C, 0x85, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if keyframe, start := H264Keyframe(b); start && !keyframe {
			t.Fatal("the start of a keyframe that is none")
		}
	})
}

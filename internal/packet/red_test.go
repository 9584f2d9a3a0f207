package packet

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestParseRED(t *testing.T) {
	for name, tc := range map[string]struct {
		payload []byte
		primary string
		pt      uint8
		blocks  int
		err     error
	}{
		"empty":                    {nil, "", 0, 0, ErrRED},
		"primary alone":            {[]byte{111, 'a', 'b'}, "ab", 111, 0, nil},
		"primary, nothing in it":   {[]byte{111}, "", 111, 0, nil},
		"one repeated":             {[]byte{0x80 | 111, 0x0F, 0x00, 2, 111, 'x', 'y', 'a'}, "a", 111, 1, nil},
		"two repeated":             {[]byte{0x80 | 111, 0x1E, 0x00, 1, 0x80 | 111, 0x0F, 0x00, 2, 111, 'x', 'y', 'z', 'a'}, "a", 111, 2, nil},
		"a head cut off":           {[]byte{0x80 | 111, 0, 0}, "", 0, 0, ErrRED},
		"no primary":               {[]byte{0x80 | 111, 0, 0, 0}, "", 0, 0, ErrRED},
		"a block over the end":     {[]byte{0x80 | 111, 0, 0, 3, 111, 'x', 'y'}, "", 0, 0, ErrRED},
		"a block up to the end":    {[]byte{0x80 | 111, 0, 0, 2, 111, 'x', 'y'}, "", 111, 1, nil},
		"a block longer than 1023": {append([]byte{0x80 | 111, 0, 0x03, 0xFF, 111}, make([]byte, 1023)...), "", 111, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := ParseRED(tc.payload)
			if !errors.Is(err, tc.err) || string(d.Primary) != tc.primary || d.PayloadType != tc.pt || d.Blocks != tc.blocks {
				t.Errorf("got %+v, %v", d, err)
			}
		})
	}
}

// TestREDBlocks writes payloads and reads them again.
func TestREDBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blocks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 1023), 0, 4).Draw(t, "blocks")
		primary := rapid.SliceOf(rapid.Byte()).Draw(t, "primary")
		var payload, bodies []byte
		for i, b := range blocks {
			offset := 960 * (len(blocks) - i)
			payload = append(payload, 0x80|111, byte(offset>>6), byte(offset<<2)|byte(len(b)>>8), byte(len(b)))
			bodies = append(bodies, b...)
		}
		payload = append(append(append(payload, 111), bodies...), primary...)
		d, err := ParseRED(payload)
		if err != nil || d.Blocks != len(blocks) || !bytes.Equal(d.Primary, primary) {
			t.Fatalf("%+v, %v", d, err)
		}
		for i, b := range blocks {
			got := d.Block(i)
			if got.PayloadType != 111 || int(got.Offset) != 960*(len(blocks)-i) || !bytes.Equal(got.Payload, b) {
				t.Fatalf("block %d: %+v", i, got)
			}
		}
	})
}

func FuzzRED(f *testing.F) {
	f.Add([]byte{0x80 | 111, 0x0F, 0x00, 2, 111, 'x', 'y', 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseRED(b)
		if err != nil {
			return
		}
		total := len(d.Primary) + redHead*d.Blocks + 1
		for i := range d.Blocks {
			total += len(d.Block(i).Payload)
		}
		if total != len(b) {
			t.Fatalf("%d bytes in parts of %d", len(b), total)
		}
	})
}

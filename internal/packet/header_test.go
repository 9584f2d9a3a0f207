package packet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pion/rtp"
)

func TestHeaderParse(t *testing.T) {
	fixed := []byte{0x80, 0xE0, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8}
	with := func(first byte, more ...byte) []byte {
		b := append(bytes.Clone(fixed), more...)
		b[0] = first
		return b
	}
	for name, tc := range map[string]struct {
		packet  []byte
		err     error
		header  int
		payload int
		padding int
	}{
		"empty":                    {packet: nil, err: ErrShort},
		"eleven bytes":             {packet: fixed[:11], err: ErrShort},
		"version 1":                {packet: with(0x40), err: ErrVersion},
		"no payload":               {packet: fixed, header: 12},
		"payload":                  {packet: with(0x80, 1, 2, 3), header: 12, payload: 3},
		"csrcs":                    {packet: with(0x82, 1, 2, 3, 4, 5, 6, 7, 8, 9), header: 20, payload: 1},
		"csrcs cut":                {packet: with(0x82, 1, 2, 3, 4, 5, 6, 7), err: ErrShort},
		"extension":                {packet: with(0x90, 0xBE, 0xDE, 0, 1, 0x10, 9, 0, 0, 7), header: 20, payload: 1},
		"extension head cut":       {packet: with(0x90, 0xBE, 0xDE, 0), err: ErrShort},
		"extension cut":            {packet: with(0x90, 0xBE, 0xDE, 0, 2, 1, 2, 3, 4), err: ErrShort},
		"padding":                  {packet: with(0xA0, 1, 0, 0, 3), header: 12, payload: 1, padding: 3},
		"nothing but padding":      {packet: with(0xA0, 0, 2), header: 12, padding: 2},
		"padding of nothing":       {packet: with(0xA0, 1, 0), err: ErrPadding},
		"padding over the header":  {packet: with(0xA0, 1, 3), err: ErrPadding},
		"padding without any byte": {packet: with(0xA0), err: ErrPadding},
	} {
		t.Run(name, func(t *testing.T) {
			var h Header
			if err := h.Parse(tc.packet); !errors.Is(err, tc.err) {
				t.Fatalf("err = %v, want %v", err, tc.err)
			}
			if tc.err != nil {
				return
			}
			if h.HeaderLen != tc.header || h.PayloadLen != tc.payload || h.PaddingLen != tc.padding {
				t.Errorf("lengths = %d, %d, %d, want %d, %d, %d",
					h.HeaderLen, h.PayloadLen, h.PaddingLen, tc.header, tc.payload, tc.padding)
			}
			if !h.Marker || h.PayloadType != 96 || h.Sequence != 0x1234 || h.Timestamp != 0x01020304 || h.SSRC != 0x05060708 {
				t.Errorf("fields = %+v", h)
			}
		})
	}
}

func TestHeaderExtension(t *testing.T) {
	packet := func(profile uint16, elements ...byte) []byte {
		for len(elements)%4 != 0 {
			elements = append(elements, 0)
		}
		b := []byte{0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, byte(profile >> 8), byte(profile), 0, byte(len(elements) / 4)}
		return append(append(b, elements...), 0x55)
	}
	for name, tc := range map[string]struct {
		packet []byte
		id     uint8
		want   []byte // nil: absent
	}{
		"one byte":                    {packet(0xBEDE, 0x10, 7, 0x22, 1, 2, 3), 2, []byte{1, 2, 3}},
		"one byte, behind padding":    {packet(0xBEDE, 0, 0, 0x30, 7), 3, []byte{7}},
		"one byte, the first counts":  {packet(0xBEDE, 0x30, 7, 0x30, 8), 3, []byte{7}},
		"one byte, absent":            {packet(0xBEDE, 0x10, 7), 2, nil},
		"one byte, behind id 15":      {packet(0xBEDE, 0xF0, 1, 0x20, 7), 2, nil},
		"one byte, id 15 itself":      {packet(0xBEDE, 0xF0, 1), 15, nil},
		"one byte, behind a long 0":   {packet(0xBEDE, 0x01, 1, 0x20, 7), 2, nil},
		"one byte, over the end":      {packet(0xBEDE, 0x1F, 1, 2, 3), 1, nil},
		"two bytes":                   {packet(0x1000, 1, 0, 200, 2, 8, 9), 200, []byte{8, 9}},
		"two bytes, empty":            {packet(0x1000, 1, 0, 200, 2, 8, 9), 1, []byte{}},
		"two bytes, application bits": {packet(0x100A, 1, 1, 5), 1, []byte{5}},
		"two bytes, over the end":     {packet(0x1000, 1, 9, 5, 5), 1, nil},
		"two bytes, no length":        {packet(0x1000, 0, 0, 0, 1), 1, nil},
		"another profile":             {packet(0xABCD, 0x10, 7), 1, nil},
		"id 0":                        {packet(0xBEDE, 0x00, 7), 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var h Header
			if err := h.Parse(tc.packet); err != nil {
				t.Fatal(err)
			}
			got := h.Extension(tc.packet, tc.id)
			if !bytes.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("extension = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDemux(t *testing.T) {
	for name, tc := range map[string]struct {
		b           []byte
		media, rtcp bool
	}{
		"empty":           {nil, false, false},
		"one byte":        {[]byte{0x80}, false, false},
		"STUN":            {[]byte{0, 1, 0, 0}, false, false},
		"DTLS":            {[]byte{22, 254, 253}, false, false},
		"TURN channel":    {[]byte{0x40, 0, 0, 4}, false, false},
		"RTP":             {[]byte{0x80, 96}, true, false},
		"RTP with marker": {[]byte{0x90, 0x80 | 63}, true, false},
		"sender report":   {[]byte{0x80, 200}, true, true},
		"feedback":        {[]byte{0x81, 205}, true, true},
		"first RTCP type": {[]byte{0x80, 192}, true, true},
		"last RTCP type":  {[]byte{0xBF, 223}, true, true},
		"behind them":     {[]byte{0x80, 224}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsRTPorRTCP(tc.b); got != tc.media {
				t.Errorf("media = %v", got)
			}
			if got := IsRTCP(tc.b); got != tc.rtcp {
				t.Errorf("rtcp = %v", got)
			}
		})
	}
}

// FuzzHeader holds Parse and Extension against pion/rtp. Pion does not look at the version and refuses packets with
// malformed extension elements, which are only absent here; otherwise both must agree.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3})
	f.Add([]byte{0xB1, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0xBE, 0xDE, 0, 1, 0x10, 1, 0x20, 2, 9, 9, 2})
	f.Add([]byte{0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 1, 1, 2, 3, 4, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		var ours Header
		var theirs rtp.Packet
		err, their := ours.Parse(b), theirs.Unmarshal(b)
		if err == nil && ours.HeaderLen+ours.PayloadLen+ours.PaddingLen != len(b) {
			t.Fatalf("lengths of %d bytes: %+v", len(b), ours)
		}
		if errors.Is(err, ErrVersion) {
			return
		}
		if their == nil && err != nil {
			t.Fatalf("pion parses, we say %v", err)
		}
		if err != nil {
			return
		}
		agree := their == nil && (ours.profile == oneByteProfile || ours.profile == twoByteProfile)
		for id := range 256 { // must not panic, whatever pion thinks
			got := ours.Extension(b, uint8(id))
			if agree && !bytes.Equal(got, theirs.GetExtension(uint8(id))) {
				t.Fatalf("extension %d = %v, pion has %v", id, got, theirs.GetExtension(uint8(id)))
			}
		}
		if their == nil {
			equalHeaders(t, b, &ours, &theirs)
		}
	})
}

func equalHeaders(t *testing.T, b []byte, ours *Header, theirs *rtp.Packet) {
	t.Helper()
	if ours.Marker != theirs.Marker || ours.PayloadType != theirs.PayloadType || ours.Sequence != theirs.SequenceNumber ||
		ours.Timestamp != theirs.Timestamp || ours.SSRC != theirs.SSRC || ours.PaddingLen != int(theirs.PaddingSize) {
		t.Fatalf("%+v, pion has %v", ours, theirs)
	}
	if !bytes.Equal(b[ours.HeaderLen:ours.HeaderLen+ours.PayloadLen], theirs.Payload) {
		t.Fatalf("payload of %+v, pion has %v", ours, theirs.Payload)
	}
}

// TestHeaderParseSealed: of a packet that is still encrypted the last byte is not the count of padding.
func TestHeaderParseSealed(t *testing.T) {
	b := append([]byte{0xA0, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, 1, 2, 0)
	var h Header
	if err := h.Parse(b); !errors.Is(err, ErrPadding) {
		t.Errorf("padding of 0 bytes: %v", err)
	}
	if err := h.ParseSealed(b); err != nil || h.PayloadLen != 3 || h.PaddingLen != 0 {
		t.Errorf("sealed: %v, %+v", err, h)
	}
}

package reel

import (
	"bytes"
	"io/fs"
	"slices"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/parley-sfu/parley/signal/client"
)

// sent cuts the first frames of a clip into packets, as publishers do.
func sent(t *testing.T, r *Reel, codec, rid string, frames int) (packets []client.Packet) {
	t.Helper()
	mime := MimeType(codec)
	cut := map[string]rtp.Payloader{VP8: &codecs.VP8Payloader{EnablePictureID: true}, H264: &codecs.H264Payloader{}}[codec]
	from := r.video[codec][rid].Loop()
	seq := uint16(65_530) // it wraps
	for i := range frames {
		frame, err := from.Next()
		if err != nil {
			t.Fatal(err)
		}
		payloads := cut.Payload(500, frame.Data)
		for n, payload := range payloads {
			last := n == len(payloads)-1
			packets = append(packets, client.Packet{MimeType: mime, RTP: &rtp.Packet{
				Header:  rtp.Header{SequenceNumber: seq, Timestamp: uint32(i * videoTick), Marker: last},
				Payload: bytes.Clone(payload),
			}})
			seq++
		}
	}
	return packets
}

func TestCheckerFindsWhatIsWrong(t *testing.T) {
	r, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	const frames = 40
	for name, tc := range map[string]struct {
		spoil func([]client.Packet) []client.Packet
		want  func(Counts) bool
	}{
		"as it was sent": {func(p []client.Packet) []client.Packet { return p }, func(c Counts) bool { return c == Counts{Whole: frames} }},
		"pairs swapped": {func(p []client.Packet) []client.Packet {
			for i := 0; i+1 < len(p); i += 2 {
				p[i], p[i+1] = p[i+1], p[i]
			}
			return p
		}, func(c Counts) bool { return c == Counts{Whole: frames} }},
		"twice": {func(p []client.Packet) []client.Packet {
			return append(p[:3:3], p[2:]...)
		}, func(c Counts) bool { return c.Corrupt == 0 && c.Misplaced == 0 && c.Whole >= frames }},
		"a byte changed": {func(p []client.Packet) []client.Packet {
			payload := p[len(p)/2].RTP.Payload
			payload[len(payload)-1] ^= 1
			return p
		}, func(c Counts) bool { return c == Counts{Whole: frames - 1, Corrupt: 1} }},
		"a packet lost": {func(p []client.Packet) []client.Packet {
			lost := slices.IndexFunc(p, func(one client.Packet) bool { return one.RTP.Timestamp == 5*videoTick })
			return slices.Delete(p, lost, lost+1)
		}, func(c Counts) bool { return c.Whole == frames-1 && c.Corrupt == 0 && c.Misplaced == 0 }},
		"a time changed": {func(p []client.Packet) []client.Packet {
			for _, one := range p {
				if one.RTP.Timestamp >= 8*videoTick {
					one.RTP.Timestamp += videoTick
				}
			}
			return p
		}, func(c Counts) bool { return c == Counts{Whole: frames, Misplaced: 1} }},
	} {
		for _, codec := range []string{VP8, H264} {
			for _, rid := range Rids() {
				t.Run(name+" "+codec+" "+rid, func(t *testing.T) {
					c := r.Checker()
					for _, p := range tc.spoil(sent(t, r, codec, rid, frames)) {
						c.Packet(p)
					}
					if !tc.want(c.Counts()) {
						t.Errorf("%+v", c.Counts())
					}
				})
			}
		}
	}
}

func TestCheckerGivesUpWhatIsBroken(t *testing.T) {
	r, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	c := r.Checker()
	all := sent(t, r, VP8, "f", 60)
	for _, p := range all {
		if !p.RTP.Marker { // the last packet of every frame is lost
			c.Packet(p)
		}
	}
	if got := c.Counts(); got.Whole > 0 || got.Broken < 40 || len(c.open) > maxOpen {
		t.Errorf("%+v, %d are open", got, len(c.open))
	}
}

func TestVoiceIsKnown(t *testing.T) {
	r, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	frame, err := r.voice.Loop().Next()
	if err != nil {
		t.Fatal(err)
	}
	c := r.Checker()
	c.Packet(client.Packet{MimeType: mimeOpus, RTP: &rtp.Packet{Payload: frame.Data}})
	c.Packet(client.Packet{MimeType: mimeOpus, RTP: &rtp.Packet{Payload: append(bytes.Clone(frame.Data), 1)}})
	if got := c.Counts(); got != (Counts{Whole: 1, Corrupt: 1}) {
		t.Errorf("%+v", got)
	}
}

// The binary carries the clips.
func TestClipsAreSmall(t *testing.T) {
	total := int64(0)
	err := fs.WalkDir(clips, ".", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, fault := d.Info()
			if fault != nil {
				return fault
			}
			total += info.Size()
		}
		return err
	})
	if err != nil || total == 0 || total > 800_000 {
		t.Errorf("the clips have %d bytes: %v", total, err)
	}
}

func FuzzPieces(f *testing.F) {
	f.Add([]byte{0x90, 0x80, 0x80, 1, 2}, true)
	f.Add([]byte{24, 0, 2, 1, 2, 0, 1, 3}, false)
	f.Add([]byte{28, 0x85, 1, 2}, false)
	r, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, payload []byte, marker bool) {
		for _, mime := range []string{mimeVP8, mimeH264, mimeOpus} {
			c := r.Checker()
			for seq := range uint16(3) {
				c.Packet(client.Packet{MimeType: mime, RTP: &rtp.Packet{
					Header: rtp.Header{SequenceNumber: seq, Marker: marker}, Payload: payload,
				}})
			}
			size := 0
			for _, one := range pieces(mime, payload, marker) {
				size += len(one.data)
			}
			if size > len(payload) {
				t.Errorf("%d bytes out of %d", size, len(payload))
			}
		}
	})
}

package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/h264reader"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

// DefaultFrameRate is the frame rate LoadClip assumes for H.264, whose byte stream has none.
const DefaultFrameRate = 15

// Clip is a recording in memory. It never changes, so any number of sources can loop over it.
type Clip struct {
	mime   string
	frames []Frame
	length time.Duration
}

// LoadClip reads a clip from a file, by the name's ending: .ivf (VP8), .h264 (Annex-B at DefaultFrameRate) or .ogg (Opus).
func LoadClip(path string) (*Clip, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load clip: %w", err)
	}
	defer file.Close()
	var clip *Clip
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".ivf":
		clip, err = ReadIVF(file)
	case ".h264":
		clip, err = ReadH264(file, DefaultFrameRate)
	case ".ogg":
		clip, err = ReadOgg(file)
	default:
		err = fmt.Errorf("files that end in %q are not supported", ext)
	}
	if err != nil {
		return nil, fmt.Errorf("load clip %s: %w", path, err)
	}
	return clip, nil
}

// MimeType names the clip's codec.
func (c *Clip) MimeType() string { return c.mime }

// Length is how long one round of the clip lasts.
func (c *Clip) Length() time.Duration { return c.length }

// Frames returns the clip's frames in their order. Nobody may change them.
func (c *Clip) Frames() []Frame { return c.frames }

// Loop returns a new source that plays the clip again and again, at its own pace.
func (c *Clip) Loop() Source { return &loop{clip: c} }

// newClip checks the frames and derives the clip's length: the last frame lasts as long as the one before.
func newClip(mime string, frames []Frame, last time.Duration) (*Clip, error) {
	if len(frames) == 0 {
		return nil, errors.New("clip has no frames")
	}
	if !frames[0].Keyframe {
		return nil, errors.New("clip does not start with a keyframe")
	}
	end := frames[len(frames)-1].At
	if last == 0 && len(frames) > 1 {
		last = end - frames[len(frames)-2].At
	}
	if last <= 0 {
		return nil, errors.New("clip has no duration")
	}
	return &Clip{mime: mime, frames: frames, length: end + last}, nil
}

// ReadIVF reads VP8 from an IVF file.
func ReadIVF(r io.Reader) (*Clip, error) {
	reader, header, err := ivfreader.NewWith(r)
	if err != nil {
		return nil, fmt.Errorf("ivf: %w", err)
	}
	if header.FourCC != "VP80" {
		return nil, fmt.Errorf("ivf: codec %q is not supported, want VP80", header.FourCC)
	}
	num, den := uint64(header.TimebaseNumerator), uint64(header.TimebaseDenominator)
	var frames []Frame
	for {
		data, frame, err := reader.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return newClip(webrtc.MimeTypeVP8, frames, 0)
		}
		if err != nil {
			return nil, fmt.Errorf("ivf: %w", err)
		}
		count := frame.Timestamp * num / den // the reader has multiplied by the time base's inverse
		at := time.Duration(count*num) * time.Second / time.Duration(den)
		frames = append(frames, Frame{Data: data, At: at, Keyframe: len(data) > 0 && data[0]&1 == 0})
	}
}

// ReadH264 reads an Annex-B byte stream at a constant frame rate. Each picture is one slice, as real-time encoders make
// them.
func ReadH264(r io.Reader, fps float64) (*Clip, error) {
	reader, err := h264reader.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("h264: %w", err)
	}
	period := time.Duration(float64(time.Second) / fps)
	var frames []Frame
	var unit bytes.Buffer // the access unit being collected: parameter sets, then the slice
	for {
		nal, err := reader.NextNAL()
		if errors.Is(err, io.EOF) {
			return newClip(webrtc.MimeTypeH264, frames, period)
		}
		if err != nil {
			return nil, fmt.Errorf("h264: %w", err)
		}
		unit.Write([]byte{0, 0, 0, 1})
		unit.Write(nal.Data)
		idr := nal.UnitType == h264reader.NalUnitTypeCodedSliceIdr
		if !idr && nal.UnitType != h264reader.NalUnitTypeCodedSliceNonIdr {
			continue
		}
		at := time.Duration(len(frames)) * period
		frames = append(frames, Frame{Data: bytes.Clone(unit.Bytes()), At: at, Keyframe: idr})
		unit.Reset()
	}
}

// ReadOgg reads Opus from an Ogg file with one packet a page, as "ffmpeg -page_duration 20000" writes it.
func ReadOgg(r io.Reader) (*Clip, error) {
	reader, _, err := oggreader.NewWith(r)
	if err != nil {
		return nil, fmt.Errorf("ogg: %w", err)
	}
	var frames []Frame
	var at, last time.Duration
	var granule uint64
	for {
		page, header, err := reader.ParseNextPage()
		if errors.Is(err, io.EOF) {
			return newClip(webrtc.MimeTypeOpus, frames, last)
		}
		if err != nil {
			return nil, fmt.Errorf("ogg: %w", err)
		}
		if bytes.HasPrefix(page, []byte("OpusTags")) {
			continue
		}
		last = opusDuration(page)
		samples := time.Duration(header.GranulePosition-granule) * time.Second / 48000
		if last == 0 || len(frames) > 0 && samples > last {
			return nil, errors.New("ogg: a page has several packets, want one each")
		}
		granule = header.GranulePosition
		frames = append(frames, Frame{Data: page, At: at, Keyframe: true})
		at += last
	}
}

// opusDuration reads how long an Opus packet lasts from its first bytes (RFC 6716, section 3.1); 0 is a broken packet.
func opusDuration(packet []byte) time.Duration {
	if len(packet) == 0 {
		return 0
	}
	config := packet[0] >> 3
	var frame time.Duration
	switch {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = []time.Duration{10, 20, 40, 60}[config&3] * time.Millisecond
	case config < 16: // hybrid: 10, 20 ms
		frame = []time.Duration{10, 20}[config&1] * time.Millisecond
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 2500 * time.Microsecond << (config & 3)
	}
	switch packet[0] & 3 {
	case 0:
		return frame
	case 1, 2:
		return 2 * frame
	}
	if len(packet) < 2 {
		return 0
	}
	return time.Duration(packet[1]&0x3f) * frame
}

// loop is a Source that plays a clip round and round. Time goes on evenly whatever frame is played.
type loop struct {
	clip *Clip
	next int           // index of the next frame
	at   time.Duration // when it is due
}

// MimeType names the clip's codec.
func (l *loop) MimeType() string { return l.clip.mime }

// Next returns the next frame.
func (l *loop) Next() (Frame, error) {
	frame := l.clip.frames[l.next]
	frame.At = l.at
	l.at += l.clip.lasts(l.next)
	l.next = (l.next + 1) % len(l.clip.frames)
	return frame, nil
}

// SkipToKeyframe goes on with the clip's next keyframe, around the end if need be.
func (l *loop) SkipToKeyframe() {
	for !l.clip.frames[l.next].Keyframe {
		l.next = (l.next + 1) % len(l.clip.frames)
	}
}

// lasts tells how long a frame is shown.
func (c *Clip) lasts(i int) time.Duration {
	if i == len(c.frames)-1 {
		return c.length - c.frames[i].At
	}
	return c.frames[i+1].At - c.frames[i].At
}

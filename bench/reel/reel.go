// Package reel is what swarm's publishers send, and what its viewers know it by: small clips of real encoders, made by
// clips/make.sh, and a Checker that puts the frames of a received stream together and looks each of them up.
//
// It knows nothing of rooms or runs. A Reel is read once and shared by everybody; a Checker belongs to one stream.
package reel

import (
	"bytes"
	"embed"
	"fmt"
	"hash/maphash"
	"path"
	"slices"

	"github.com/parley-sfu/parley/signal/client"
)

//go:embed clips/*.ivf clips/*.264 clips/*.ogg
var clips embed.FS

// The codecs that there are clips of.
const (
	VP8  = "vp8"
	H264 = "h264"
)

// The MIME types of what publishers send.
const (
	mimeVP8  = "video/VP8"
	mimeH264 = "video/H264"
	mimeOpus = "audio/opus"
)

const frameRate = 30 // of all video clips

// Rids are the simulcast layers of a camera, lowest first.
func Rids() []string { return []string{"q", "h", "f"} }

// MimeType is the MIME type of a codec; empty for one that there is no clip of.
func MimeType(codec string) string {
	switch codec {
	case VP8:
		return mimeVP8
	case H264:
		return mimeH264
	default:
		return ""
	}
}

// A Reel is all clips. It does not change, and is safe for concurrent use.
type Reel struct {
	video map[string]map[string]*client.Clip // by codec and rid
	voice *client.Clip
	seed  maphash.Seed
	known map[uint64]place // by the hash of what a receiver puts together
}

// place is where in which clip something stands.
type place struct {
	layer    string // rid; empty for the voice
	index    int    // of the frame
	frames   int    // of the whole clip
	keyframe bool
	aside    bool // it is not the picture itself, but parameters beside it
}

// Load reads the clips.
func Load() (*Reel, error) {
	r := &Reel{video: map[string]map[string]*client.Clip{VP8: {}, H264: {}}, seed: maphash.MakeSeed(), known: map[uint64]place{}}
	for _, rid := range Rids() {
		for codec, file := range map[string]string{VP8: rid + ".ivf", H264: rid + ".264"} {
			clip, err := load(file)
			if err != nil {
				return nil, err
			}
			r.video[codec][rid] = clip
			r.learn(rid, clip)
		}
	}
	voice, err := load("voice.ogg")
	if err != nil {
		return nil, err
	}
	r.voice = voice
	r.learn("", voice)
	return r, nil
}

func load(name string) (clip *client.Clip, err error) {
	file, err := clips.ReadFile(path.Join("clips", name))
	if err != nil {
		return nil, fmt.Errorf("clip: %w", err)
	}
	switch path.Ext(name) {
	case ".ivf":
		clip, err = client.ReadIVF(bytes.NewReader(file))
	case ".264":
		clip, err = client.ReadH264(bytes.NewReader(file), frameRate)
	default:
		clip, err = client.ReadOgg(bytes.NewReader(file))
	}
	if err != nil {
		return nil, fmt.Errorf("clip %s: %w", name, err)
	}
	return clip, nil
}

// learn notes the frames of a clip.
func (r *Reel) learn(layer string, clip *client.Clip) {
	var all []client.Frame
	for from := clip.Loop(); ; {
		frame, err := from.Next()
		if err != nil || frame.At >= clip.Length() {
			break
		}
		all = append(all, frame)
	}
	for i, frame := range all {
		at := place{layer: layer, index: i, frames: len(all), keyframe: frame.Keyframe}
		if clip.MimeType() != mimeH264 {
			r.known[maphash.Bytes(r.seed, frame.Data)] = at
			continue
		}
		units := bytes.Split(frame.Data, []byte{0, 0, 0, 1})
		for n, unit := range units {
			at.aside = n < len(units)-1 // the slice comes last
			if len(unit) > 0 {
				r.known[maphash.Bytes(r.seed, unit)] = at
			}
		}
	}
}

// What says what one publisher sends.
type What struct {
	Camera bool
	Voice  bool
	Codec  string   // of the camera
	Layers []string // of the camera, lowest first
	Level  client.LevelFunc
}

// Publications are what one publisher sends, every frame stamped with its time.
func (r *Reel) Publications(what What) []*client.Publication {
	how := client.PublicationOptions{Stamp: true, Level: what.Level}
	var all []*client.Publication
	if what.Voice {
		all = append(all, client.NewPublication(client.SourceMicrophone, how, client.Layer{From: r.voice.Loop()}))
	}
	if what.Camera {
		var layers []client.Layer
		for _, rid := range what.Layers {
			layer := client.Layer{RID: rid, From: r.video[what.Codec][rid].Loop()}
			if len(what.Layers) == 1 {
				layer.RID = "" // no simulcast
			}
			layers = append(layers, layer)
		}
		all = append(all, client.NewPublication(client.SourceCamera, how, layers...))
	}
	return all
}

// Codecs are the MIME types of some codecs, each once.
func Codecs(of []string) []string {
	var mimes []string
	for _, codec := range of {
		if mime := MimeType(codec); mime != "" && !slices.Contains(mimes, mime) {
			mimes = append(mimes, mime)
		}
	}
	return mimes
}

package bench

import (
	"bytes"
	"embed"
	"fmt"
	"path"

	"github.com/parley-sfu/parley/signal/client"
)

// The clips that publishers send, made by clips/make.sh.
//
//go:embed clips/*.ivf clips/*.ogg
var clipFiles embed.FS

// A reel is what one run's publishers send. It is shared by all of them.
type reel struct {
	layers []*client.Clip // q, h, f
	voice  *client.Clip
}

func loadReel() (*reel, error) {
	var r reel
	for _, rid := range []string{"q", "h", "f"} {
		file, err := clipFiles.ReadFile(path.Join("clips", rid+".ivf"))
		if err != nil {
			return nil, err
		}
		clip, err := client.ReadIVF(bytes.NewReader(file))
		if err != nil {
			return nil, fmt.Errorf("clip %s: %w", rid, err)
		}
		r.layers = append(r.layers, clip)
	}
	file, err := clipFiles.ReadFile("clips/voice.ogg")
	if err != nil {
		return nil, err
	}
	if r.voice, err = client.ReadOgg(bytes.NewReader(file)); err != nil {
		return nil, fmt.Errorf("clip voice: %w", err)
	}
	return &r, nil
}

// publications are what one publisher sends, every frame stamped with its time. Each publisher is a little less loud than
// the one before it, so that the servers' choice of the loudest is the same in every run.
func (r *reel) publications(media string, number int) []*client.Publication {
	stamped := client.PublicationOptions{Stamp: true, Level: client.ConstantLevel(uint8(20 + number%80))}
	pubs := []*client.Publication{
		client.NewPublication(client.SourceMicrophone, stamped, client.Layer{From: r.voice.Loop()}),
	}
	if media == MediaAV {
		var layers []client.Layer
		for i, rid := range []string{"q", "h", "f"} {
			layers = append(layers, client.Layer{RID: rid, From: r.layers[i].Loop()})
		}
		pubs = append(pubs, client.NewPublication(client.SourceCamera, stamped, layers...))
	}
	return pubs
}

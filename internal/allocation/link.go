package allocation

// Union appends to dst what a link may carry of one simulcast track when several of its layers are wanted behind it, and
// returns it: the Layers of a slot that stands for the track in the link's budget.
//
// Layers are the track's own, in order; wanted has a bit for each spatial layer that is wanted. Granted a layer, the link
// carries it and all wanted ones below it: whoever wants a higher one gets this in its place meanwhile. Nothing is
// carried above what is wanted. A scalable stream needs no Union, since its layers contain each other.
func Union(dst, layers []Layer, wanted uint8) []Layer {
	below := int64(0) // of the wanted layers under the present one
	for i := range layers {
		layer := layers[i]
		if wanted>>layer.Spatial == 0 {
			break
		}
		if i > 0 && layers[i-1].Spatial != layer.Spatial && wanted>>layers[i-1].Spatial&1 != 0 {
			below += layers[i-1].Bitrate
		}
		layer.Bitrate += below
		dst = append(dst, layer)
	}
	return dst
}

// bitsPerPixel is what a camera's picture takes at the rates that browsers choose: 2.2 Mbit/s for 720p at 30 a second.
const bitsPerPixel = 0.08

// Expect returns the bit rate to count a layer with that nobody has measured, because nobody watches it: pixels and
// pictures a second decide. A layer at half the frame rate takes three quarters of the bits: its pictures differ more.
func Expect(width, height int, frameRate float64) int64 {
	const usual = 30
	if frameRate <= 0 || frameRate > usual {
		frameRate = usual
	}
	share := frameRate / usual
	return int64(bitsPerPixel * usual * float64(width) * float64(height) * (share + 1) / 2)
}

package packet

// addScalable adds the parts that read and select layers.
func addScalable(paths map[string]func(n int)) {
	e := &encoder{spatial: 3, temporal: 3, every: 2, keys: []int{100, 200, 300, 400}}
	e.encode(500)
	var written [][]byte
	for i := range e.frames {
		written = append(written, e.describe(&e.frames[i], true, true))
	}
	var reader DescriptorReader
	var selector Selector
	var d Descriptor
	selector.Want(2, 2)
	var h Header
	paths["DescriptorReader.Read"] = func(n int) { _ = reader.Read(written[n%len(written)], &d) }
	paths["DescriptorReader.Read+Selector.Select"] = func(n int) {
		h.Sequence, h.Timestamp = uint16(n), uint32(e.frames[n%len(e.frames)].picture*3000)
		_ = reader.Read(written[n%len(written)], &d)
		selector.Select(&h, &d)
	}

	payload := append([]byte{0xE4, 0x85, 0x39, 0x53, 7}, make([]byte, 1100)...)
	paths["ParseVP9"] = func(int) { _, _ = ParseVP9(payload) }
	var vp9 VP9Selector
	vp9.Want(2, 2)
	paths["VP9Selector.Select"] = func(n int) {
		f := &e.frames[n%len(e.frames)]
		vp9.Select(&Header{Sequence: uint16(n), Timestamp: uint32(n / 3 * 3000)}, &VP9{
			Start: true, End: true, Inter: !f.key, HasLayers: true, TID: uint8(f.temporal), SID: uint8(f.spatial), SwitchUp: f.switchUp,
		})
	}
	var vp8 TemporalSelector
	paths["TemporalSelector.Select"] = func(n int) {
		vp8.Select(&Header{Sequence: uint16(n), Timestamp: uint32(n / 3 * 3000)}, &VP8{Start: true, HasTID: true, TID: uint8(n / 3 % 2)})
	}

	units := append([]byte{0x28, 2, 0x08, 1, 0x30}, make([]byte, 1100)...)
	paths["ParseAV1"] = func(int) { _, _ = ParseAV1(units) }
	red := append([]byte{0x80 | 111, 0x0F, 0x00, 60, 111}, make([]byte, 130)...)
	paths["ParseRED"] = func(int) {
		d, _ := ParseRED(red)
		d.Block(0)
	}
	var meter Meter
	paths["Meter.Add+Rate"] = func(n int) {
		meter.Add(1100, uint32(n/3*3000), uint8(n/3%3), int64(n)*ms)
		meter.Rate(2, int64(n)*ms)
	}
}

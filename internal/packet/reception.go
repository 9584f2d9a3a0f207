package packet

// Reception keeps the statistics that receiver reports carry (RFC 3550 sections 6.4.1, A.3 and A.8).
type Reception struct{}

// Update counts one packet of the stream itself (not of its RTX stream).
func (r *Reception) Update(h *Header, arrival int64, clockRate uint32) {}

// Report returns the fields of a reception report block.
func (r *Reception) Report() (fractionLost uint8, totalLost int32, highest, jitter uint32) { return }

package packet

// VP9Selector says which packets of a scalable VP9 stream a viewer gets who is to see it up to a spatial and a temporal
// layer, by the payload descriptor alone (RFC 9628). It goes down at the next picture, and up in time behind a picture
// that says so (the U bit). In space it goes up at keyframes alone: elsewhere an upper layer can begin anew too, but the
// marker bit has gone out with the layer below by then. Where the dependency descriptor is at hand, Selector does the same
// for any codec and leaves out more.
//
// What is not forwarded is for Rewriter.Skip. It starts anew with each source. The zero value forwards the lowest layers.
type VP9Selector struct {
	wantedSpatial, wantedTemporal uint8
	spatial, temporal             uint8
	begun                         bool
	order                         arrivalOrder
	pictures                      pictureLog
}

// Want sets the highest layers to be forwarded, and reports whether any is higher than what was wanted before.
func (s *VP9Selector) Want(spatial, temporal uint8) (higher bool) {
	higher = spatial > s.wantedSpatial || temporal > s.wantedTemporal
	s.wantedSpatial, s.wantedTemporal = spatial, temporal
	return higher
}

// Lacks reports whether fewer spatial layers are forwarded than are wanted, and whether fewer temporal ones.
func (s *VP9Selector) Lacks() (spatial, temporal bool) {
	return s.spatial < s.wantedSpatial, s.temporal < s.wantedTemporal
}

// LeftOut reports whether a packet with the descriptor d was left out, or would have been. Of one of long ago what is forwarded now decides.
func (s *VP9Selector) LeftOut(h *Header, d *VP9) bool {
	limit, ok := s.pictures.find(h.Timestamp)
	if !ok {
		limit = pictureLimit{spatial: s.spatial, temporal: s.temporal}
	}
	return d.SID > limit.spatial || d.TID > limit.temporal
}

// Current returns the highest layers that are forwarded.
func (s *VP9Selector) Current() (spatial, temporal uint8) { return s.spatial, s.temporal }

// Select reports whether a packet of the stream with the descriptor d is to be forwarded, and with which marker bit: the
// last packet of what is left of a picture has it. Select must be given all packets that come, in any order. Before the
// start of a keyframe it forwards nothing.
func (s *VP9Selector) Select(h *Header, d *VP9) (forward, marker bool) {
	inOrder := s.order.take(h.Sequence)
	if !s.begun {
		if !inOrder || !d.Start || !d.Keyframe() {
			return false, false
		}
		s.begun = true
	}
	if inOrder && s.pictures.isNew(h.Timestamp) {
		s.beginPicture(h.Timestamp, d)
	}
	limit, ok := s.pictures.find(h.Timestamp)
	if !ok || d.SID > limit.spatial || d.TID > limit.temporal {
		return false, false
	}
	if newest := s.pictures.newest(); inOrder && d.SwitchUp {
		newest.behind = max(newest.behind, s.wantedTemporal)
	}
	return true, h.Marker || d.End && d.SID == limit.spatial
}

// beginPicture moves to what is wanted as far as that goes between two pictures.
func (s *VP9Selector) beginPicture(timestamp uint32, d *VP9) {
	if d.Start && d.Keyframe() {
		s.spatial, s.temporal = s.wantedSpatial, s.wantedTemporal
	} else if s.pictures.count > 0 {
		s.spatial = min(s.spatial, s.wantedSpatial)
		s.temporal = min(s.pictures.newest().behind, s.wantedTemporal)
	}
	s.pictures.begin(pictureLimit{timestamp, s.spatial, s.temporal, s.temporal})
}

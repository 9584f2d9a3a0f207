package client

import (
	"context"
	"errors"
	"io"
	"time"
)

// maxLate is how far a layer may fall behind before it drops frames instead of sending a burst.
const maxLate = time.Second

// run sends the frames of the layer's source when they are due, counted from the epoch, until the source, the publication
// or the context ends.
func (s *sender) run(ctx context.Context, ended <-chan struct{}, epoch time.Time) error {
	s.startAt(epoch)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if s.wantKeyframe.Swap(false) {
			s.from.SkipToKeyframe()
		}
		frame, err := s.from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		wait := time.Until(epoch.Add(frame.At))
		if wait < -maxLate {
			s.wantKeyframe.Store(true) // what follows cannot be decoded without the frame that is dropped here
			continue
		}
		timer.Reset(max(wait, 0))
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return nil
		case <-timer.C:
		}
		// A frame that cannot be sent is lost, as on the network: the peer connection may be on its way to be replaced.
		_ = s.writeFrame(frame)
	}
	return nil
}

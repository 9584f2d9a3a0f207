package path

import (
	"fmt"
	"time"
)

// A Load is a room and what is sent in it: every publisher one stream, which is forwarded to every viewer.
type Load struct {
	Name       string
	Publishers int
	Viewers    int
	Size       int     // bytes of RTP payload, of most packets or on average
	Vary       int     // bytes by which a packet may be larger or smaller
	Burst      int     // packets of one stream that come together: a frame's
	Pace       float64 // bursts a second of each stream at a real pace; 0: it is measured flat out alone
	PionMost   int     // viewers that the plain pion server can hold; 0: all
	Short      bool    // also in the short variant
}

const (
	videoSize = 1100 // bytes of payload of a full packet of video
	audioSize = 120  // and of Opus
)

// Loads are those of the table, largest rooms last.
//
// A picture of 1.7 Mbit/s is 22 frames a second of 8 equal packets; a thumbnail's frame is one packet; Opus is 50 packets a
// second. 25 open microphones at a real pace are no load that exists: an SFU forwards the loudest few.
//
// Encoded thumbnails are of any size: only equal packets become segments of one message, so these show what is left without.
//
// Pion keeps 1,024 packets for every track of every viewer: 25 thumbnails for 500 viewers would take it 18 GB.
func Loads() []Load {
	return []Load{
		{Name: "1 × 500, 1,100 bytes", Publishers: 1, Viewers: 500, Size: videoSize, Burst: 8, Pace: 22, Short: true},
		{Name: "1 × 500, 120 bytes", Publishers: 1, Viewers: 500, Size: audioSize, Burst: 1, Pace: 50, Short: true},
		{Name: "25 × 25, 1,100 bytes", Publishers: 25, Viewers: 25, Size: videoSize, Burst: 8, Pace: 22},
		{Name: "25 × 25, 120 bytes", Publishers: 25, Viewers: 25, Size: audioSize, Burst: 1, Pace: 50},
		{Name: "25 × 500, 1,100 bytes", Publishers: 25, Viewers: 500, Size: videoSize, Burst: 1, Pace: 15, PionMost: 50},
		{Name: "25 × 500, 300 to 1,100 bytes", Publishers: 25, Viewers: 500, Size: 700, Vary: 400, Burst: 1, Pace: 15, PionMost: 50, Short: true},
		{Name: "25 × 500, 120 bytes", Publishers: 25, Viewers: 500, Size: audioSize, Burst: 1, PionMost: 100},
	}
}

func (l Load) video() bool { return l.Size > audioSize }

func (l Load) mime() string {
	if l.video() {
		return "video/VP8"
	}
	return "audio/opus"
}

// interval is the time between two bursts of a stream; 0 is flat out.
func (l Load) interval(paced bool) time.Duration {
	if !paced {
		return 0
	}
	return time.Duration(float64(time.Second) / l.Pace)
}

func (l Load) String() string {
	return fmt.Sprintf("%s (%d publishers, %d viewers)", l.Name, l.Publishers, l.Viewers)
}

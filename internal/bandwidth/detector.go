package bandwidth

// usage is what the delay says of the path.
type usage uint8

const (
	normal usage = iota
	over         // a queue grows
	under        // a queue drains
)

const (
	trendGain      = 4.0
	trendMost      = 60 // comparisons that count
	thresholdStart = 12.5
	thresholdLeast = 6.0
	thresholdMost  = 600.0
	thresholdUp    = 0.0087 // a ms
	thresholdDown  = 0.039
	thresholdSpike = 15.0 // what is further beyond the threshold does not move it
	overLasts      = 10 * milli
)

// detector holds the trend against a threshold that adapts (draft-ietf-rmcat-gcc-02 section 5.4; Carlucci, De Cicco, Holmer, Mascolo, "Analysis
// and Design of the Google Congestion Control for Web Real-time Communication", 2016): quick down to find small queues, and up when other flows make
// queues whatever we do, since a fixed one would starve beside TCP.
type detector struct {
	threshold float64
	updated   int64
	before    float64 // trend at the last look
	since     int64   // ns of overuse so far, -1 is none
	looks     int     // in which it was
	usage     usage
}

func newDetector() detector {
	return detector{threshold: thresholdStart, since: -1}
}

// look takes the slope after the count-th comparison of groups, that left sent ns apart.
func (d *detector) look(slope float64, count int, sent, now int64) usage {
	value := float64(min(count, trendMost)) * trendGain * slope
	switch {
	case value > d.threshold:
		if d.since < 0 {
			d.since = sent / 2
		} else {
			d.since += sent
		}
		d.looks++
		if d.since > overLasts && d.looks > 1 && value >= d.before {
			d.since, d.looks, d.usage = 0, 0, over
		}
	case value < -d.threshold:
		d.since, d.looks, d.usage = -1, 0, under
	default:
		d.since, d.looks, d.usage = -1, 0, normal
	}
	d.before = value
	d.adapt(value, now)
	return d.usage
}

func (d *detector) adapt(value float64, now int64) {
	elapsed := float64(min(now-d.updated, 100*milli)) / milli
	d.updated = now
	if value < 0 {
		value = -value
	}
	if value > d.threshold+thresholdSpike {
		return
	}
	speed := thresholdUp
	if value < d.threshold {
		speed = thresholdDown
	}
	d.threshold += speed * (value - d.threshold) * elapsed
	d.threshold = min(max(d.threshold, thresholdLeast), thresholdMost)
}

package bandwidth

const (
	trendWindow    = 20
	trendSmoothing = 0.9
)

// trend is the slope of the delay over time: milliseconds of queue gained in a millisecond. Each comparison of groups moves a sum, the
// sum is smoothed, and a line is laid through the last 20 by least squares. It stands in the place of the Kalman filter of
// draft-ietf-rmcat-gcc-02 section 5.3, as in current senders: it needs no model of the noise, and a few late packets turn it less.
type trend struct {
	count    int // comparisons since the beginning
	began    int64
	sum      float64 // ms
	smoothed float64 // ms
	times    [trendWindow]float32
	delays   [trendWindow]float32
}

// add takes how much longer the gap between two groups has become, in ns, and when the younger arrived. The slope is 0 until
// the window is full.
func (t *trend) add(change, arrival int64) float64 {
	if t.count == 0 {
		t.began = arrival
	}
	t.sum += float64(change) / milli
	t.smoothed = trendSmoothing*t.smoothed + (1-trendSmoothing)*t.sum
	i := t.count % trendWindow
	t.times[i], t.delays[i] = float32(float64(arrival-t.began)/milli), float32(t.smoothed)
	t.count++
	if t.count < trendWindow {
		return 0
	}
	return t.slope()
}

func (t *trend) slope() float64 {
	var x, y float64
	for i := range trendWindow {
		x += float64(t.times[i])
		y += float64(t.delays[i])
	}
	x, y = x/trendWindow, y/trendWindow
	var up, down float64
	for i := range trendWindow {
		dx := float64(t.times[i]) - x
		up += dx * (float64(t.delays[i]) - y)
		down += dx * dx
	}
	if down == 0 {
		return 0
	}
	return up / down
}

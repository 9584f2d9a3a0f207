package plot

import (
	"math"
	"slices"
)

// A Point is one thing that was measured.
type Point struct{ X, Y float64 }

// A Line is the straight line with the least squares of vertical distances to some points.
type Line struct {
	Slope, Intercept float64
	R2               float64 // the share of the points' variance that the line explains; 1 where there is none
	SlopeError       float64 // standard error of the slope, where the distances are independent of each other
}

// At is the line's height.
func (l Line) At(x float64) float64 { return l.Intercept + l.Slope*x }

// Fit needs two points with different X; for fewer the line is level.
func Fit(points []Point) Line {
	n := float64(len(points))
	var meanX, meanY float64
	for _, p := range points {
		meanX, meanY = meanX+p.X/n, meanY+p.Y/n
	}
	var xx, xy, yy float64
	for _, p := range points {
		xx, xy, yy = xx+(p.X-meanX)*(p.X-meanX), xy+(p.X-meanX)*(p.Y-meanY), yy+(p.Y-meanY)*(p.Y-meanY)
	}
	if xx == 0 {
		return Line{Intercept: meanY, R2: 1}
	}
	l := Line{Slope: xy / xx, R2: 1}
	l.Intercept = meanY - l.Slope*meanX
	var rest float64
	for _, p := range points {
		rest += (p.Y - l.At(p.X)) * (p.Y - l.At(p.X))
	}
	if yy > 0 {
		l.R2 = 1 - rest/yy
	}
	if n > 2 {
		l.SlopeError = math.Sqrt(rest / (n - 2) / xx)
	}
	return l
}

// A Growth is what a series does in the long run.
type Growth struct {
	Line
	Share float64 // that it grew by from the first block to the last, of its mean
	Sure  bool    // noise does not explain it
	Grows bool    // it does, by more than is of any interest
}

const (
	blocks = 12
	// surely is the 99.5 % quantile of Student's t with blocks-2 degrees of freedom.
	surely = 3.169

	// Fewest is how many samples Grows needs: three a block.
	Fewest = 3 * blocks
)

// Grows tells whether a series grows by more than a share of its mean, and by more than noise explains.
//
// Neighbouring samples of a process are alike (a heap climbs for seconds and falls at once), so counting each as a witness
// would make any drift look certain. The series is cut into twelve blocks; the median of each is one witness, and the slope of
// these must be larger than the spread around it explains with a certainty of 99.5 %. It says no to fewer
// samples than Fewest.
func Grows(series []Point, interesting float64) Growth {
	if len(series) < Fewest {
		return Growth{Line: Fit(series)}
	}
	medians := make([]Point, blocks)
	var mean float64
	for i := range medians {
		part := series[i*len(series)/blocks : (i+1)*len(series)/blocks]
		medians[i] = Point{middle(part, func(p Point) float64 { return p.X }), middle(part, func(p Point) float64 { return p.Y })}
		mean += medians[i].Y / blocks
	}
	g := Growth{Line: Fit(medians)}
	if mean != 0 {
		g.Share = g.Slope * (medians[blocks-1].X - medians[0].X) / mean
	}
	g.Sure = g.Slope > surely*g.SlopeError
	g.Grows = g.Sure && g.Share > interesting
	return g
}

func middle(points []Point, of func(Point) float64) float64 {
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = of(p)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

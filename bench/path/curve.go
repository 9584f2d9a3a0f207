package path

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// A Usage is what a node used while a room of a size was in it.
type Usage struct {
	Cameras    int     `json:"cameras"`
	Viewers    int     `json:"viewers"`
	CPU        float64 `json:"cpu_cores"`
	Memory     float64 `json:"memory_mb"` // resident
	Heap       float64 `json:"heap_mb"`   // in use
	Goroutines float64 `json:"goroutines"`
	Packets    float64 `json:"packets"` // forwarded, a second
}

// A Course is how a room grows while it is measured.
type Course struct {
	Name    string
	Load    Load // of the room at its largest
	Cameras []int
	Viewers []int // as many steps as Cameras
}

// Courses are one camera of 1.7 Mbit/s before 50 to 500 viewers, and 1 to 25 thumbnails before 100.
func Courses() []Course {
	viewers := Course{Name: "viewers", Load: Load{Name: "viewers", Publishers: 1, Viewers: 500, Size: videoSize, Burst: 8, Pace: 22}}
	for n := 50; n <= viewers.Load.Viewers; n += 50 {
		viewers.Cameras, viewers.Viewers = append(viewers.Cameras, 1), append(viewers.Viewers, n)
	}
	cameras := Course{Name: "cameras", Load: Load{Name: "cameras", Publishers: 25, Viewers: 100, Size: videoSize, Burst: 1, Pace: 15}}
	for _, n := range []int{1, 4, 7, 10, 13, 16, 19, 22, 25} {
		cameras.Cameras, cameras.Viewers = append(cameras.Cameras, n), append(cameras.Viewers, cameras.Load.Viewers)
	}
	return []Course{viewers, cameras}
}

// Follow lets a room of a real node grow along a course, and measures each of its sizes for a time at a real pace. Viewers have
// their slots for all cameras from the beginning.
func Follow(ctx context.Context, binary string, course Course, long time.Duration, log io.Writer) (steps []Usage, err error) {
	room, err := openParley(ctx, Parley, binary, course.Load)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, room.close()) }()
	for i := range course.Cameras {
		if err := room.publish(ctx, course.Cameras[i]-len(room.sources)); err != nil {
			return steps, err
		}
		if err := room.watch(ctx, course.Viewers[i]-room.viewers); err != nil {
			return steps, err
		}
		if err := room.warmUp(ctx, course.Load); err != nil {
			return steps, err
		}
		u, err := room.use(ctx, long)
		if err != nil {
			return steps, err
		}
		fmt.Fprintf(log, "%d cameras, %d viewers: %.3f cores, %.0f MB, %.0f goroutines\n", u.Cameras, u.Viewers, u.CPU, u.Memory, u.Goroutines)
		steps = append(steps, u)
	}
	return steps, nil
}

// use measures the room as it is.
func (r *parleyRoom) use(ctx context.Context, long time.Duration) (Usage, error) {
	runtime.GC() // this program's garbage is not to be collected in the server's time
	w, err := r.measure(ctx, r.load, true, long)
	if err != nil {
		return Usage{}, err
	}
	memory, err := r.process.Memory()
	if err != nil {
		return Usage{}, err
	}
	const heap, routines = "go_memstats_heap_inuse_bytes", "go_goroutines"
	metrics, err := r.node.Metrics(ctx, heap, routines)
	if err != nil {
		return Usage{}, err
	}
	const mega = 1e6
	return Usage{
		Cameras: len(r.sources), Viewers: r.viewers, CPU: w.cores(), Memory: memory / mega, Heap: metrics[heap] / mega,
		Goroutines: metrics[routines], Packets: float64(w.forwarded) / w.took.Seconds(),
	}, nil
}

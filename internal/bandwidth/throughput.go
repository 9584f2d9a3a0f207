package bandwidth

const (
	bucketWidth  = 25 * milli
	bucketCount  = 32
	shortBuckets = 8  // 200 ms: several pictures of each of the tracks
	longBuckets  = 24 // 600 ms
	fewPackets   = 20 // a rate made of less is noise
	dropped      = 0.75
	peakBuckets  = 6  // 150 ms
	peakOver     = 14 // 350 ms
)

// throughput is the rate at which packets pass, by the clock of where they do. Over the last 600 ms it does not mistake the rhythm of pictures
// for a rate; over the last 200 ms it follows a path that has become another. It gives the greater of the two, unless the
// latter is less by more than a quarter: then the path has become slower. Windows grow, up to 775 ms, until 20 packets are in them. The zero value has seen nothing.
type throughput struct {
	newest  int64 // number of the newest bucket
	first   int64 // number of the first bucket ever
	started bool
	bytes   [bucketCount]uint32
	packets [bucketCount]uint16
}

func (t *throughput) add(at int64, size int) {
	n := at / bucketWidth
	switch {
	case n < 0:
		return
	case !t.started || n >= t.newest+bucketCount || n <= t.newest-bucketCount:
		*t = throughput{newest: n, first: n, started: true}
	case n > t.newest:
		for t.newest < n {
			t.newest++
			t.bytes[t.newest%bucketCount], t.packets[t.newest%bucketCount] = 0, 0
		}
	}
	t.bytes[n%bucketCount] += uint32(size)
	t.packets[n%bucketCount]++
}

// rate returns bit/s, and false before 200 ms have been seen. The newest bucket is not full yet and does not count.
func (t *throughput) rate() (float64, bool) {
	if t.newest-t.first < shortBuckets {
		return 0, false
	}
	short, long := t.over(shortBuckets), t.over(longBuckets)
	if short < dropped*long {
		return short, true
	}
	return max(short, long), true
}

// over returns bit/s over so many buckets, or more to have enough packets, or less where that is all.
func (t *throughput) over(buckets int64) float64 {
	seen := min(t.newest-t.first, bucketCount-1)
	var bytes, packets, n int64
	for n = 0; n < seen && (n < buckets || packets < fewPackets); n++ {
		i := (t.newest - 1 - n) % bucketCount
		bytes += int64(t.bytes[i])
		packets += int64(t.packets[i])
	}
	return float64(8*bytes) * second / float64(n*bucketWidth)
}

// peak returns bit/s over the 150 ms in which most passed, of the last 350: a path that is filled for as long passes what it carries, and no more.
func (t *throughput) peak() float64 {
	var sum, most int64
	for n := range min(t.newest-t.first, peakOver) {
		sum += int64(t.bytes[(t.newest-1-n)%bucketCount])
		if n >= peakBuckets {
			sum -= int64(t.bytes[(t.newest-1-n+peakBuckets)%bucketCount])
		}
		most = max(most, sum)
	}
	return float64(8*most) * second / (peakBuckets * bucketWidth)
}

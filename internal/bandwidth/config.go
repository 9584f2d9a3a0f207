package bandwidth

import (
	"errors"
	"fmt"
)

const (
	micro  = 1_000
	milli  = 1_000_000
	second = 1_000_000_000
)

// Config bounds an estimator, in bit/s.
type Config struct {
	Min   int // the estimate never falls below: audio has to go somehow
	Start int // the estimate before anything is known; the first probes go to three and six times as much
	Max   int // the estimate never rises above
}

// Defaults suits a subscriber.
func Defaults() Config {
	return Config{Min: 64_000, Start: 600_000, Max: 20_000_000}
}

// Validate names all faults at once.
func (c Config) Validate() error {
	var faults []error
	if c.Min < 10_000 {
		faults = append(faults, fmt.Errorf("min %d: want 10000 bit/s or more", c.Min))
	}
	if c.Start < c.Min || c.Start > c.Max {
		faults = append(faults, fmt.Errorf("start %d: want min %d to max %d", c.Start, c.Min, c.Max))
	}
	return errors.Join(faults...)
}

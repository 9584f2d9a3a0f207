package bandwidth

import (
	"errors"
	"fmt"
	"time"
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

	// Silence of the receiver's that is longer than this, while packets leave, is an outage. Three round trips are never one.
	Silence time.Duration

	// Short keeps queues shorter: nothing grows while one stands on a path that carries no more than it was found to, and probes go less far ahead.
	// Widening is found out later by one probe, and a share is regained more slowly.
	Short bool
}

// Defaults suits a subscriber.
func Defaults() Config {
	return Config{Min: 64_000, Start: 600_000, Max: 20_000_000, Silence: 500 * time.Millisecond}
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
	if c.Silence < 100*time.Millisecond {
		faults = append(faults, fmt.Errorf("silence %v: want 100ms or more", c.Silence))
	}
	return errors.Join(faults...)
}

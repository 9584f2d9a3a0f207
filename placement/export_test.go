package placement

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// Quick returns the configuration with times that fit loopback and a busy machine.
func (c Config) Quick() Config {
	c.timing = timing{
		probeEvery: 200 * time.Millisecond, probeTimeout: 150 * time.Millisecond, suspicion: 4,
		gossipEvery: 20 * time.Millisecond, syncEvery: time.Second, streamTimeout: 2 * time.Second,
		rejoinEvery: 100 * time.Millisecond, patientEvery: 10, rejoinEager: time.Minute,
		seedsSoon: 100 * time.Millisecond, seedsEvery: time.Second, seedsEager: time.Minute, seedsAgain: time.Second, askEvery: 20 * time.Millisecond,
		pulseEvery:   20 * time.Millisecond,
		rememberLost: time.Hour, leaveWithin: 2 * time.Second,
	}
	return c
}

// NeverProbing returns the configuration without any probe: a node that dies is not noticed.
func (c Config) NeverProbing() Config {
	c.timing.probeEvery, c.timing.syncEvery = time.Hour, time.Hour
	return c
}

// Over returns the configuration with gossip over a transport of the test's.
func (c Config) Over(t memberlist.Transport) Config {
	c.transport = t
	return c
}

// Next is the pressure after p under a load, where the region's mean share of CPU is mean.
func (p Pressure) Next(l Load, mean float64) Pressure { return p.next(l, mean) }

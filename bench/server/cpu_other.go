//go:build !linux

package server

import (
	"errors"
	"time"
)

// CPU is known on Linux only.
func (p *Process) CPU() (time.Duration, error) {
	return 0, errors.New("the CPU time of another process is read on Linux only")
}

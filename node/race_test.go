//go:build race

package node

// The race detector makes pools forget on purpose, so that allocations are not counted under it.
const raceDetector = true

// Package allocation divides a bit rate among pictures: it says for each slot of a subscriber which layer of its track
// is to be shown, or that there is no room for any. The same arithmetic divides a link between nodes over what the
// subscribers behind it want together (see Union).
//
// It is arithmetic only: no clock, no goroutine, no packet. Who owns a Solver calls it from one goroutine at a time.
package allocation

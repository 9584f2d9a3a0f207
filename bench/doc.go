// Package bench is the load tester behind swarm: participants that join, publish and watch as real ones do, and a report of
// what they went through and what it cost the servers.
//
// It knows Parley by its public Go client and its REST calls alone, so that what it measures is what users get. It owns the
// meetings that it makes, and ends them. Times come from one clock: publishers stamp every frame (client.StampSize), and
// where viewers run on another machine their clocks must agree.
package bench

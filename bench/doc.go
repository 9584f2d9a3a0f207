// Package bench is the load tester behind swarm: participants that join, publish and watch as real ones do, and a report of
// what they went through and what it cost the servers.
//
// A Scenario, from a file or from flags, is worked out into a plan: who joins when, and who does what. A cast plays a part of
// the people; there is one in this process, or one in each of several agents that a coordinator leads over a Messenger. What
// casts went through is merged into one Report.
//
// It knows Parley by its public Go client and its REST calls alone, so that what it measures is what users get. It owns the
// meetings that it makes, and ends them. Publishers stamp every frame with their clock (client.StampSize); where viewers run
// on another machine, the clocks must agree.
package bench

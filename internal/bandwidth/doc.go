// Package bandwidth estimates, at the sender's end, how many bit/s one path carries: a subscriber's transport, or the link to another
// node. It is congestion control by the receiver's account of arrival times, and by probes.
//
// An Estimator is told of each packet that leaves and of each RTCP message that comes back; it answers with a rate, and with probes to
// be sent. Each idea has a file:
//
//	history     what left, until the receiver has told of it
//	feedback    going through what the receiver tells, and what follows from it
//	throughput  what passes, in bit/s
//	grouping    bursts of packets, and how the time between two of them changed on the way
//	trend       whether those changes add up: a queue that grows
//	detector    how much growth is too much
//	delay       the three above together, and the queue that stands
//	aimd        what to do about it: decrease at once, increase slowly, remember where the ceiling was
//	rivals      whose the queue is: ours, or that of flows that know no delay
//	loss        whether loss depends on the rate (congestion) or not (a bad radio)
//	prober      finding room that media does not fill, by short trains of packets; train reads what came of one
//	outage      nothing comes back
//	reports     the fallback for receivers without transport-wide feedback: REMB, receiver reports
//	pacing      how fast, and how much may wait
//
// The delay-based part follows draft-ietf-rmcat-gcc-02, with the least-squares trend that senders have used in practice in the place of
// its Kalman filter; where this package departs from the draft, DESIGN.md says why.
//
// It knows numbers and times and nothing else: no sockets, no goroutines, no clocks. Times are nanoseconds of a monotonic
// clock, rates are bit/s, sizes are bytes of what the path carries of a packet (UDP payload and, best, the headers below). Nothing
// allocates per packet or message, save that the history of a path that has become faster doubles, a few times in its life.
//
// Nothing here is safe for concurrent use: the owner of the path serialises the calls.
package bandwidth

// Package udp moves the SFU's datagrams in and out of the kernel at the lowest cost per packet that plain sockets allow.
//
// A [Conn] is one UDP socket that, on Linux, Go's netpoller does not know: Read waits for an epoll instance of its own, and
// takes many datagrams with one recvmmsg; a [Batch] hands many datagrams to sendmmsg at once, with runs of equal-sized datagrams to one address leaving as a single
// message that the kernel cuts up (UDP_SEGMENT). Elsewhere the same API works over package net, one datagram a call.
// [FramedListener] and [FramedConn] do for ICE-TCP (RFC 4571) what Conn does for UDP.
//
// [Shards] are several sockets of one port, for as many goroutines. Datagrams that can wait ([Aside]) do not wake who reads.
//
// A [Group] reads any number of Conns with one goroutine that waits through the netpoller, and [Direct] does TCP with the same
// economy: for sockets that are many, or mostly quiet.
//
// The package knows nothing of STUN beyond telling it apart, and nothing of RTP, rooms or peers. It owns its sockets and
// their buffers; the goroutines that read them belong to the caller.
package udp

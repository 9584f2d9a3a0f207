// Package rtc moves real-time packets between this node and one remote at a time: ICE (RFC 8445), DTLS-SRTP (RFC 5764) and
// SRTP (RFC 3711, RFC 7714) on one UDP port and one TCP port shared by all remotes.
//
// An Endpoint owns the sockets. A Transport is one remote: it hands decrypted RTP and RTCP to its Handler on the goroutine
// that read the socket, and seals packets in place into the caller's send batch. Nothing in here knows SDP, tracks or
// rooms.
//
// Connectivity checks and handshakes are pion's; media never passes through it. An address becomes a destination only
// after it answered an authenticated connectivity check: neither a candidate that a client names nor a forged source
// address can make the endpoint send media elsewhere.
package rtc

// Package turn is the relay for clients whose network lets them reach the SFU in no other way: a TURN server (RFC 8656) over
// UDP, TCP and TLS that relays to the cluster's own SFUs and to nobody else.
//
// pion/turn answers all requests. What stands in front of it here decides which ones it sees, and carries the data: Send
// and Data indications and ChannelData never reach pion. DESIGN.md says why.
//
// The package knows nothing of rooms, join tokens or HTTP. It owns its sockets, the connections that it accepted and the sockets
// that it relays over. Certificates are the caller's: TLS comes as a listener.
package turn

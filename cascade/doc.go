// Package cascade carries tracks between nodes. A Link is one ICE, DTLS and SRTP transport between two nodes, shared by all
// rooms, without SDP; its control messages run on the link itself (SCTP over its DTLS), so that it needs the message bus
// only to be born. Both ends check the certificate fingerprint that gossip announced.
//
// A node pulls: it names a track, the layers it wants and the SSRCs that it expects them under, and gets exactly those
// layers until it says otherwise. Because the receiver chooses the SSRCs, no packet can arrive before it is known what it
// is. Payloads, timestamps and sequence numbers cross a link as they are.
//
// The package knows nothing of rooms, tokens or HTTP. What a track is, and whom its packets go to, is the business of the
// Handler that the node gives each link. DESIGN.md says why things are as they are.
package cascade

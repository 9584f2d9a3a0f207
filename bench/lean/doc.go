// Package lean has receivers for load tests that are many: they join as every client does and get real media, but cost a
// small part of what a whole client costs, so that thousands fit beside the server that they load.
//
// A Fleet owns a few goroutines that read the sockets of all its Viewers. A Viewer says hello over a WebSocket, finds its
// path by ICE, shakes hands over DTLS and takes the SRTP keys, as signal/client does. From then on it reads the headers of
// packets, which are in the clear: it counts, notices gaps, asks for what is missing, sends receiver reports and follows
// frames, but decrypts nothing that it need not. A share of the viewers is verified: these decrypt everything, and compare
// every frame with what was published.
//
// What a lean viewer is not: it sends no media, has no roster, goes through UDP to a host candidate of the node and nothing
// else (a node that offers none is refused with ErrNoUDP), takes AEAD_AES_128_GCM alone, follows no move to another node and
// comes back from no lost socket: both are told as lost. Runs that test these use whole clients. DESIGN.md has the reasons.
package lean

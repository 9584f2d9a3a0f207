// Package node is the SFU: rooms, the peers in them, the tracks they publish and the slots they receive in. An offer goes
// in; an answer and packets come out. It knows nothing of WebSockets, JSON, tokens or message buses.
//
// A packet's way: the endpoint's reader decrypts it and gives it to the publishing Peer, which finds the layer it belongs
// to, keeps it in that layer's cache and hands it to every slot that shows the layer. A slot rewrites it into its own
// continuous stream, seals it in place in the send batch and is done. All of that happens on the reader's goroutine, with
// no allocation and no lock that a room shares. Everything slower - who is shown in which slot, reports, retransmission
// requests - happens beside it, in a room's worker and the node's ticker, and reaches the packets' way through
// copy-on-write lists and small locks of one slot or one publisher.
//
// The package owns rooms and peers from Join to Close, and the media sockets while Run runs. Read DESIGN.md beside this
// file before changing how these parts fit together.
package node

// Package rtc moves real-time packets between this node and one remote at a time: ICE (RFC 8445), DTLS-SRTP (RFC 5764) and
// SRTP (RFC 3711, RFC 7714) on one UDP port and one TCP port shared by all remotes.
//
// An Endpoint owns the sockets: several of the UDP port, over which the kernel spreads remotes by address. A Transport is one remote: it hands decrypted RTP and RTCP to its Handler on the goroutine
// that read the socket, and seals packets in place into the caller's send batch. Nothing in here knows SDP, tracks or
// rooms.
//
// ICE is a full agent of our own (agent, mux), which works where packets are read and has no goroutines. Handshakes are pion's; between
// the sockets and pion stands gate, which lets through only what belongs to a handshake, and once a client's media has come
// nothing of pion's is left running (rest.go). Media never passes through pion. An address goes through three stages:
//
//	heard   a check signed with the transport's password came from it: it gets an answer and at most 8 checks
//	proven  it answered one of these checks: its DTLS is read, and media may go to it
//	in use  media goes to it: the agents agreed on it, the remote nominated it, or the remote's own media comes from it;
//	        until it has not answered for 30 s (RFC 7675)
//
// # Attacks
//
// What happens, and which test shows it. System tests are in internal/lab/system.
//
//	addresses named in SDP or trickled,     never read: no packet goes there           TestHostileCandidates (system)
//	  in any way and number
//	requests of strangers, over UDP         no answer: amplification 0; 0.1 to         TestStrangersAreNotAnswered, BenchmarkStrays
//	  and TCP, with any source address        0.6 µs each
//	checks with a known name and a wrong    dropped before they reach the agent;       TestKnownNameFlood
//	  password                                the client's own are answered
//	a recorded check from other addresses   one answer and one check each, 16           TestReplay
//	                                          addresses at once and one more a second;
//	                                          media stays
//	answers to checks, without the          prove nothing: the right address and        TestForgedAnswer
//	  client's password                       transaction are not enough
//	a recorded check from a former address  media moves only after a new answer        TestReplayOfAFormerPath
//	SRTP that is forged, or recorded and    not opened; no state is made of SSRCs      TestForgeriesLeaveNothing, TestManySockets,
//	  sent again                              that had nothing authentic                 TestNothingIsOpenedTwice, FuzzOpen
//	a client that answers no more           nothing is sent after 30 s                 TestConsent
//	ClientHellos from elsewhere             not read, not answered                     TestDisturbedFromElsewhere
//	ClientHellos, alerts, garbage under     clear text is dropped during a call; in a  TestDisturbedFromTheClientsAddress,
//	  the client's address                    handshake, what a client would not send    FuzzGate
//	a ClientHello under the client's        the handshake begins anew with the one      TestHelloOfSomebodyElse
//	  address before its own                  that comes again
//	all of these as floods, on a node       the call goes on, joins succeed            TestHostileMedia (system)
//	TCP connections that say nothing, or    256 an address, 4,096 in all, 10 s each     TestTCPOfStrangers, udp.TestFramedPatience,
//	  drip                                                                               udp.TestFramedListenerCaps, FuzzTCP
//	a TCP client that does not read         frames are dropped whole, nobody waits     TestSlowReader
//	ICE restarts, as often as may be        the old path is used until a new one is,   TestRestart, TestRestartsLeakNothing
//	                                          nothing is left behind
//
// Who sees the packets between a client and its server, and sends quicker than they do, can keep a handshake from
// succeeding at the client's end, as with all DTLS; no call that has keys.
package rtc

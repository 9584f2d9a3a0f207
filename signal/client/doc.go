// Package client is Parley's public Go client: it joins a meeting over REST, speaks the signalling protocol over one
// WebSocket and sends and receives media over one WebRTC connection. Robots, recorders, tests and the load tester are
// built on it.
//
//	ticket, err := client.JoinMeeting(ctx, "https://parley.example", meetingID, client.JoinOptions{UserToken: token})
//	c, err := client.Connect(ctx, ticket, client.Options{Publish: []*client.Publication{client.NewCamera(clip.Loop())}})
//	defer c.Close()
//	for event := range c.Events() { … }
//
// The package carries media, it neither encodes nor decodes: what is published comes encoded from a Source, and what is
// received leaves as RTP packets through Options.OnPacket. It repairs what a network breaks by itself: a lost socket is
// resumed, a dead media path is restarted, lost packets are asked for again and a missed event is fetched. It notices when the
// machine changes networks, and is back over the new one as the same participant. When its node drains it moves to another one, with both connections up until the new one shows what the old one did: Migrated tells.
//
// It owns its socket, its peer connection and the goroutines behind them; all of them end when Client.Run returns.
package client

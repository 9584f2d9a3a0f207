package placement

import "net"

// Answers asks a node directly whether it lives: one packet there and one back, within half a second. It knows sooner than
// gossip, which gives a suspected node time to object. A lost packet looks like a dead node, so ask twice. A node that is not
// known does not answer, nor does any before Run.
func (c *Cluster) Answers(id string) bool {
	c.mu.Lock()
	list, m := c.list, c.members[id]
	self := id == c.self.ID
	c.mu.Unlock()
	if list == nil || m == nil {
		return self
	}
	_, err := list.Ping(id, net.UDPAddrFromAddrPort(m.addr))
	return err == nil
}

package packet

// Cache keeps the last packets of one layer by sequence number, to answer NACKs and to start late viewers. It holds one
// reference to each. It is safe for concurrent use.
type Cache struct{}

// NewCache returns a cache of the last size sequence numbers.
func NewCache(size int) *Cache { return &Cache{} }

// Put stores p with a reference of its own; the caller keeps its reference. It reports false for duplicates and packets too old.
func (c *Cache) Put(p *Packet) bool { return false }

// Get returns the packet with a reference that the caller must release, or nil.
func (c *Cache) Get(seq uint16) *Packet { return nil }

// LastKeyframe returns where the newest keyframe starts that is still cached.
func (c *Cache) LastKeyframe() (seq uint16, ok bool) { return 0, false }

// EachFrom calls f for the cached packets from seq to the newest in order, until f returns false.
func (c *Cache) EachFrom(seq uint16, f func(*Packet) bool) {}

// Expire releases packets that arrived before the instant.
func (c *Cache) Expire(before int64) {}

// Close releases everything; later Puts are refused.
func (c *Cache) Close() {}

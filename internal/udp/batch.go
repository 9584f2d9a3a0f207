package udp

const (
	maxRuns     = 64      // messages in one sendmmsg
	maxSegments = 64      // datagrams in one segmented message; older kernels allow no more
	maxRunBytes = 65000   // of one segmented message: the IP length field, less headers, for IPv4 and IPv6 alike
	maxDatagram = 65507   // the largest payload IPv4 can carry
	arenaSize   = 1 << 17 // of a batch: 64 full-sized datagrams and as many again
)

// Batch gathers datagrams and hands them to the kernel together. It belongs to one goroutine at a time; several batches
// may share a Conn. Queue what goes to one address in a row: a datagram in a run of eight was measured to cost about a
// third of one sent by itself, while without runs a batch saves little.
type Batch struct {
	conn     *Conn
	sender   *sender // nil until the first send
	arena    []byte  // datagrams lie back to back in it, so that a run is one piece of memory; nil until the first Reserve
	used     int     // bytes of arena taken by queued datagrams
	reserved int     // bytes of arena after used that Reserve has handed out
	runs     []run
	tally    tally // not yet added to the Conn's counters
	deferred Deferred
}

// Deferred is what its user has put off until the batch is flushed.
type Deferred interface {
	// QueueOn queues datagrams on the batch. It does not flush it.
	QueueOn(b *Batch)
}

// run is consecutive datagrams to one address that may leave as one message.
type run struct {
	to       Addr
	from     int // offset of the first datagram in the arena
	length   int // bytes of all its datagrams
	size     int // bytes of each datagram but the last, which may be shorter
	segments int // number of datagrams
}

// takes reports whether a datagram of n bytes to an address may follow in the run.
func (r *run) takes(n int, to Addr) bool {
	return n > 0 && n <= r.size &&
		r.length == r.size*r.segments && // no shorter one so far
		r.segments < maxSegments && r.length+n <= maxRunBytes && r.to == to
}

// NewBatch returns an empty batch. It takes about 150 kB of memory, though none before its first use, and needs no
// closing.
func (c *Conn) NewBatch() *Batch { return &Batch{conn: c} }

// Use has the batch send over another Conn from now on, after it has sent what is queued for the one before. So one batch
// serves the sockets that one goroutine sends over in turn.
func (b *Batch) Use(c *Conn) {
	if b.conn == c {
		return
	}
	_ = b.Flush() // a Conn that is closed says so to whoever uses it next
	b.conn = c
	if b.sender != nil {
		b.sender.sock = c.sock
	}
}

// Defer has every Flush from now on call d first. Nil is nothing.
func (b *Batch) Defer(d Deferred) { b.deferred = d }

// Deferred returns what Defer was given last.
func (b *Batch) Deferred() Deferred { return b.deferred }

// Reserve returns memory for one datagram of at most n bytes. The memory is the batch's: the caller fills it, calls
// Queue, and must not touch it afterwards. Reserving again without Queue in between gives the same memory again. No
// datagram is larger than 65,507 bytes; Reserve returns nil when asked for more.
func (b *Batch) Reserve(n int) []byte {
	b.reserved = 0
	if n < 0 || n > maxDatagram {
		return nil
	}
	if b.used+n > len(b.arena) {
		b.makeRoom()
	}
	b.reserved = n
	return b.arena[b.used : b.used+n : b.used+n]
}

func (b *Batch) makeRoom() {
	if b.arena == nil {
		b.arena, b.runs = make([]byte, arenaSize), make([]run, 0, maxRuns)
		return
	}
	_ = b.send() // Flush will say it again
	b.used = 0
}

// Queue adds the first n bytes of what Reserve returned last as a datagram for an address. When the batch is full, it
// first sends what came before. A datagram without valid memory or address is dropped and counted.
func (b *Batch) Queue(n int, to Addr) {
	if n < 0 || n > b.reserved || !b.conn.sock.reaches(to) {
		b.reserved = 0
		b.tally.drops++
		return
	}
	b.reserved = 0
	from := b.used
	b.used += n
	if last := len(b.runs) - 1; last >= 0 && b.conn.sock.segments() && b.runs[last].takes(n, to) {
		b.runs[last].length += n
		b.runs[last].segments++
		return
	}
	if len(b.runs) == maxRuns {
		_ = b.send() // Flush will say it again
	}
	b.runs = append(b.runs, run{to: to, from: from, length: n, size: n, segments: 1})
}

// Flush sends what is queued and returns when the kernel has it; it never blocks. A datagram that the kernel refuses, for
// whatever reason, is dropped and counted, and the others still go. The only error is net.ErrClosed.
func (b *Batch) Flush() error {
	if b.deferred != nil {
		b.deferred.QueueOn(b)
	}
	err := b.send()
	b.used, b.reserved = 0, 0
	return err
}

// send empties the runs but leaves the arena as it is: Queue calls it when its own datagram already lies there.
func (b *Batch) send() error {
	var err error
	if len(b.runs) > 0 {
		if b.sender == nil {
			b.sender = newSender(b.conn.sock)
		}
		err = b.sender.send(b.arena, b.runs, &b.tally)
		b.runs = b.runs[:0]
	}
	if b.tally != (tally{}) {
		b.conn.stats.addSent(b.tally)
		b.tally = tally{}
	}
	return err
}

package placement

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxQuestions  = 64 // of this node that wait for answers, and of others that wait to be answered, each way
	answerWorkers = 4  // each way
	askWithin     = 5 * time.Second
)

var (
	// ErrUnknownNode says that the node that is asked does not live, as far as gossip knows.
	ErrUnknownNode = errors.New("no such node")
	// ErrRefused says that the node that was asked answered with an error.
	ErrRefused = errors.New("refused")
	// ErrManyQuestions says that too many questions wait for answers.
	ErrManyQuestions = errors.New("too many questions at a time")
)

// question is one that waits for its answer.
type question struct {
	to     string
	answer chan letter // takes the first
}

// Answer has f answer the questions of other nodes from Run on. A question may come several times, at the same moment too,
// and f must then answer the same. Calls come from a few goroutines; f must not block for long, and owns the question. It is
// called before Run, if at all.
func (c *Cluster) Answer(f func(from string, question []byte) ([]byte, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answerer = f
}

// Supply is Answer for what other nodes Fetch. F is called once for each of their calls, and may be set at any time.
func (c *Cluster) Supply(f func(from string, question []byte) ([]byte, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.supplier = f
}

// Ask asks a node that lives, in encrypted packets of gossip, again and again until it answers, ctx ends or five seconds are
// over. Question and answer may have some 700 bytes. The first answer counts. It needs no NATS, and reaches a node from the
// moment that packets do.
func (c *Cluster) Ask(ctx context.Context, id string, ask []byte) ([]byte, error) {
	return c.await(ctx, id, letter{Body: ask, by: byPacket})
}

// Fetch is Ask over a connection of gossip's, encrypted as well: question and answer may have some 3 MB each. It asks once, and may
// outlast ctx, up to the five seconds, while the connection does not come about.
func (c *Cluster) Fetch(ctx context.Context, id string, ask []byte) ([]byte, error) {
	return c.await(ctx, id, letter{Body: ask, by: byStream})
}

// await sends a question, in packets again and again, and returns the answer.
func (c *Cluster) await(ctx context.Context, id string, l letter) ([]byte, error) {
	fault := func(err error) ([]byte, error) { return nil, fmt.Errorf("placement: ask %s: %w", id, err) }
	l.From, l.Number = c.cfg.NodeID, max(1, rand.Uint64())
	packet, err := l.encode()
	if err != nil {
		return fault(err)
	}
	q := &question{to: id, answer: make(chan letter, 1)}
	if err := c.pose(l.Number, q); err != nil {
		return fault(err)
	}
	defer c.withdraw(l.Number)
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	tick := time.NewTicker(c.cfg.timing.askEvery)
	defer tick.Stop()
	if err := c.post(id, packet); err != nil {
		return fault(err)
	}
	for {
		select {
		case a := <-q.answer:
			if a.Failed != "" {
				return fault(fmt.Errorf("%w: %s", ErrRefused, a.Failed))
			}
			return a.Body, nil
		case <-tick.C:
			if l.by == byPacket {
				_ = c.post(id, packet)
			}
		case <-ctx.Done():
			return fault(ctx.Err())
		}
	}
}

// pose notes a question, so that its answer is known when it comes.
func (c *Cluster) pose(number uint64, q *question) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.list == nil || c.members[q.to] == nil:
		return ErrUnknownNode
	case len(c.questions) >= maxQuestions:
		return ErrManyQuestions
	}
	c.questions[number] = q
	return nil
}

func (c *Cluster) withdraw(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.questions, number)
}

// post sends a letter to a node that lives. A packet may be lost, and its sending does not wait; over a connection an error says that it
// may not have come.
func (c *Cluster) post(id string, data []byte) error {
	c.mu.Lock()
	list, m := c.list, c.members[id]
	c.mu.Unlock()
	if list == nil || m == nil {
		return ErrUnknownNode
	}
	to := &memberlist.Node{Name: id, Addr: m.addr.Addr().AsSlice(), Port: m.addr.Port()}
	if carriage(data[0]) == byStream {
		return list.SendReliable(to, data)
	}
	if err := list.SendBestEffort(to, data); err != nil {
		c.log.Debug("a packet was not sent", "to", id, "error", err)
	}
	return nil
}

// receive takes a letter from memberlist and does not block: one too many is dropped; in a packet it comes again.
func (c *Cluster) receive(l letter) {
	if !l.Answer {
		asked := c.asked
		if l.by == byStream {
			asked = c.ordered
		}
		select {
		case asked <- l:
		default:
		}
		return
	}
	c.mu.Lock()
	q := c.questions[l.Number]
	c.mu.Unlock()
	if q == nil || q.to != l.From {
		return
	}
	select {
	case q.answer <- l:
	default: // it has one
	}
}

// answerAll answers questions until ctx ends.
func (c *Cluster) answerAll(ctx context.Context, asked <-chan letter) {
	for {
		select {
		case l := <-asked:
			c.answer(ctx, l)
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cluster) answer(ctx context.Context, q letter) {
	c.mu.Lock()
	f := c.answerer
	if q.by == byStream {
		f = c.supplier
	}
	c.mu.Unlock()
	if f == nil {
		return
	}
	a := letter{From: c.cfg.NodeID, Number: q.Number, Answer: true, by: q.by}
	body, err := f(q.From, q.Body)
	if err != nil {
		a.Failed = cut(err.Error())
	} else {
		a.Body = body
	}
	packet, err := a.encode()
	if err != nil {
		a.Body, a.Failed = nil, cut(err.Error())
		if packet, err = a.encode(); err != nil {
			c.log.Error("a question cannot be answered", "from", q.From, "error", err)
			return
		}
	}
	err = c.post(q.From, packet)
	for asked := time.Now(); q.by == byStream && errors.Is(err, ErrUnknownNode) && time.Since(asked) < askWithin; {
		// Who asks may know this node a moment before it is known here. In packets it asks again.
		select {
		case <-time.After(c.cfg.timing.askEvery):
		case <-ctx.Done():
			return
		}
		err = c.post(q.From, packet)
	}
	if err != nil {
		c.log.Debug("an answer was not sent", "to", q.From, "error", err)
	}
}

// cut shortens what was wrong to what fits into a letter.
func cut(text string) string { return text[:min(len(text), 256)] }

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
	maxQuestions  = 64 // of this node that wait for answers, and of others that wait to be answered
	answerWorkers = 4
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

// Ask asks a node that lives, in encrypted packets of gossip, again and again until it answers, ctx ends or five seconds are
// over. Question and answer may have some 700 bytes. The first answer counts. It needs no NATS, and reaches a node from the
// moment that packets do.
func (c *Cluster) Ask(ctx context.Context, id string, ask []byte) ([]byte, error) {
	fault := func(err error) ([]byte, error) { return nil, fmt.Errorf("placement: ask %s: %w", id, err) }
	l := letter{From: c.cfg.NodeID, Number: max(1, rand.Uint64()), Body: ask}
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
	for {
		c.post(id, packet)
		select {
		case a := <-q.answer:
			if a.Failed != "" {
				return fault(fmt.Errorf("%w: %s", ErrRefused, a.Failed))
			}
			return a.Body, nil
		case <-tick.C:
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

// post sends one packet to a node that lives. It does not wait; nobody hears of a packet that is lost.
func (c *Cluster) post(id string, packet []byte) {
	c.mu.Lock()
	list, m := c.list, c.members[id]
	c.mu.Unlock()
	if list == nil || m == nil {
		return
	}
	to := &memberlist.Node{Name: id, Addr: m.addr.Addr().AsSlice(), Port: m.addr.Port()}
	if err := list.SendBestEffort(to, packet); err != nil {
		c.log.Debug("a packet was not sent", "to", id, "error", err)
	}
}

// receive takes a letter from memberlist and does not block: one too many is dropped, and comes again.
func (c *Cluster) receive(l letter) {
	if !l.Answer {
		select {
		case c.asked <- l:
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
func (c *Cluster) answerAll(ctx context.Context) {
	for {
		select {
		case l := <-c.asked:
			c.answer(l)
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cluster) answer(q letter) {
	c.mu.Lock()
	f := c.answerer
	c.mu.Unlock()
	if f == nil {
		return
	}
	a := letter{From: c.cfg.NodeID, Number: q.Number, Answer: true}
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
	c.post(q.From, packet)
}

// cut shortens what was wrong to what fits into a letter.
func cut(text string) string { return text[:min(len(text), 256)] }

package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
)

// errorHeader marks an answer as an error; its value says which.
const errorHeader = "Parley-Error"

// request is one that waits for a worker.
type request struct {
	msg    *nats.Msg
	answer func(ctx context.Context, data []byte) ([]byte, error)
}

// Request asks whoever serves subject, and returns the first answer. It takes five seconds at most, or less when ctx
// says so. ErrUnavailable: no answer, or nobody serves the subject. ErrRemote: the other side answered with an error.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	op := "request " + subject
	l, err := b.current()
	if err != nil {
		return nil, fail(op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	msg, err := l.conn.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, fail(op, err)
	}
	if say := msg.Header.Get(errorHeader); say != "" {
		return nil, fmt.Errorf("bus: %s: %w: %s", op, ErrRemote, say)
	}
	return msg.Data, nil
}

// Serve answers requests to subject with f until stop is called. f's context ends with Run and after five seconds; its
// error reaches the caller as text. f is called concurrently, by a bounded number of workers that all servers of this
// Bus share, and owns data. Like Subscribe, it may be called at any time.
func (b *Bus) Serve(subject string, f func(ctx context.Context, data []byte) ([]byte, error)) (stop func(), err error) {
	return b.subscribe(subject, func(m *nats.Msg) {
		select {
		case b.requests <- request{msg: m, answer: f}:
		default:
			b.reply(m, nil, fmt.Errorf("%w: too many requests", ErrUnavailable))
		}
	})
}

// work answers requests, one at a time.
func (b *Bus) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-b.requests:
			call, cancel := context.WithTimeout(ctx, callTimeout)
			data, err := r.answer(call, r.msg.Data)
			cancel()
			b.reply(r.msg, data, err)
		}
	}
}

func (b *Bus) reply(to *nats.Msg, data []byte, failed error) {
	if to.Reply == "" {
		return // published, not requested: nobody waits
	}
	answer := &nats.Msg{Data: data}
	if failed != nil {
		answer.Data, answer.Header = nil, nats.Header{errorHeader: {failed.Error()}}
	}
	if err := to.RespondMsg(answer); err != nil {
		b.log.Warn("bus: answer", "subject", to.Subject, "err", err)
	}
}

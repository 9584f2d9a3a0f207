package bus

import (
	"errors"
	"fmt"
	"math/rand/v2"
	neturl "net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	dialTimeout  = 2 * time.Second
	writeTimeout = 2 * time.Second        // a write that the network does not take breaks the connection
	pingInterval = 5 * time.Second        // a silent server is noticed after two of these
	maxBackoff   = 500 * time.Millisecond // rosters are to be one again two seconds after NATS is back
)

// dial returns a client that connects now or, when NATS is away, as soon as it can.
func (b *Bus) dial(srv *embedded) (*link, error) {
	opts := append(b.linkOptions(), b.linkEvents()...)
	url := b.cfg.URL
	if srv != nil {
		opts = append(opts, nats.InProcessServer(srv))
	}
	if b.cfg.Token != "" {
		opts = append(opts, nats.Token(b.cfg.Token))
	}
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", withoutURL(err))
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(callTimeout))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	return &link{conn: conn, js: js}, nil
}

// withoutURL is the error without the address that it is about, which may hold a secret.
func withoutURL(err error) error {
	if about, ok := errors.AsType[*neturl.Error](err); ok {
		return about.Err
	}
	return err
}

func (b *Bus) linkOptions() []nats.Option {
	return []nats.Option{
		nats.Name("parley"),
		nats.DontRandomize(), // the operator names the nearest server first
		nats.Timeout(dialTimeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a rotated secret is mended at the server; this side keeps trying
		nats.CustomReconnectDelay(backoff),
		nats.ReconnectBufSize(-1), // fail at once; a request kept for later would happen after its caller gave up
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
	}
}

// linkEvents keeps Connected true to the connection. NATS makes these calls one at a time and in order.
func (b *Bus) linkEvents() []nats.Option {
	up := func(conn *nats.Conn) {
		b.connected.Store(true)
		b.log.Info("bus: connected", "server", conn.ConnectedUrlRedacted())
		b.signalRelinked()
	}
	return []nats.Option{
		nats.ConnectHandler(up),
		nats.ReconnectHandler(up),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.connected.Store(false)
			if err != nil { // nil: closed by us
				b.log.Warn("bus: disconnected", "err", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			b.log.Warn("bus: asynchronous error", "subject", subject, "err", err)
		}),
	}
}

// backoff doubles from 50 ms, up to maxBackoff, and spreads the nodes over the second half of it.
func backoff(attempts int) time.Duration {
	full := min(maxBackoff, 50*time.Millisecond<<min(attempts, 10))
	return full/2 + rand.N(full/2)
}

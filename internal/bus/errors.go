package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The errors of this package; test for them with errors.Is.
var (
	// ErrNotFound: the bucket has no such key.
	ErrNotFound = errors.New("not found")
	// ErrExists: Create found the key already there.
	ErrExists = errors.New("exists already")
	// ErrConflict: Update was given a revision that is not the latest.
	ErrConflict = errors.New("revision conflict")
	// ErrUnavailable: NATS is away, or too slow, or nobody serves the subject. A write that ends so may or may not have
	// happened.
	ErrUnavailable = errors.New("bus unavailable")
	// ErrInvalid: the subject, the key or the configuration of a bucket is malformed.
	ErrInvalid = errors.New("invalid")
	// ErrRemote: the request reached its server, which answered with an error.
	ErrRemote = errors.New("remote error")
)

// noPeers is JetStream's code for "no suitable peers for placement": some of its servers are away, or not there yet.
const noPeers jetstream.ErrorCode = 10005

// unavailable are the errors of the client that say nothing but "not now".
func unavailable() []error {
	return []error{
		context.DeadlineExceeded,
		nats.ErrTimeout,
		nats.ErrNoResponders,
		nats.ErrDisconnected,
		nats.ErrConnectionClosed,
		nats.ErrConnectionDraining,
		nats.ErrConnectionReconnecting,
		nats.ErrReconnectBufExceeded,
		nats.ErrStaleConnection,
		nats.ErrNoServers,
		nats.ErrNoStreamResponse,
		nats.ErrStreamNotFound,
		jetstream.ErrNoStreamResponse,
		jetstream.ErrJetStreamNotEnabled,
		jetstream.ErrStreamNotFound,
		jetstream.ErrBucketNotFound,
	}
}

// fail translates an error of the client into one of this package's, once for everything.
func fail(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("bus: %s: %w", op, err)
	case errors.Is(err, jetstream.ErrKeyNotFound) && errors.Is(err, ErrInvalid):
		return fmt.Errorf("bus: %s: %w: %w", op, ErrNotFound, ErrInvalid)
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyDeleted):
		return fmt.Errorf("bus: %s: %w", op, ErrNotFound)
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return fmt.Errorf("bus: %s: %w", op, ErrConflict)
	case errors.Is(err, jetstream.ErrKeyExists):
		return fmt.Errorf("bus: %s: %w", op, ErrExists)
	case errors.Is(err, jetstream.ErrInvalidKey), errors.Is(err, jetstream.ErrInvalidBucketName),
		errors.Is(err, nats.ErrBadSubject):
		return fmt.Errorf("bus: %s: %w: %w", op, ErrInvalid, err)
	case isUnavailable(err):
		return fmt.Errorf("bus: %s: %w: %w", op, ErrUnavailable, err)
	}
	return fmt.Errorf("bus: %s: %w", op, err)
}

func isUnavailable(err error) bool {
	for _, known := range unavailable() {
		if errors.Is(err, known) {
			return true
		}
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	// JetStream's own "service unavailable" (no leader, shutting down), or fewer servers than a bucket has replicas
	return ok && (api.Code == 503 || api.ErrorCode == noPeers)
}

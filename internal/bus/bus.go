// Package bus is the one door to NATS.
package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// The errors of this package; test for them with errors.Is.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("exists already")
	ErrConflict    = errors.New("revision conflict")
	ErrUnavailable = errors.New("bus unavailable")
)

// Config says where NATS is.
type Config struct {
	URL           string // of an external NATS; empty: embedded
	DataDir       string // embedded: where JetStream keeps its files
	Listen        string // embedded: host:port for other clients; empty opens no port
	StoreMaxBytes int64  // embedded: limit of JetStream's files together
}

// Defaults returns the configuration of an embedded server.
func Defaults() Config { return Config{} }

// Validate names all faults of c.
func (c Config) Validate() error { return nil }

// Bus is a connection to NATS.
type Bus struct{ ready chan struct{} }

// New returns a Bus that Run starts.
func New(Config, *slog.Logger) (*Bus, error) { return &Bus{ready: make(chan struct{})}, nil }

// Run serves until ctx ends.
func (b *Bus) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Ready is closed once the bus answered the first time.
func (b *Bus) Ready() <-chan struct{} { return b.ready }

// Connected says whether NATS answers now.
func (b *Bus) Connected() bool { return false }

// Dropped counts publications that were dropped.
func (b *Bus) Dropped() uint64 { return 0 }

// Publish hands data over without waiting for the network.
func (b *Bus) Publish(subject string, data []byte) error { return ErrUnavailable }

// Subscribe calls f for each message on subject; f must not block.
func (b *Bus) Subscribe(subject string, f func(subject string, data []byte)) (unsubscribe func(), err error) {
	return func() {}, ErrUnavailable
}

// Request asks whoever serves subject.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	return nil, ErrUnavailable
}

// Serve answers requests on subject.
func (b *Bus) Serve(subject string, f func(ctx context.Context, data []byte) ([]byte, error)) (stop func(), err error) {
	return func() {}, ErrUnavailable
}

// BucketConfig describes a bucket.
type BucketConfig struct {
	Name     string
	TTL      time.Duration // age at which a key is dropped; 0 keeps it
	History  int           // values kept per key; 0 means 1
	MaxBytes int64         // 0 means no limit of its own
	Replicas int           // 0 means 1
}

// Entry is a value of a bucket.
type Entry struct {
	Key      string
	Value    []byte
	Revision uint64
	Created  time.Time
}

// Bucket is a set of keys on disk.
type Bucket struct{}

// Bucket opens a bucket, and makes it when it is missing.
func (b *Bus) Bucket(ctx context.Context, cfg BucketConfig) (*Bucket, error) {
	return nil, ErrUnavailable
}

// Get reads a key.
func (k *Bucket) Get(ctx context.Context, key string) (Entry, error) { return Entry{}, ErrUnavailable }

// Create writes a key that does not exist.
func (k *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return 0, ErrUnavailable
}

// Update writes a key that is at revision.
func (k *Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return 0, ErrUnavailable
}

// Put writes a key.
func (k *Bucket) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return 0, ErrUnavailable
}

// Delete removes a key; a missing one is no error.
func (k *Bucket) Delete(ctx context.Context, key string) error { return ErrUnavailable }

// List returns up to limit entries with keys after after, sorted by key.
func (k *Bucket) List(ctx context.Context, after string, limit int) ([]Entry, error) {
	return nil, ErrUnavailable
}

// Watch calls f for every entry and each change, until ctx ends.
func (k *Bucket) Watch(ctx context.Context, f func(e Entry, deleted bool), caughtUp func()) error {
	return ErrUnavailable
}

package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout is how long the embedded server may take to read its files.
const startTimeout = time.Minute

// embedded is the NATS server of this process.
type embedded struct {
	*server.Server
	lock *os.File
}

// startEmbedded returns a server that answers.
func startEmbedded(cfg Config, log *slog.Logger) (*embedded, error) {
	opts, err := serverOptions(cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded nats: %w", err)
	}
	lock, err := lockFile(filepath.Join(cfg.DataDir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("embedded nats: data folder %s is in use by another process: %w", cfg.DataDir, err)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded nats: %w", err), lock.Close())
	}
	out := &serverLog{log: log}
	srv.SetLoggerV2(out, false, false, false)
	srv.Start()
	e := &embedded{Server: srv, lock: lock}
	if !e.awaitStart(out) {
		e.stop()
		return nil, fmt.Errorf("embedded nats does not start: %s", out.reason())
	}
	return e, nil
}

// awaitStart waits until the server answers, or has told out why it never will.
func (e *embedded) awaitStart(out *serverLog) bool {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if out.fatal.Load() != nil {
			return false
		}
		if e.ReadyForConnections(100 * time.Millisecond) {
			return e.JetStreamEnabled()
		}
	}
	return false
}

// stop returns when all is on disk and closed.
func (e *embedded) stop() {
	e.Shutdown()
	e.WaitForShutdown()
	_ = e.lock.Close() // frees the lock; there is nothing to lose
}

// serverOptions keeps the promise of this package that what is acknowledged is on disk: left alone, JetStream
// acknowledges what the kernel has, and syncs it every two minutes.
func serverOptions(cfg Config) (*server.Options, error) {
	opts := &server.Options{
		ServerName:             "parley",
		DontListen:             true,
		JetStream:              true,
		StoreDir:               cfg.DataDir,
		SyncAlways:             true,
		JetStreamMaxStore:      cfg.StoreMaxBytes,
		JetStreamMaxMemory:     64 << 20, // consumers only; all buckets are files
		Authorization:          cfg.Token,
		NoSigs:                 true,
		DisableJetStreamBanner: true,
	}
	if cfg.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("embedded nats: listen: %w", err)
	}
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("embedded nats: listen: %w", err)
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	opts.Host, opts.DontListen = host, false
	return opts, nil
}

// serverLog turns the server's log into ours.
type serverLog struct {
	log   *slog.Logger
	fatal atomic.Pointer[string]
}

func (l *serverLog) reason() string {
	if last := l.fatal.Load(); last != nil {
		return *last
	}
	return "it does not answer"
}

// Noticef is what an operator of many NATS servers reads; of an embedded one it is detail.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("nats: " + fmt.Sprintf(format, v...))
}

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, v ...any) { l.log.Warn("nats: " + fmt.Sprintf(format, v...)) }

// Errorf logs an error.
func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error("nats: " + fmt.Sprintf(format, v...))
}

// Fatalf keeps why the server gave up, for startEmbedded to return. It does not exit.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.fatal.Store(&text)
}

// Debugf is never called: debugging is off.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef is never called: tracing is off.
func (l *serverLog) Tracef(string, ...any) {}

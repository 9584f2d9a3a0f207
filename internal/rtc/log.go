package rtc

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// quietLog implements pion's leveled logger over slog.
type quietLog struct{ log *slog.Logger }

func (quietLog) Trace(string)                {}
func (quietLog) Tracef(string, ...any)       {}
func (quietLog) Debug(string)                {}
func (quietLog) Debugf(string, ...any)       {}
func (quietLog) Info(string)                 {}
func (quietLog) Infof(string, ...any)        {}
func (q quietLog) Warn(msg string)           { q.log.Debug(msg) }
func (q quietLog) Error(msg string)          { q.log.Debug(msg) }
func (q quietLog) Warnf(f string, a ...any)  { q.log.Debug(fmt.Sprintf(f, a...)) }
func (q quietLog) Errorf(f string, a ...any) { q.log.Debug(fmt.Sprintf(f, a...)) }

// Quiet is a logger for pion's packages that says nothing.
func Quiet() logging.LoggerFactory { return quietLogs{slog.New(slog.DiscardHandler)} }

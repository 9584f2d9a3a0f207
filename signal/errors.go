package signal

import (
	"errors"
	"fmt"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/signal/wire"
)

// fatal is an error after which the session ends with a close code.
type fatal struct {
	code int // one of wire.Close…
	err  error
}

func (f *fatal) Error() string { return fmt.Sprintf("%v (close %d)", f.err, f.code) }

func (f *fatal) Unwrap() error { return f.err }

func invalid(say string) error {
	return &node.Error{Kind: node.Invalid, Code: wire.CodeInvalidMessage, Say: say}
}

func notFound(say string) error {
	return &node.Error{Kind: node.NotFound, Code: wire.CodeNotFound, Say: say}
}

func denied(code, say string) error {
	return &node.Error{Kind: node.Denied, Code: code, Say: say}
}

func limited(say string) error {
	return &node.Error{Kind: node.Full, Code: wire.CodeRateLimited, Say: say}
}

func tooBig(limit int64) error {
	return &node.Error{Kind: node.Invalid, Code: wire.CodeMessageTooBig, Say: fmt.Sprintf("A message may have %d bytes; an SDP that large (> 100 KB) offers too many slots or codecs.", limit)}
}

func roomGone() error { return notFound("Nobody is in this meeting now.") }

// asError translates what the decoder says; everything else is a node.Error already, or becomes an internal one.
func asError(err error) *node.Error {
	if fault, ok := errors.AsType[*wire.Fault](err); ok {
		return &node.Error{Kind: node.Invalid, Code: wire.CodeInvalidMessage, Say: fault.Say}
	}
	if errors.Is(err, wire.ErrUnknownType) {
		return &node.Error{Kind: node.Invalid, Code: wire.CodeUnknownType, Say: "There is no message of that type."}
	}
	return node.AsError(err)
}

package node

import "errors"

// ErrorKind decides how an edge answers it.
type ErrorKind int

// The kinds of error. Each edge translates them once, in one table.
const (
	Internal ErrorKind = iota // our fault; the cause is for the log only
	Invalid                   // the request makes no sense
	Denied                    // the caller may not
	NotFound                  // no such thing, or no longer
	Full                      // a limit is reached
	Moved                     // another node has it
)

// Error is the one error type of the node and of the signalling plane above it.
type Error struct {
	Kind ErrorKind
	Code string // stable, lower_snake_case, part of the contract with clients
	Say  string // a sentence that is safe to show to the client
	Err  error  // the cause, for the log; may be nil
}

// Error has everything, for logs. Show Say to clients.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Code + ": " + e.Say
	}
	return e.Code + ": " + e.Say + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError finds the Error in err's chain, or wraps err as an Internal one.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Code: "internal", Say: "Something went wrong on this node.", Err: err}
}

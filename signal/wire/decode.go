package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// ErrUnknownType is returned for a message whose type the receiver does not know.
var ErrUnknownType = errors.New("unknown message type")

// Fault says what is wrong with a message, in a sentence that is safe to show to its sender.
type Fault struct {
	Field string // the offending field with its path, where there is one
	Say   string
}

// Error is Say.
func (f *Fault) Error() string { return f.Say }

// A Decoder reads one direction of the protocol strictly: a field that its message does not have is refused by name, as
// is a value of the wrong JSON type. It is safe for concurrent use.
type Decoder struct {
	frames map[string]reflect.Type // Envelope and body embedded side by side, by message type
}

// NewDecoder returns a Decoder of the messages in defs.
func NewDecoder(defs []Definition) *Decoder {
	d := &Decoder{frames: make(map[string]reflect.Type, len(defs))}
	envelope := reflect.TypeFor[Envelope]()
	for _, def := range defs {
		d.frames[def.Type] = reflect.StructOf([]reflect.StructField{
			{Name: envelope.Name(), Type: envelope, Anonymous: true},
			{Name: def.Body.Name(), Type: def.Body, Anonymous: true},
		})
	}
	return d
}

// Decode reads one message. The body is a pointer to the struct of the message's Definition. Whatever could be read of
// the envelope is returned beside an error too, so that the error can be answered. Errors are a *Fault or wrap
// ErrUnknownType.
func (d *Decoder) Decode(data []byte) (Envelope, any, error) {
	var head Envelope
	if !utf8.Valid(data) {
		return head, nil, &Fault{Say: "The message is not UTF-8."}
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return head, nil, faultOf(err)
	}
	frame, ok := d.frames[head.Type]
	if !ok {
		return head, nil, fmt.Errorf("%w: %.64q", ErrUnknownType, head.Type)
	}
	message := reflect.New(frame)
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(message.Interface()); err != nil {
		return head, nil, faultOf(err)
	}
	return head, message.Elem().Field(1).Addr().Interface(), nil
}

// Encode writes one message: the fields of e and those of body, a struct of this package, in one object.
func Encode(e Envelope, body any) ([]byte, error) {
	fields, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Type, err)
	}
	return Join(e, fields)
}

// Join is Encode for a body that is a JSON object already: what goes to many is encoded once.
func Join(e Envelope, body []byte) ([]byte, error) {
	head, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode envelope of %s: %w", e.Type, err)
	}
	if len(body) <= len("{}") {
		return head, nil
	}
	head[len(head)-1] = ','
	return append(head, body[1:]...), nil
}

// faultOf puts the decoder's complaint into words for the sender.
func faultOf(err error) *Fault {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrongType(wrong)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		field := strings.Trim(name, `"`)
		return &Fault{Field: field, Say: fmt.Sprintf("There is no field %.64q in this message.", field)}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Fault{Say: "The message ends too early."}
	}
	return &Fault{Say: "The message is not one JSON object."}
}

func wrongType(err *json.UnmarshalTypeError) *Fault {
	// The path starts with the embedded struct's own name, which no client knows.
	_, field, nested := strings.Cut(err.Field, ".")
	if !nested {
		field = err.Field
	}
	if field == "" {
		return &Fault{Say: "The message is not one JSON object."}
	}
	return &Fault{Field: field, Say: fmt.Sprintf("Field %q cannot be a JSON %s.", field, err.Value)}
}

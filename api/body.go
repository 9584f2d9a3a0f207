package api

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// readBody reads the whole body, capped before anything looks at it. A request without a body gives none.
func (s *Server) readBody(c *gin.Context) ([]byte, error) {
	if c.Request.Body == nil || c.Request.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, int64(s.cfg.MaxBodyBytes)))
	if err != nil {
		c.Header("Connection", "close")
		return nil, readFailure(err)
	}
	if len(body) == 0 {
		return nil, nil
	}
	return body, checkContentType(c.Request.Header)
}

func readFailure(err error) error {
	if tooBig, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fail(http.StatusRequestEntityTooLarge, "body_too_large", "The body is longer than %d bytes.", tooBig.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fail(http.StatusRequestTimeout, "body_too_slow", "The body did not arrive in time.").because(err)
	}
	return fail(http.StatusBadRequest, "body_unreadable", "The body could not be read.").because(err)
}

// checkContentType accepts application/json in UTF-8 (RFC 8259 section 8.1), unpacked.
func checkContentType(h http.Header) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	packed := h.Get("Content-Encoding")
	if err == nil && kind == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8")) &&
		(packed == "" || strings.EqualFold(packed, "identity")) {
		return nil
	}
	return fail(http.StatusUnsupportedMediaType, "unsupported_media_type", "The body must be application/json in UTF-8, not compressed.")
}

// decode reads a request's body into dst; see unmarshal. An absent body leaves dst as it is when optional is true.
func (s *Server) decode(c *gin.Context, dst any, optional bool) ([]byte, error) {
	body, err := s.readBody(c)
	if err != nil {
		return nil, err
	}
	if body == nil && optional {
		return nil, nil
	}
	return body, unmarshal(body, dst)
}

// unmarshal decodes one JSON value and nothing after it. It refuses, naming the place, fields that dst does not have,
// fields that come twice, and values of another type; names are compared to the letter.
func unmarshal(body []byte, dst any) error {
	err := json.Unmarshal(body, dst, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(e, jsontext.ErrDuplicateName) {
			return badField(e.JSONPointer, "duplicate_field", "comes twice").because(err)
		}
		return fail(http.StatusBadRequest, "invalid_json", "The body is not one valid JSON value: see byte %d.", e.ByteOffset).because(err)
	}
	e, ok := errors.AsType[*json.SemanticError](err)
	switch {
	case !ok:
		return fail(http.StatusBadRequest, "invalid_json", "The body is not one valid JSON value.").because(err)
	case errors.Is(e, json.ErrUnknownName):
		return badField(e.JSONPointer, "unknown_field", "is not a field of this request").because(err)
	default:
		return badField(e.JSONPointer, "invalid_type", "must be "+nameOf(e.GoType)).because(err)
	}
}

func badField(at jsontext.Pointer, code, what string) *failure {
	f := fail(http.StatusBadRequest, code, "%s %s.", shown(at), what)
	f.faults = []Fault{{Pointer: "#" + string(at), Detail: what}}
	return f
}

// shown is a pointer as people write it, cut to a length that fits a sentence.
func shown(at jsontext.Pointer) string {
	var names []string
	for name := range at.Tokens() {
		names = append(names, name)
	}
	if len(names) == 0 {
		return "The body"
	}
	return fmt.Sprintf("The field %.100q", strings.Join(names, "."))
}

// nameOf says in JSON's words what a Go type is decoded from.
func nameOf(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	if t == reflect.TypeFor[time.Time]() {
		return "a time as in RFC 3339"
	}
	switch t.Kind() { //nolint:exhaustive // the other kinds are all objects here
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "an integer"
	case reflect.Float64:
		return "a number"
	default:
		return "an object"
	}
}

// optional is a field that may be absent but not null.
type optional[T any] struct {
	set   bool
	value T
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (o *optional[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == jsontext.KindNull {
		return &json.SemanticError{JSONPointer: d.StackPointer(), GoType: reflect.TypeFor[T](), Err: errors.New("is null")}
	}
	o.set = true
	return json.UnmarshalDecode(d, &o.value)
}

// nullable is a field that may be absent, and null, which are not the same.
type nullable[T any] struct {
	set   bool
	value *T
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (n *nullable[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	n.set = true
	return json.UnmarshalDecode(d, &n.value)
}

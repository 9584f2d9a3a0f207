package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// contract checks answers against openapi.yaml.
type contract struct {
	doc    *openapi3.T
	router routers.Router

	mu    sync.Mutex // protects following
	tried map[string]bool
}

// theContract is loaded once for all tests of the package, which share the list of what was tried.
var theContract = sync.OnceValues(func() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openapiYAML)
	if err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("application/jwk-set+json", openapi3filter.JSONBodyDecoder)
	doc.Servers = nil // the rigs listen anywhere
	router, err := legacy.NewRouter(doc)
	return &contract{doc: doc, router: router, tried: map[string]bool{}}, err
})

func loadContract(t testing.TB) *contract {
	t.Helper()
	c, err := theContract()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return c
}

// untried lists the operations that no test has called.
func untried() []string {
	c, err := theContract()
	if err != nil {
		return []string{err.Error()}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, path := range c.doc.Paths.Map() {
		for _, op := range path.Operations() {
			if !c.tried[op.OperationID] {
				ids = append(ids, op.OperationID)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// check says what of the answer openapi.yaml does not document. Where it has no such operation, only a problem that
// says so will do.
func (c *contract) check(req *http.Request, resp *http.Response, body []byte) error {
	if req.Method == http.MethodHead {
		return nil // its answer is that of GET
	}
	route, params, err := c.router.FindRoute(req)
	if err != nil || strings.HasSuffix(req.URL.Path, "/") { // which the router overlooks, and the server does not
		return c.checkProblem(resp, body)
	}
	c.mu.Lock()
	c.tried[route.Operation.OperationID] = true
	c.mu.Unlock()
	return openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 resp.StatusCode,
		Header:                 resp.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	})
}

func (c *contract) checkProblem(resp *http.Response, body []byte) error {
	if resp.StatusCode == http.StatusNoContent || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return nil // a preflight, or the page
	}
	if !slices.Contains([]int{http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusMisdirectedRequest}, resp.StatusCode) {
		return fmt.Errorf("undocumented operation answers %d", resp.StatusCode)
	}
	if got := resp.Header.Get("Content-Type"); got != problemType {
		return fmt.Errorf("error is %q", got)
	}
	var value any
	if err := unmarshal(body, &value); err != nil {
		return err
	}
	return c.doc.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
}

// checkedTransport checks everything that goes through it.
type checkedTransport struct {
	t    testing.TB
	base http.RoundTripper
}

func (c checkedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.base.RoundTrip(req)
	if err != nil || resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if err := loadContract(c.t).check(req, resp, body); err != nil {
		c.t.Errorf("%s %s answers %d against openapi.yaml: %v\n%.500s", req.Method, req.URL.Path, resp.StatusCode, err, body)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func TestContractIsValid(t *testing.T) {
	c := loadContract(t)
	if c.doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi = %s, want 3.1.0", c.doc.OpenAPI)
	}
	if err := c.doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
}

// An object that does not close itself would let undocumented fields pass.
func TestContractClosesItsObjects(t *testing.T) {
	open := []string{"KeySet"} // RFC 7517 lets keys have more members
	for name, ref := range loadContract(t).doc.Components.Schemas {
		s := ref.Value
		if !s.Type.Is("object") || slices.Contains(open, name) {
			continue
		}
		if has := s.AdditionalProperties.Has; has == nil || *has {
			t.Errorf("schema %s: additionalProperties is not false", name)
		}
	}
}

func TestContractCheckerFindsFaults(t *testing.T) {
	good := `{"regions":[{"name":"eu-west","probe_url":"http://127.0.0.1/livez"}]}`
	for _, tc := range []struct {
		name   string
		status int
		kind   string
		body   string
		ok     bool
	}{
		{"documented", 200, "application/json", good, true},
		{"undocumented status", 202, "application/json", good, false},
		{"undocumented field", 200, "application/json", `{"regions":[],"extra":1}`, false},
		{"undocumented inner field", 200, "application/json", `{"regions":[{"name":"a","probe_url":"b","c":1}]}`, false},
		{"missing field", 200, "application/json", `{}`, false},
		{"other type", 200, "application/json", `{"regions":{}}`, false},
		{"other media type", 200, "text/plain", good, false},
		{"unknown code", 500, "application/problem+json", `{"type":"about:blank","title":"x","status":500,"code":"nonsense","detail":"x","request_id":"r"}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/v1/regions", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp := &http.Response{StatusCode: tc.status, Header: http.Header{"Content-Type": {tc.kind}, "X-Request-Id": {"r"}}}
			if err := loadContract(t).check(req, resp, []byte(tc.body)); (err == nil) != tc.ok {
				t.Errorf("error = %v, want ok %v", err, tc.ok)
			}
		})
	}
}

// Every code that the source can answer is in the contract, and the contract has no other but those of the planes below.
func TestContractHasEveryCode(t *testing.T) {
	below := []string{"denied", "invalid_message", "room_full"} // of package signal
	call := regexp.MustCompile(`(?:fail\([^"]*|badField\([^"]*)"([a-z_]+)"`)
	source := map[string]bool{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			source[m[1]] = true
		}
	}
	for _, code := range below {
		source[code] = true
	}
	for _, v := range loadContract(t).doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		code, _ := v.(string)
		if !source[code] {
			t.Errorf("openapi.yaml has the code %q, the source does not", code)
		}
		delete(source, code)
	}
	for code := range maps.Keys(source) {
		t.Errorf("the source answers %q, openapi.yaml does not have it", code)
	}
}

func TestContractIsServed(t *testing.T) {
	r := newRig(t)
	got := r.get("/openapi.json")
	got.want(http.StatusOK)
	served, err := openapi3.NewLoader().LoadFromData(got.body)
	if err != nil {
		t.Fatal(err)
	}
	if served.Paths.Len() != loadContract(t).doc.Paths.Len() {
		t.Errorf("served paths = %d, want %d", served.Paths.Len(), loadContract(t).doc.Paths.Len())
	}
}

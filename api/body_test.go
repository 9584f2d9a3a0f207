package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestBodies(t *testing.T) {
	r := newRig(t)
	auth := bearer(r.token(rightCreate))
	kind := func(v string) with { return header("Content-Type", v) }
	for _, tc := range []struct {
		name   string
		body   string
		change with
		status int
		code   string
	}{
		{"charset", `{"title":"x"}`, kind("application/json; charset=UTF-8"), 201, ""},
		{"form", `title=x`, kind("application/x-www-form-urlencoded"), 415, "unsupported_media_type"},
		{"text", `{"title":"x"}`, kind("text/plain"), 415, "unsupported_media_type"},
		{"no type", `{"title":"x"}`, func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "unsupported_media_type"},
		{"other charset", `{"title":"x"}`, kind("application/json; charset=latin1"), 415, "unsupported_media_type"},
		{"compressed", `{"title":"x"}`, header("Content-Encoding", "gzip"), 415, "unsupported_media_type"},
		{"at the cap", `{"title":"x"` + strings.Repeat(" ", 32<<10-13) + `}`, kind("application/json"), 201, ""},
		{"over the cap", `{"title":"x"` + strings.Repeat(" ", 32<<10-12) + `}`, kind("application/json"), 413, "body_too_large"},
		{"far over the cap", strings.Repeat("[", 8<<20), kind("application/json"), 413, "body_too_large"},
		{"deep", strings.Repeat("[", 16<<10), kind("application/json"), 400, ""},
		{"chunked over the cap", `{"title":"` + strings.Repeat("x", 64<<10) + `"}`, func(r *http.Request) { r.ContentLength = -1 }, 413, "body_too_large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			got := r.post("/v1/meetings", tc.body, auth, tc.change)
			if tc.code == "" {
				got.want(tc.status)
				return
			}
			got.wantProblem(tc.status, tc.code)
		})
	}
}

// FuzzBody holds that no body makes the decoder panic, that what it takes is one JSON value without duplicates, and
// that every refusal is an answer for the caller.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"title":"x"}`, `{"title":"x","settings":{"guests":true}}`, `{"title":null}`, `{"scheduled_at":null}`, `{"title":"x"}x`,
		`{"title":"a","title":"b"}`, `{"a":1}`, `[]`, ``, `{"settings":{"max_cameras":1e99}}`, "{\"title\":\"\xff\"}", `{"region_rtts":{"a":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, dst := range []any{new(meetingInput), new(joinInput), new(muteInput), new(struct{})} {
			err := unmarshal(body, dst)
			if err == nil && !jsontext.Value(body).IsValid() {
				t.Errorf("%q was taken", body)
			}
			if err != nil && asFailure(err).status != http.StatusBadRequest {
				t.Errorf("%q is answered %v", body, err)
			}
			if in, ok := dst.(*meetingInput); ok && err == nil {
				checkApplied(t, in)
			}
		}
	})
}

// checkApplied holds that a meeting only ever has what the contract allows.
func checkApplied(t *testing.T, in *meetingInput) {
	m := &meeting{Title: "x", Settings: defaultSettings()}
	if in.apply(m) != nil {
		return
	}
	if s := m.Settings; s.MaxParticipants < 1 || s.MaxParticipants > 1000 || s.MaxCameras < 0 || s.MaxCameras > 50 || m.Title == "" {
		t.Errorf("applied = %+v", m)
	}
}

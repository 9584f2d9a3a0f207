package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// rest makes and ends meetings.
type rest struct {
	base, token string
	http        *http.Client
}

const (
	restTimeout    = 30 * time.Second
	metricsTimeout = 5 * time.Second
	maxAnswer      = 4 << 20 // bytes read of any answer
)

func newREST(url, token string, from *http.Client) *rest {
	if from == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
		transport.MaxIdleConnsPerHost = 64
		from = &http.Client{Timeout: restTimeout, Transport: transport}
	}
	return &rest{base: strings.TrimRight(url, "/"), token: token, http: from}
}

// create makes a meeting that so many people may join without tokens of their own.
func (r *rest) create(ctx context.Context, title string, people, cameras int) (id string, err error) {
	body := map[string]any{"title": title, "settings": map[string]any{
		"max_participants": people, "max_cameras": max(cameras, 1), "waiting_room": false, "guests": true,
	}}
	var answer struct {
		ID string `json:"id"`
	}
	if err := r.post(ctx, "/v1/meetings", body, &answer); err != nil {
		return "", fmt.Errorf("create a meeting: %w", err)
	}
	return answer.ID, nil
}

// drain has a node send its people elsewhere, or take people again.
func (r *rest) drain(ctx context.Context, node string, on bool) error {
	what := "undrain"
	if on {
		what = "drain"
	}
	if err := r.post(ctx, "/v1/cluster/nodes/"+url.PathEscape(node)+"/"+what, nil, nil); err != nil {
		return fmt.Errorf("%s %s: %w", what, node, err)
	}
	return nil
}

// end ends a meeting for everybody in it.
func (r *rest) end(ctx context.Context, id string) error {
	if err := r.post(ctx, "/v1/meetings/"+id+"/end", nil, nil); err != nil {
		return fmt.Errorf("end meeting %s: %w", id, err)
	}
	return nil
}

func (r *rest) post(ctx context.Context, path string, body, answer any) error {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, reader)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		problem := client.Error{Status: resp.StatusCode, Code: "http_error", Message: resp.Status}
		var said struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
		}
		if json.Unmarshal(raw, &said) == nil && said.Code != "" {
			problem.Code, problem.Message = said.Code, said.Detail
		}
		return &problem
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(raw, answer)
}

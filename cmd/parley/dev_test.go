package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// startDev runs `parley dev` in this process until stop is called, which returns its exit code.
func startDev(t *testing.T, dir string) (w welcome, stop func() int) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", dir)
	ctx, cancel := context.WithCancel(t.Context())
	stdout, writer := io.Pipe()
	var stderr bytes.Buffer
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"dev", "--json", "--listen", "127.0.0.1:0", "--data", dir}, writer, &stderr)
		_ = writer.Close()
	}()
	if err := json.NewDecoder(stdout).Decode(&w); err != nil {
		cancel()
		t.Fatalf("parley dev: exit code %d\n%s", <-exit, stderr.String())
	}
	return w, func() int {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		select {
		case code := <-exit:
			return code
		case <-time.After(30 * time.Second):
			t.Fatal("parley dev does not stop")
			return exitFailed
		}
	}
}

// get returns the status and the body of a page.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestDevServesAWholeNode(t *testing.T) {
	dir := t.TempDir()
	w, stop := startDev(t, dir)
	for _, tc := range []struct{ path, want string }{
		{"/livez", "ok"},
		{"/readyz", "ok"},
		{"/m/" + w.MeetingID, "<html"},
		{"/openapi.json", "3.1"},
		{"/.well-known/jwks.json", `"keys"`},
		{"/metrics", "parley_bus_connected 1"},
		{"/v1/regions", `"local"`},
	} {
		if status, body := get(t, w.URL+tc.path); status != http.StatusOK || !strings.Contains(body, tc.want) {
			t.Errorf("GET %s = %d, want 200 with %q in it: %.200s", tc.path, status, tc.want, body)
		}
	}
	if code, out, _ := parley(t, "keys", "list", "--data", dir); code != exitOK || !strings.Contains(out, "EdDSA") {
		t.Errorf("keys list: exit code %d, %s", code, out)
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d after a stop that was asked for", code)
	}
}

func TestDevKeepsWhatItIsToldToKeep(t *testing.T) {
	dir := t.TempDir()
	first, stop := startDev(t, dir)
	stop()
	second, stop := startDev(t, dir)
	defer stop()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, second.URL+"/v1/meetings/"+first.MeetingID, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+first.Token) // the dev key outlives the process, too
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the meeting of the run before = %d, want 200", resp.StatusCode)
	}
}

func TestDevSaysThatThePortIsTaken(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	code, _, stderr := parley(t, "dev", "--listen", ln.Addr().String())
	if code != exitFailed || !strings.Contains(stderr, "another node") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestWelcomeIsShort(t *testing.T) {
	var out bytes.Buffer
	w := welcome{URL: "http://127.0.0.1:7880", JoinURL: "http://127.0.0.1:7880/m/mtg_1", HostURL: "http://127.0.0.1:7880/m/mtg_1#host_key=k", Token: "t"}
	if err := w.print(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{w.JoinURL + "\n", w.HostURL + "\n", w.URL + "/#token=t\n"} {
		if !strings.Contains(out.String(), link) {
			t.Errorf("%q is missing in %s", link, out.String())
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines > 10 {
		t.Errorf("%d lines", lines)
	}
}

package main

import (
	"bufio"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

const exampleFile = "../../parley.example.yaml"

// uncommented is the example with its commented-out settings in force: what stands behind "#" at once, without a space,
// is a setting; what stands behind "# " is prose.
func uncommented(t *testing.T) string {
	t.Helper()
	body, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^(\s*)#(\S)`).ReplaceAllString(string(body), "$1$2")
}

func TestExampleShowsEveryKeyAndNoOther(t *testing.T) {
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider([]byte(uncommented(t))), yaml.Parser()); err != nil {
		t.Fatal(err)
	}
	shown, known := k.Keys(), keysOf(Config{})
	for _, key := range known {
		if !slices.Contains(shown, key) {
			t.Errorf("parley.example.yaml does not show %s", key)
		}
	}
	for _, key := range shown {
		if !slices.Contains(known, key) {
			t.Errorf("parley.example.yaml shows %s, which is no key", key)
		}
	}
}

// Every setting stands right below a line of prose, or below another one that the same prose is for.
func TestExampleExplainsEveryKey(t *testing.T) {
	scanner := bufio.NewScanner(strings.NewReader(uncommented(t)))
	explained := false
	for line := 1; scanner.Scan(); line++ {
		text := strings.TrimSpace(scanner.Text())
		prose := strings.HasPrefix(text, "#")
		section := strings.HasSuffix(text, ":") // its keys are explained
		if text != "" && !prose && !section && !explained {
			t.Errorf("parley.example.yaml:%d: %q is not explained", line, text)
		}
		explained = prose || explained && text != "" && !section
	}
}

func TestExampleIsAWorkingConfiguration(t *testing.T) {
	if _, err := load(exampleFile, nil); err != nil {
		t.Error(err)
	}
}

// What the example shows commented out is the default, so that a reader can trust it.
func TestExampleShowsTheDefaults(t *testing.T) {
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider([]byte(uncommented(t))), yaml.Parser()); err != nil {
		t.Fatal(err)
	}
	exempt := []string{ // shown with a value that says what belongs there
		"node_id", "region", "roles", "data_dir", "bus.url", "bus.token", "bus.data_dir", "bus.listen", "grant.key_file", "node.media.advertise",
		"tls.listen", "tls.certificates", "tls.acme.domains", "tls.acme.storage", "signal.origins", "api.public_url", "api.allowed_origins", "api.trusted_proxies", "api.issuer.url", "api.issuer.jwks_url",
		"api.issuer.audience", "api.api_keys", "cluster.listen", "cluster.advertise", "cluster.join",
		"turn.advertise", "turn.secrets",
	}
	for _, key := range exempt {
		k.Delete(key)
	}
	cfg := Defaults()
	if err := decode(k, &cfg); err != nil {
		t.Fatal(err)
	}
	if got, want := dump(cfg), dump(Defaults()); got != want {
		t.Errorf("the example's values are not the defaults:\n%s\nwant\n%s", got, want)
	}
}

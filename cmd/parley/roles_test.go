package main

import (
	"strings"
	"testing"
)

func TestRoles(t *testing.T) {
	const cluster = "\ncluster: {listen: '127.0.0.1:7946'}"
	for _, tc := range []struct {
		name, config string
		fault        string   // part of it; empty: the configuration is good
		ports        []string // parts of what parley ports prints
		without      string   // what it does not
	}{
		{"nothing said", "region: eu", "", []string{"REST, signalling and the meeting page", "media"}, ""},
		{"all of them, alone", "roles: [api, signal, media]", "", []string{"REST, signalling and the meeting page", "udp"}, ""},
		{"one of them, alone", "roles: [media]", "roles: a node without a cluster", nil, ""},
		{"none that exists", "roles: [turn]" + cluster, `roles: "turn" is none of api, signal, media`, nil, ""},
		{"twice", "roles: [api, api]" + cluster, "twice", nil, ""},
		{"for media", "roles: [media]" + cluster, "", []string{"health, metrics and what the cluster does", "udp"}, "REST"},
		{"for signalling", "roles: [signal]" + cluster, "", []string{"signalling"}, "media"},
		{"for REST", "roles: [api]" + cluster, "", []string{"REST and the meeting page"}, "udp"},
		{"without media", "roles: [api, signal]" + cluster, "", []string{"REST, signalling and the meeting page"}, "udp"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := write(t, tc.config)
			code, out, err := parley(t, "ports", "--config", path)
			if tc.fault != "" {
				if code != exitFailed || !strings.Contains(err, tc.fault) {
					t.Errorf("exit code %d: %s", code, err)
				}
				return
			}
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, err)
			}
			for _, want := range tc.ports {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in\n%s", want, out)
				}
			}
			if tc.without != "" && strings.Contains(out, tc.without) {
				t.Errorf("%q is in\n%s", tc.without, out)
			}
		})
	}
	t.Run("from the environment", func(t *testing.T) {
		cfg, err := load(write(t, "region: eu"+cluster), []string{"PARLEY_ROLES=[signal, media]"})
		if err != nil || strings.Join(cfg.Roles, " ") != "signal media" || cfg.does("api") {
			t.Errorf("%v, %v", cfg.Roles, err)
		}
	})
}

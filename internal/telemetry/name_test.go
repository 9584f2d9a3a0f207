package telemetry_test

import (
	"testing"

	"github.com/parley-sfu/parley/internal/telemetry"
)

func TestName(t *testing.T) {
	for _, tc := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"no labels", nil, `parley_x`},
		{"one label", []string{"code", "200"}, `parley_x{code="200"}`},
		{"two labels", []string{"peer", "n1", "direction", "in"}, `parley_x{peer="n1",direction="in"}`},
		{"a value with quotes and backslashes", []string{"a", "q\"\\\n"}, `parley_x{a="q\"\\\n"}`},
		{"a label without a value", []string{"a"}, `parley_x{a=""}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := telemetry.Name("parley_x", tc.pairs...)
			if got != tc.want {
				t.Errorf("Name = %s, want %s", got, tc.want)
			}
			if err := telemetry.ValidateName(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestValidateNameRefuses(t *testing.T) {
	for _, name := range []string{
		"", "rooms", "parley_Rooms", "parley rooms", `parley_x{`, `parley_x{}`, `parley_x{A="1"}`, `parley_x{a=1}`,
		`parley_x{a="1"`, `parley_x{a="1\"}`, `parley_x{a="1";b="2"}`, `parley_x{a="1"} `,
	} {
		if telemetry.ValidateName(name) == nil {
			t.Errorf("ValidateName(%q) found nothing wrong", name)
		}
	}
}

package bench

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a time.Duration that a scenario writes as 1m30s. One that is malformed is reported by Scenario.Validate, with
// its key.
type Duration struct {
	time.Duration
	bad string // what was written in its place
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	parsed, err := time.ParseDuration(node.Value)
	if err != nil || node.Kind != yaml.ScalarNode {
		d.bad = node.Value
		if d.bad == "" {
			d.bad = "a " + node.ShortTag()
		}
		return nil
	}
	d.Duration = parsed
	return nil
}

// MarshalYAML implements yaml.Marshaler.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// IsZero lets YAML leave it out.
func (d Duration) IsZero() bool { return d.Duration == 0 && d.bad == "" }

func lasting(d time.Duration) Duration { return Duration{Duration: d} }

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// load reads the configuration: defaults, then the YAML file if a path is given, then PARLEY_* of environ, later ones
// over earlier ones. It returns all faults at once, each naming its key.
func load(path string, environ []string) (Config, error) {
	k := koanf.New(".")
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return Config{}, fmt.Errorf("configuration file: %w", err)
		}
	}
	keys := keysOf(Config{})
	faults := dropUnknown(k, keys)
	faults = append(faults, loadEnv(k, keys, environ)...)

	cfg := Defaults()
	if err := decode(k, &cfg); err != nil {
		return Config{}, errors.Join(append(faults, err)...)
	}
	cfg.derive()
	return cfg, errors.Join(append(faults, cfg.Validate())...)
}

// dropUnknown takes the keys out of k that are none, and reports them.
func dropUnknown(k *koanf.Koanf, keys []string) []error {
	var faults []error
	for _, key := range k.Keys() {
		section := slices.ContainsFunc(keys, func(known string) bool { return strings.HasPrefix(known, key+".") })
		switch {
		case slices.Contains(keys, key):
		case section && k.Get(key) == nil: // a section whose keys are all commented out
			k.Delete(key)
		default:
			faults = append(faults, fmt.Errorf("%s: there is no such key", key))
			k.Delete(key)
		}
	}
	return faults
}

// loadEnv lays the environment over k. A variable that begins with PARLEY_ and sets no key is a fault: most likely its
// name is misspelt.
func loadEnv(k *koanf.Koanf, keys, environ []string) []error {
	var faults []error
	provider := env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key, ok := keyOfEnv(keys, name)
			if !ok {
				faults = append(faults, fmt.Errorf("%s: sets no key of the configuration", name))
				return "", nil
			}
			parsed, err := parseEnv(value)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
				return "", nil
			}
			return key, parsed
		},
	})
	if err := k.Load(provider, nil); err != nil {
		faults = append(faults, fmt.Errorf("environment: %w", err))
	}
	return faults
}

// parseEnv reads a list in YAML's or JSON's brackets; everything else stays the string it is, to be decoded by the type
// of its key.
func parseEnv(value string) (any, error) {
	if !strings.HasPrefix(value, "[") {
		return value, nil
	}
	doc, err := yaml.Parser().Unmarshal([]byte("list: " + value))
	return doc["list"], err
}

// decode fills cfg with what k has and leaves the rest as it is.
func decode(k *koanf.Koanf, cfg *Config) error {
	err := k.UnmarshalWithConf("", cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:           cfg,
		TagName:          "koanf",
		WeaklyTypedInput: true, // the environment has only strings
		ErrorUnused:      true,
		MatchName:        func(key, field string) bool { return key == field || key == snake(field) },
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
		),
	}})
	if err != nil {
		return decodeFaults(err)
	}
	return nil
}

// decodeFaults makes one fault of each line in which the decoder complains: 'api.APIKeys[0]' has invalid keys: idd.
func decodeFaults(err error) error {
	var faults []error
	for line := range strings.Lines(err.Error()) {
		_, rest, found := strings.Cut(line, "'")
		path, complaint, quoted := strings.Cut(rest, "'")
		if !found || !quoted {
			continue // the heading, or an empty line
		}
		keys := strings.Split(path, ".")
		for i, key := range keys {
			keys[i] = snake(key)
		}
		faults = append(faults, fmt.Errorf("%s: %s", strings.Join(keys, "."), strings.TrimSpace(complaint)))
	}
	if len(faults) == 0 {
		return fmt.Errorf("configuration: %w", err)
	}
	return errors.Join(faults...)
}

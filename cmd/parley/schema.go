package main

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A field of a configuration is named in files by its koanf tag, or by its Go name in snake case: DataDir is data_dir.
// A tag "-" keeps it out of the file: the program sets it, no operator.

// keysOf lists the keys of a configuration struct in the order of its fields: "data_dir", "bus.url", "api.api_keys". A
// list is one key, whatever its elements are.
func keysOf(config any) []string { return fieldKeys(reflect.TypeOf(config), "") }

func fieldKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for field := range t.Fields() {
		name := keyOf(field)
		switch {
		case name == "-":
		case field.Type.Kind() == reflect.Struct && field.Anonymous:
			keys = append(keys, fieldKeys(field.Type, prefix)...)
		case field.Type.Kind() == reflect.Struct:
			keys = append(keys, fieldKeys(field.Type, prefix+name+".")...)
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

func keyOf(field reflect.StructField) string {
	if tag, _, _ := strings.Cut(field.Tag.Get("koanf"), ","); tag != "" {
		return tag
	}
	if !field.IsExported() {
		return "-"
	}
	return snake(field.Name)
}

// snake turns a Go name into a key: "JoinTTL" into "join_ttl", "URL" into "url".
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 {
			afterLower := !unicode.IsUpper(runes[i-1])
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

const envPrefix = "PARLEY_"

// envOf is the environment variable that sets the key.
func envOf(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// keyOfEnv finds the key that the environment variable sets.
func keyOfEnv(keys []string, env string) (key string, ok bool) {
	i := slices.IndexFunc(keys, func(key string) bool { return envOf(key) == env })
	if i < 0 {
		return "", false
	}
	return keys[i], true
}

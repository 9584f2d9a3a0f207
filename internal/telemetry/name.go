package telemetry

import (
	"fmt"
	"strconv"
	"strings"
)

// Name builds the name of a metric with labels from the family and pairs of label and value:
//
//	Name("parley_http_requests_total", "code", "200") == `parley_http_requests_total{code="200"}`
//
// Values are escaped. A label without a value is given the empty one.
func Name(family string, pairs ...string) string {
	if len(pairs) == 0 {
		return family
	}
	var b strings.Builder
	b.WriteString(family)
	for i := 0; i < len(pairs); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		value := ""
		if i+1 < len(pairs) {
			value = pairs[i+1]
		}
		b.WriteString(pairs[i] + `="` + escapeLabel(value) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}

// escapeLabel escapes the three characters that the text format asks for.
func escapeLabel(v string) string {
	if !strings.ContainsAny(v, "\\\"\n") { // as nearly always; a replacer takes 20 kB to make
		return v
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(v)
}

// ValidateName says why a name, as Name builds it, is no name of a Parley metric: families begin with parley_, and
// families and labels are lower_snake_case.
func ValidateName(name string) error {
	family, labels, labelled := strings.Cut(name, "{")
	if !strings.HasPrefix(family, "parley_") || !isSnake(family) {
		return fmt.Errorf("metric %q: the family must be lower_snake_case and begin with parley_", name)
	}
	if !labelled {
		return nil
	}
	for {
		label, rest, ok := strings.Cut(labels, `="`)
		if !ok || !isSnake(label) {
			return fmt.Errorf("metric %q: label %q must be lower_snake_case and have a quoted value", name, label)
		}
		end := closingQuote(rest)
		switch {
		case end >= 0 && rest[end+1:] == "}":
			return nil
		case end < 0 || !strings.HasPrefix(rest[end+1:], ","):
			return fmt.Errorf("metric %q: the value of label %q does not end well", name, label)
		}
		labels = rest[end+2:]
	}
}

// closingQuote is the index of the first quote in s that no backslash escapes, or -1.
func closingQuote(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

func isSnake(s string) bool {
	for i, r := range s {
		lower := r >= 'a' && r <= 'z'
		if !lower && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != ""
}

// suffixed puts the suffix at the end of the family, before the labels.
func suffixed(name, suffix string) string {
	family, labels, labelled := strings.Cut(name, "{")
	if !labelled {
		return family + suffix
	}
	return family + suffix + "{" + labels
}

// bucketName is the name of the histogram's bucket up to bound.
func bucketName(name, bound string) string {
	family, labels, labelled := strings.Cut(name, "{")
	if !labelled {
		return Name(family+"_bucket", "le", bound)
	}
	return family + "_bucket{" + strings.TrimSuffix(labels, "}") + `,le="` + bound + `"}`
}

func formatBound(bound float64) string { return strconv.FormatFloat(bound, 'g', -1, 64) }

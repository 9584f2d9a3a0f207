package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/parley-sfu/parley/signal/wire"
)

const schemaFile = "schema.json"

// document is the shape of schema.json. Definitions have the fields of a message's body; every message also has those
// of Envelope. Client and Server say which definition a message type of that direction has.
type document struct {
	Schema      string                        `json:"$schema"`
	ID          string                        `json:"$id"`
	Title       string                        `json:"title"`
	Client      map[string]*jsonschema.Schema `json:"client"`
	Server      map[string]*jsonschema.Schema `json:"server"`
	CloseCodes  map[string]int                `json:"close_codes"`
	ErrorCodes  []string                      `json:"error_codes"`
	Definitions jsonschema.Definitions        `json:"$defs"`
}

var update = flag.Bool("update", false, "write schema.json anew")

func TestSchemaIsFresh(t *testing.T) {
	want, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("schema.json is stale: run go test ./signal/wire -update")
	}
}

func TestSchemaNamesEveryType(t *testing.T) {
	for name, defs := range map[string][]wire.Definition{"client": wire.ClientMessages(), "server": wire.ServerMessages()} {
		seen := map[string]bool{}
		for _, def := range defs {
			if seen[def.Type] {
				t.Errorf("%s: %s is defined twice", name, def.Type)
			}
			seen[def.Type] = true
		}
	}
}

func schema() ([]byte, error) {
	// The envelope's fields stand beside the body's, so definitions leave room for more properties.
	reflector := &jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true}
	if err := reflector.AddGoComments("github.com/parley-sfu/parley/signal/wire", ".", jsonschema.WithFullComment()); err != nil {
		return nil, err
	}
	doc := document{
		Schema:      jsonschema.Version,
		ID:          "https://github.com/parley-sfu/parley/signal/wire/schema.json",
		Title:       "Parley signalling, subprotocol " + wire.Subprotocol,
		CloseCodes:  wire.CloseCodes(),
		ErrorCodes:  wire.ErrorCodes(),
		Definitions: jsonschema.Definitions{},
	}
	doc.Client = doc.add(reflector, wire.ClientMessages())
	doc.Server = doc.add(reflector, wire.ServerMessages())
	doc.add(reflector, []wire.Definition{{Body: reflect.TypeFor[wire.Envelope]()}})
	out, err := json.MarshalIndent(doc, "", "  ")
	return append(out, '\n'), err
}

func (d *document) add(reflector *jsonschema.Reflector, defs []wire.Definition) map[string]*jsonschema.Schema {
	refs := map[string]*jsonschema.Schema{}
	for _, def := range defs {
		maps.Copy(d.Definitions, reflector.ReflectFromType(def.Body).Definitions)
		refs[def.Type] = &jsonschema.Schema{Ref: "#/$defs/" + def.Body.Name()}
	}
	return refs
}

func TestEveryErrorCodeIsListedOnce(t *testing.T) {
	codes := wire.ErrorCodes()
	slices.Sort(codes)
	if len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Errorf("an error code is listed twice: %v", codes)
	}
}

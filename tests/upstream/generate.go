package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mutation is one change of a body: which, and the body after it.
type mutation struct {
	name  string
	value any
}

// generator makes mutations of a body along the schema of its kind.
type generator struct {
	documents documents
	body      map[string]any
	found     []mutation
}

// remove stands for a field that is taken out.
type remove struct{}

// mutations are all changes of one place of the body.
func (d documents) mutations(body map[string]any, definition string) []mutation {
	g := &generator{documents: d, body: body}
	g.object(nil, body, d.definition(definition))
	return g.found
}

func (g *generator) add(path []any, what string, value any) {
	g.found = append(g.found, mutation{what + " " + printed(path), with(g.body, path, value)})
}

func (g *generator) object(path []any, object map[string]any, schema map[string]any) {
	fields := properties(schema)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := deeper(path, name)
		g.add(at, "remove", remove{})
		g.add(at, "null at", nil)
		g.value(at, object[name], child(fields, name))
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if _, present := object[name]; present || len(path) == 0 && name == "status" {
			continue
		}
		for _, sample := range g.samples(child(fields, name)) {
			g.add(deeper(path, name), "add "+shownShort(sample)+" at", sample)
		}
	}
	if len(fields) > 0 {
		g.add(deeper(path, "nonsense"), "unknown field", "x")
	}
}

func (g *generator) value(path []any, value any, schema map[string]any) {
	schema, name := g.documents.resolve(schema)
	for _, wrong := range wrongs(value, schema, name) {
		g.add(path, "put "+shownShort(wrong)+" at", wrong)
	}
	switch value := value.(type) {
	case map[string]any:
		if values := child(schema, "additionalProperties"); values != nil {
			g.mapping(path, value, values)
			return
		}
		g.object(path, value, schema)
	case []any:
		g.list(path, value, child(schema, "items"))
	}
}

func (g *generator) mapping(path []any, object map[string]any, values map[string]any) {
	var sample any
	for _, key := range slices.Sorted(maps.Keys(object)) {
		sample = object[key]
		g.value(deeper(path, key), sample, values)
		break
	}
	for _, key := range []string{"", "Not Valid!", "a/b/c", "example.com/ok", strings.Repeat("k", 64), strings.Repeat("k", 254)} {
		g.add(deeper(path, key), "key", sample)
	}
}

func (g *generator) list(path []any, list []any, items map[string]any) {
	if len(list) == 0 {
		return
	}
	g.add(path, "first twice at", append(slices.Clone(list), list[0]))
	g.add(path, "null in", append(slices.Clone(list), nil))
	for i, element := range list {
		g.value(deeper(path, i), element, items)
	}
}

// wrongs are other values for a field that has one.
func wrongs(value any, schema map[string]any, name string) []any {
	switch {
	case strings.HasSuffix(name, "resource.Quantity"):
		return []any{"-1", "1x", "", "1.0005", "100m", 5, true}
	case strings.HasSuffix(name, "intstr.IntOrString"):
		return []any{-1, 0, 70000, "-5%", "200%", "x%", "Not Valid!", "", "http", true}
	}
	switch value.(type) {
	case string:
		return otherTexts(schema)
	case json.Number, float64, int:
		return []any{-1, 0, 1, 70000, 2147483648, 1.5, "text"}
	case bool:
		return []any{value != true, "true"}
	case map[string]any:
		return []any{map[string]any{}, "text", []any{}}
	case []any:
		return []any{[]any{}, "text", map[string]any{"a": "b"}}
	}
	return nil
}

func otherTexts(schema map[string]any) []any {
	found := []any{"", "Not Valid!", "x", "under_score", strings.Repeat("a", 64), strings.Repeat("a", 254), 5, []any{"x"}}
	if enum, ok := schema["enum"].([]any); ok {
		found = append(found, enum...)
	}
	return found
}

// samples are values for a field that is absent.
func (g *generator) samples(schema map[string]any) []any {
	schema, name := g.documents.resolve(schema)
	switch {
	case strings.HasSuffix(name, "resource.Quantity"):
		return []any{"1"}
	case strings.HasSuffix(name, "intstr.IntOrString"):
		return []any{1, "50%"}
	case strings.HasSuffix(name, "v1.Time"), strings.HasSuffix(name, "v1.MicroTime"):
		return []any{"2026-01-02T03:04:05Z", "yesterday"}
	}
	switch schema["type"] {
	case "string":
		if enum, ok := schema["enum"].([]any); ok {
			return append(slices.Clone(enum), "Nonsense")
		}
		if schema["format"] == "date-time" {
			return []any{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z", "yesterday"}
		}
		return []any{"x", "Not Valid!"}
	case "integer", "number":
		return []any{1, -1}
	case "boolean":
		return []any{true, false}
	case "array":
		items, _ := g.documents.resolve(child(schema, "items"))
		if items["type"] == "string" {
			return []any{[]any{"x"}, []any{"Not Valid!"}, []any{"x", "x"}}
		}
		return []any{[]any{map[string]any{}}}
	case "object":
		if schema["additionalProperties"] != nil {
			return []any{map[string]any{"a": "b"}, map[string]any{"Not Valid!": "1"}}
		}
		return []any{map[string]any{}}
	}
	return []any{"x", map[string]any{"a": "b"}}
}

func deeper(path []any, step any) []any {
	return append(slices.Clone(path), step)
}

func printed(path []any) string {
	text := ""
	for _, step := range path {
		switch step := step.(type) {
		case int:
			text += fmt.Sprintf("[%d]", step)
		case string:
			text += "." + shortWord(step)
		}
	}
	return strings.TrimPrefix(text, ".")
}

// with is the body with another value at the path; only what is on the way is copied.
func with(value any, path []any, put any) any {
	if len(path) == 0 {
		return put
	}
	switch step := path[0].(type) {
	case string:
		object, _ := value.(map[string]any)
		copied := maps.Clone(object)
		if copied == nil {
			copied = map[string]any{}
		}
		if _, out := put.(remove); out && len(path) == 1 {
			delete(copied, step)
			return copied
		}
		copied[step] = with(copied[step], path[1:], put)
		return copied
	case int:
		list, _ := value.([]any)
		copied := slices.Clone(list)
		copied[step] = with(copied[step], path[1:], put)
		return copied
	}
	return value
}

func shownShort(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return shortWord(string(text))
}

// shortWord keeps names of steps readable.
func shortWord(text string) string {
	if len(text) > 40 {
		return fmt.Sprintf("%s...(%d)", text[:8], len(text))
	}
	return text
}

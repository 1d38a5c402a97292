package main

import "strings"

// documents are OpenAPI v3 documents of upstream: what the generator knows about kinds.
type documents map[string]any

// definition is the schema of a type, by its full name.
func (d documents) definition(name string) map[string]any {
	schema, _ := d[name].(map[string]any)
	return schema
}

// resolve follows references, also those that upstream wraps in `allOf` to add a default.
func (d documents) resolve(schema map[string]any) (map[string]any, string) {
	name := ""
	for range 8 {
		reference, ok := schema["$ref"].(string)
		if all, isAll := schema["allOf"].([]any); !ok && isAll && len(all) == 1 {
			inner, _ := all[0].(map[string]any)
			reference, ok = inner["$ref"].(string)
		}
		if !ok {
			break
		}
		name = strings.TrimPrefix(reference, "#/components/schemas/")
		schema = d.definition(name)
	}
	return schema, name
}

func properties(schema map[string]any) map[string]any {
	found, _ := schema["properties"].(map[string]any)
	return found
}

func child(schema map[string]any, key string) map[string]any {
	found, _ := schema[key].(map[string]any)
	return found
}

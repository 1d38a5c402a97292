package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
)

// documents fetches the schemas of all groups.
func (s *server) documents(ctx context.Context) (documents, error) {
	one := &session{server: s}
	index, err := one.send(ctx, &Step{Do: "GET /openapi/v3", name: "schemas"})
	if err != nil {
		return nil, err
	}
	root, _ := index.body.(map[string]any)
	paths, _ := root["paths"].(map[string]any)
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: /openapi/v3 answers %d %s", s.name, index.code, index.text)
	}
	all := documents{}
	for path := range paths {
		if !strings.HasPrefix(path, "api") {
			continue
		}
		found, err := one.send(ctx, &Step{Do: "GET /openapi/v3/" + path, name: "schemas"})
		if err != nil {
			return nil, err
		}
		document, _ := found.body.(map[string]any)
		for name, schema := range child(child(document, "components"), "schemas") {
			all[name] = schema
		}
	}
	return all, nil
}

// summaries shorten an answer before it is compared.
var summaries = map[string]func(any) any{"openapi": summariseOpenAPI, "rules": summariseRules}

// summariseOpenAPI keeps what tells clients how to use an API: paths with their methods and parameters, and the schemas
// without descriptions.
func summariseOpenAPI(document any) any {
	root, _ := document.(map[string]any)
	paths := map[string]any{}
	for path, item := range child(root, "paths") {
		operations := map[string]any{}
		item, _ := item.(map[string]any)
		for method, operation := range item {
			operation, isOperation := operation.(map[string]any)
			if !isOperation {
				continue
			}
			operations[method] = map[string]any{
				"parameters": parameterNames(item, operation), "action": operation["x-kubernetes-action"],
				"kind": operation["x-kubernetes-group-version-kind"], "id": operation["operationId"],
			}
		}
		paths[path] = operations
	}
	return map[string]any{"paths": paths, "schemas": withoutDescriptions(child(child(root, "components"), "schemas"))}
}

func parameterNames(item, operation map[string]any) []any {
	var names []string
	for _, owner := range []map[string]any{item, operation} {
		parameters, _ := owner["parameters"].([]any)
		for _, parameter := range parameters {
			parameter, _ := parameter.(map[string]any)
			names = append(names, fmt.Sprint(parameter["in"], " ", parameter["name"]))
		}
	}
	sort.Strings(names)
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}

func withoutDescriptions(value any) any {
	switch value := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, inner := range value {
			if _, isText := inner.(string); name != "description" || !isText {
				kept[name] = withoutDescriptions(inner)
			}
		}
		return kept
	case []any:
		kept := make([]any, len(value))
		for i := range value {
			kept[i] = withoutDescriptions(value[i])
		}
		return kept
	}
	return value
}

// summariseRules gives what bootstrap roles and bindings allow, by their names.
func summariseRules(list any) any {
	root, _ := list.(map[string]any)
	items, _ := root["items"].([]any)
	found := map[string]any{}
	for _, item := range items {
		item, _ := item.(map[string]any)
		name, _ := child(item, "metadata")["name"].(string)
		kept := map[string]any{"labels": child(item, "metadata")["labels"]}
		for _, field := range []string{"rules", "subjects", "roleRef", "aggregationRule"} {
			kept[field] = item[field]
		}
		found[name] = kept
	}
	return found
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// checkAgainstApplySchema compares the lists of each type with the schema by which client-go extracts applied fields.
func checkAgainstApplySchema(types map[string]*typeFacts, s *sources) error {
	file := filepath.Join(s.directories["k8s.io/client-go/applyconfigurations/internal"], "internal.go")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parts := strings.Split(string(text), "`")
	if len(parts) != 3 {
		return fmt.Errorf("%s: expected one raw string", file)
	}
	parser, err := typed.NewParser(typed.YAMLObject(parts[1]))
	if err != nil {
		return err
	}
	var wrong []string
	compared := 0
	for name, t := range types {
		definition, ok := parser.Schema.FindNamedType(name)
		if !ok || definition.Map == nil {
			continue
		}
		for _, f := range t.fields {
			field, ok := definition.Map.FindField(f.name)
			if !ok || field.Type.Inlined.List == nil {
				continue
			}
			compared++
			if !sameList(f, field.Type.Inlined.List) {
				wrong = append(wrong, fmt.Sprintf("%s.%s: %s %v", name, f.name, f.listType, f.listKeys))
			}
		}
	}
	if compared == 0 {
		wrong = append(wrong, "nothing was compared")
	}
	if len(wrong) > 0 {
		return fmt.Errorf("lists that client-go's schema has otherwise:\n%s", strings.Join(wrong, "\n"))
	}
	return nil
}

func sameList(f fieldFacts, list *schema.List) bool {
	if list.ElementRelationship == schema.Atomic {
		return f.listType == "" || f.listType == "atomic"
	}
	if len(list.Keys) == 0 {
		return f.listType == "set"
	}
	return f.listType == "map" && slices.Equal(f.listKeys, list.Keys)
}

// Record asks upstream's library what it says of the rules in cases.yaml and writes it down:
//
//	cd core-api/schema/tests/rules/record && go run . ../cases.yaml ../upstream.json
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

type group struct {
	Schema map[string]any    `json:"schema"`
	Object json.RawMessage   `json:"object"`
	Old    json.RawMessage   `json:"old"`
	Rules  []json.RawMessage `json:"rules"`
}

type answer struct {
	Definition []string `json:"definition,omitempty"`
	Costs      []uint64 `json:"costs,omitempty"`
	Errors     []string `json:"errors,omitempty"`
}

// The types of root objects have a number for a name.
var numbered = regexp.MustCompile(`selfType[0-9]+`)

func main() {
	var groups []group
	must(yaml.Unmarshal(try(os.ReadFile(os.Args[1])), &groups))
	var all [][]answer
	for _, group := range groups {
		rules := group.Rules
		if len(rules) == 0 {
			rules = []json.RawMessage{nil}
		}
		var answers []answer
		for _, rule := range rules {
			answers = append(answers, ask(group, rule))
		}
		all = append(all, answers)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	must(encoder.Encode(all))
	must(os.WriteFile(os.Args[2], out.Bytes(), 0o644))
}

// ask tries a rule at the root of the group's schema.
func ask(group group, rule json.RawMessage) (said answer) {
	whole := map[string]any{}
	for name, value := range group.Schema {
		whole[name] = value
	}
	if rule != nil {
		var text string
		if json.Unmarshal(rule, &text) == nil {
			rule = try(json.Marshal(map[string]string{"rule": text}))
		}
		whole["x-kubernetes-validations"] = []json.RawMessage{rule}
	}
	var external v1.JSONSchemaProps
	must(json.Unmarshal(try(json.Marshal(whole)), &external))
	var props apiextensions.JSONSchemaProps
	must(v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&external, &props, nil))
	for _, err := range validation.ValidateCustomResourceDefinition(context.TODO(), definition(&props)) {
		if strings.HasPrefix(err.Field, "spec.versions[0].schema") {
			said.Definition = append(said.Definition, numbered.ReplaceAllString(err.Error(), "selfType"))
		}
	}
	if slices.ContainsFunc(said.Definition, func(text string) bool { return !strings.Contains(text, "cost") }) {
		return said
	}
	structural := try(schema.NewStructural(&props))
	said.Costs = costs(nil, structural, true)
	if group.Object == nil {
		return said
	}
	var object, old any
	must(utiljson.Unmarshal(group.Object, &object))
	var options []cel.Option
	if group.Old != nil {
		must(utiljson.Unmarshal(group.Old, &old))
		correlated := common.NewCorrelatedObject(object, old, &model.Structural{Structural: structural})
		options = append(options, cel.WithRatcheting(correlated))
	}
	validator := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	found, _ := validator.Validate(context.TODO(), nil, structural, object, old, celconfig.RuntimeCELCostBudget, options...)
	for _, err := range found {
		said.Errors = append(said.Errors, numbered.ReplaceAllString(err.Error(), "selfType"))
	}
	return said
}

func definition(props *apiextensions.JSONSchemaProps) *apiextensions.CustomResourceDefinition {
	off := false
	return &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "plural.group.com"},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: "group.com", Version: "v1", Scope: apiextensions.NamespaceScoped, PreserveUnknownFields: &off,
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: props},
			}},
			Names: apiextensions.CustomResourceDefinitionNames{
				Plural: "plural", Singular: "singular", Kind: "Plural", ListKind: "PluralList",
			},
			Conversion: &apiextensions.CustomResourceConversion{Strategy: apiextensions.NoneConverter},
		},
		Status: apiextensions.CustomResourceDefinitionStatus{StoredVersions: []string{"v1"}},
	}
}

// costs lists the estimates of all rules, parts before the whole.
func costs(known []uint64, at *schema.Structural, isRoot bool) []uint64 {
	if at == nil {
		return known
	}
	known = costs(known, at.Items, false)
	if at.AdditionalProperties != nil {
		known = costs(known, at.AdditionalProperties.Structural, false)
	}
	var names []string
	for name := range at.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		property := at.Properties[name]
		known = costs(known, &property, false)
	}
	if len(at.XValidations) == 0 {
		return known
	}
	environments := environment.MustBaseEnvSet(version.MajorMinor(1, 37))
	declared := model.SchemaDeclType(at, isRoot || at.XEmbeddedResource)
	rules := try(cel.Compile(at, declared, celconfig.PerCallLimit, environments, cel.NewExpressionsEnvLoader()))
	for _, rule := range rules {
		known = append(known, rule.MaxCost)
	}
	return known
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func try[T any](value T, err error) T {
	must(err)
	return value
}

package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

type typeFacts struct {
	attributes []string
	// Some field of this type is merged with retained keys.
	retainKeys bool
	gvks       []string
	fields     []fieldFacts
}

type fieldFacts struct {
	name, shape string
	tag         int
	attributes  []string
	// For the check against client-go's schema.
	listType string
	listKeys []string
}

type walker struct {
	sources *sources
	types   map[string]*typeFacts
	errors  []string
}

// Types whose JSON is not what their Go fields say.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                                             "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                                        "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                                         "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                                         "fieldsv1",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                                         "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":                                       "int-or-string",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                                          "raw",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "json",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "schema-or-bool",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "schema-or-array",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
}

func goName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// modelName is the name that the type has in OpenAPI documents.
func modelName(t reflect.Type) string {
	if named, ok := reflect.New(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return named.OpenAPIModelName()
	}
	host, path, _ := strings.Cut(t.PkgPath(), "/")
	parts := strings.Split(host, ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "." + strings.ReplaceAll(path, "/", ".") + "." + t.Name()
}

func (w *walker) fail(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}

// visit records a struct and everything that it refers to.
func (w *walker) visit(t reflect.Type) {
	name := modelName(t)
	if w.types[name] != nil {
		return
	}
	facts := &typeFacts{}
	w.types[name] = facts
	doc := w.sources.typeDoc(goName(t))
	if value, ok := doc.value("structType"); ok {
		facts.attributes = append(facts.attributes, "struct="+value)
	}
	if doc.has("union") {
		facts.attributes = append(facts.attributes, "union")
	}
	for i := range t.NumField() {
		if field := t.Field(i); field.IsExported() {
			w.field(facts, t, field)
		}
	}
}

func (w *walker) field(facts *typeFacts, owner reflect.Type, field reflect.StructField) {
	options := strings.Split(field.Tag.Get("json"), ",")
	f := fieldFacts{name: options[0], shape: w.shape(field.Type, owner, field)}
	f.tag = protobufTag(field)
	if f.name == "-" {
		return
	}
	if f.name == "" {
		f.name = "+"
		facts.fields = append(facts.fields, f)
		return
	}
	add := func(attribute string) { f.attributes = append(f.attributes, attribute) }
	for _, option := range options[1:] {
		if option == "omitempty" || option == "omitzero" {
			add(option)
		}
	}
	doc := w.sources.fieldDoc(goName(owner), field.Name)
	if isRequired(doc, slices.Contains(options, "omitempty")) {
		add("required")
	}
	w.topology(&f, doc, field, add)
	for _, key := range []string{"patchStrategy", "patchMergeKey"} {
		if value := field.Tag.Get(key); value != "" {
			add(map[string]string{"patchStrategy": "patch=", "patchMergeKey": "patchKey="}[key] + value)
		}
	}
	if strings.Contains(field.Tag.Get("patchStrategy"), "retainKeys") {
		w.types[modelName(leaf(field.Type))].retainKeys = true
	}
	if values := w.sources.enum(leaf(field.Type)); len(values) > 0 {
		add("enum=" + strings.Join(values, "|"))
	}
	if value := w.defaultOf(doc, owner, field); value != "" {
		add("default=" + value)
	}
	if doc.has("unionDiscriminator") {
		add("discriminator")
	}
	for _, rule := range doc.validations() {
		add(rule)
	}
	facts.fields = append(facts.fields, f)
}

// isRequired is the rule of the OpenAPI generator.
func isRequired(doc markers, omitempty bool) bool {
	switch {
	case doc.has("required"):
		return true
	case doc.has("optional"):
		return false
	}
	return !omitempty
}

// topology says how apply tells parts of the field apart.
func (w *walker) topology(f *fieldFacts, doc markers, field reflect.StructField, add func(string)) {
	typeDoc := w.sources.typeDoc(goName(indirect(field.Type)))
	lookup := func(name string) (string, bool) {
		if value, ok := doc.value(name); ok {
			return value, true
		}
		return typeDoc.value(name)
	}
	if value, ok := lookup("listType"); ok {
		f.listType, f.listKeys = value, doc.values("listMapKey")
		if value == "map" {
			add("list=map:" + strings.Join(f.listKeys, ","))
		} else {
			add("list=" + value)
		}
	}
	if value, ok := lookup("mapType"); ok {
		add("map=" + value)
	}
	if value, ok := doc.value("structType"); ok {
		add("struct=" + value)
	}
}

func (w *walker) defaultOf(doc markers, owner reflect.Type, field reflect.StructField) string {
	value, ok := doc.value("default")
	if !ok {
		value, ok = w.sources.typeDoc(goName(indirect(field.Type))).value("default")
	}
	if !ok {
		return ""
	}
	if name, isRef := strings.CutPrefix(value, "ref("); isRef {
		name = strings.TrimSuffix(name, ")")
		if !strings.Contains(name, ".") {
			name = owner.PkgPath() + "." + name
		}
		literal, known := w.sources.constants[name]
		if !known {
			w.fail("%s.%s: unknown constant %s", goName(owner), field.Name, name)
		}
		value = literal
	}
	var parsed any
	if err := json.Unmarshal([]byte(value), &parsed); err != nil {
		w.fail("%s.%s: default %s: %v", goName(owner), field.Name, value, err)
	}
	compact, _ := json.Marshal(parsed)
	return string(compact)
}

func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// leaf is the type below pointers, lists and maps.
func leaf(t reflect.Type) reflect.Type {
	for {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			t = t.Elem()
		default:
			return t
		}
	}
}

func (w *walker) shape(t reflect.Type, owner reflect.Type, field reflect.StructField) string {
	if name, ok := special[goName(t)]; ok {
		return name
	}
	wrapped := ""
	if t.Name() != "" && w.sources.typeDoc(goName(t)).has("protobuf.nullable") {
		wrapped = "~"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + w.shape(t.Elem(), owner, field)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return wrapped + "[]" + w.shape(t.Elem(), owner, field)
	case reflect.Map:
		return wrapped + "{}" + w.shape(t.Elem(), owner, field)
	case reflect.Struct:
		w.visit(t)
		return modelName(t)
	case reflect.Interface:
		return "any"
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64:
		return t.Kind().String()
	case reflect.Float64:
		return "double"
	}
	w.fail("%s.%s: no shape for %s", goName(owner), field.Name, t)
	return "any"
}

func protobufTag(field reflect.StructField) int {
	parts := strings.Split(field.Tag.Get("protobuf"), ",")
	if len(parts) < 2 {
		return 0
	}
	number, err := strconv.Atoi(parts[1])
	if err != nil {
		panic(err)
	}
	return number
}

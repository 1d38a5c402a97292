package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// markers are the comment lines that start with a plus sign, without it.
type markers []string

// sources is what reflection does not show: comments and constants, by "package path.Name".
type sources struct {
	directories map[string]string
	types       map[string]markers
	fields      map[string]markers
	enums       map[string][]string
	constants   map[string]string
	// Constants of a named type whose value is another constant.
	references []reference
}

type reference struct{ typeName, target string }

var packages = []string{
	"k8s.io/api/...",
	"k8s.io/apimachinery/pkg/apis/meta/v1",
	"k8s.io/apimachinery/pkg/api/resource",
	"k8s.io/apimachinery/pkg/runtime",
	"k8s.io/apimachinery/pkg/types",
	"k8s.io/apimachinery/pkg/util/intstr",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1",
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1",
	"k8s.io/client-go/applyconfigurations/internal",
}

func loadSources() (*sources, error) {
	s := &sources{
		directories: map[string]string{}, types: map[string]markers{}, fields: map[string]markers{},
		enums: map[string][]string{}, constants: map[string]string{},
	}
	command := exec.Command("go", append([]string{"list", "-f", "{{.ImportPath}} {{.Dir}}"}, packages...)...)
	command.Stderr = os.Stderr
	listed, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(listed)), "\n") {
		path, directory, _ := strings.Cut(line, " ")
		s.directories[path] = directory
		if err := s.load(path, directory); err != nil {
			return nil, err
		}
	}
	for _, r := range s.references {
		if literal, ok := s.constants[r.target]; ok {
			s.addEnum(r.typeName, literal)
		}
	}
	return s, nil
}

func (s *sources) load(path, directory string) error {
	names, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok {
				s.declaration(path, importsOf(file), general)
			}
		}
	}
	return nil
}

func importsOf(file *ast.File) map[string]string {
	found := map[string]string{}
	for _, one := range file.Imports {
		path, _ := strconv.Unquote(one.Path.Value)
		name := filepath.Base(path)
		if one.Name != nil {
			name = one.Name.Name
		}
		found[name] = path
	}
	return found
}

func (s *sources) declaration(path string, imports map[string]string, general *ast.GenDecl) {
	for _, spec := range general.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil {
				doc = general.Doc
			}
			s.typeSpec(path+"."+spec.Name.Name, doc, spec.Type)
		case *ast.ValueSpec:
			if general.Tok == token.CONST {
				s.constant(path, imports, spec)
			}
		}
	}
}

func (s *sources) typeSpec(name string, doc *ast.CommentGroup, expression ast.Expr) {
	s.types[name] = markersOf(doc)
	structure, ok := expression.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range structure.Fields.List {
		names := []string{}
		for _, identifier := range field.Names {
			names = append(names, identifier.Name)
		}
		if len(names) == 0 {
			names = append(names, embeddedName(field.Type))
		}
		for _, one := range names {
			s.fields[name+"."+one] = markersOf(field.Doc)
		}
	}
}

func embeddedName(expression ast.Expr) string {
	switch expression := expression.(type) {
	case *ast.StarExpr:
		return embeddedName(expression.X)
	case *ast.SelectorExpr:
		return expression.Sel.Name
	case *ast.Ident:
		return expression.Name
	}
	return ""
}

// constant notes NAME Type = VALUE and NAME = Type(VALUE), where VALUE is a literal or another constant.
func (s *sources) constant(path string, imports map[string]string, spec *ast.ValueSpec) {
	for i, name := range spec.Names {
		if i >= len(spec.Values) {
			return
		}
		typeName, value := "", spec.Values[i]
		if identifier, ok := spec.Type.(*ast.Ident); ok {
			typeName = path + "." + identifier.Name
		}
		if call, ok := value.(*ast.CallExpr); ok && len(call.Args) == 1 {
			if identifier, ok := call.Fun.(*ast.Ident); ok {
				typeName, value = path+"."+identifier.Name, call.Args[0]
			}
		}
		switch value := value.(type) {
		case *ast.BasicLit:
			s.constants[path+"."+name.Name] = value.Value
			s.addEnum(typeName, value.Value)
		case *ast.Ident:
			s.references = append(s.references, reference{typeName, path + "." + value.Name})
		case *ast.SelectorExpr:
			if owner, ok := value.X.(*ast.Ident); ok {
				s.references = append(s.references, reference{typeName, imports[owner.Name] + "." + value.Sel.Name})
			}
		}
	}
}

func (s *sources) addEnum(typeName, literal string) {
	text, err := strconv.Unquote(literal)
	if err == nil && typeName != "" && !slices.Contains(s.enums[typeName], text) {
		s.enums[typeName] = append(s.enums[typeName], text)
	}
}

func markersOf(doc *ast.CommentGroup) markers {
	var found markers
	if doc == nil {
		return found
	}
	for _, comment := range doc.List {
		line := strings.TrimSpace(strings.TrimPrefix(comment.Text, "//"))
		if rest, ok := strings.CutPrefix(line, "+"); ok {
			found = append(found, strings.TrimSpace(rest))
		}
	}
	return found
}

func (s *sources) typeDoc(name string) markers          { return s.types[name] }
func (s *sources) fieldDoc(owner, field string) markers { return s.fields[owner+"."+field] }

// enum lists the values of a type that is marked as an enumeration, sorted.
func (s *sources) enum(t reflect.Type) []string {
	if t.Kind() != reflect.String || !s.types[goName(t)].has("enum") {
		return nil
	}
	values := slices.Clone(s.enums[goName(t)])
	for _, value := range values {
		if strings.Contains(value, "|") {
			panic("an enumeration value contains the separator: " + value)
		}
	}
	sort.Strings(values)
	return values
}

func (m markers) value(name string) (string, bool) {
	for _, marker := range m {
		if key, value, _ := strings.Cut(marker, "="); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

func (m markers) values(name string) []string {
	var found []string
	for _, marker := range m {
		if key, value, _ := strings.Cut(marker, "="); strings.TrimSpace(key) == name {
			found = append(found, strings.TrimSpace(value))
		}
	}
	return found
}

func (m markers) has(name string) bool {
	_, ok := m.value(name)
	return ok
}

var level = regexp.MustCompile(`^k8s:(alpha|beta)\([^)]*\)=\+`)

// validations lists the declared validations that are in force (the alpha level is not) and that no other
// attribute says.
func (m markers) validations() []string {
	var found []string
	for _, marker := range m {
		if strings.HasPrefix(marker, "k8s:alpha") {
			continue
		}
		rule, ok := strings.CutPrefix(level.ReplaceAllString(marker, ""), "k8s:")
		name, _, _ := strings.Cut(rule, "=")
		if !ok {
			continue
		}
		switch name {
		case "optional", "required", "listType", "listMapKey", "enum", "conversion-gen", "opaqueType":
		case "immutable":
			found = append(found, "immutable")
		default:
			found = append(found, "v="+rule)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

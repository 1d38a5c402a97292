// Command gen writes the facts table: what the built-in API types look like, per field, as far as a server needs it.
//
// It walks, by reflection, every type that is registered in the API groups, and adds what only the sources'
// comment markers say (list types, enumerations, defaults, required fields). The descriptions are left out on purpose.
// The merge keys that it finds are checked against the schema that client-go ships for server-side apply.
//
// Usage: go run . > ../v1_37.tsv
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// The API level: types that were removed by then are left out.
const major, minor = 1, 37

const header = `# Facts about the types of the Kubernetes API at level 1.37. Made by crds/facts/gen (make facts); do not edit.
#
# A line at the margin is a type:    NAME [struct=atomic] [union] [retainKeys] [gvk=GROUP/VERSION/KIND]...
# An indented line is its field:     NAME SHAPE TAG [attribute]...        separated by tabs
#   NAME    JSON name; "+" for a type whose fields are taken in ("inline")
#   SHAPE   * before it: may be absent in Go (pointer); [] list of; {} map from text to; ~ wrapped in a protobuf message;
#           else string bool int32 int64 double bytes time microtime duration quantity int-or-string any raw json
#           fieldsv1 schema-or-bool schema-or-array schema-or-strings, or a type (@ is io.k8s.api., & is
#           io.k8s.apimachinery.pkg.)
#   TAG     protobuf field number, 0 for none
# Attributes: omitempty, omitzero, required, list=atomic|set|map:KEYS, map=, struct=, patch=STRATEGY, patchKey=,
# enum=A|B, default=JSON, immutable, discriminator, v=DECLARED VALIDATION
`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "facts:", err)
		os.Exit(1)
	}
}

func run() error {
	sources, err := loadSources()
	if err != nil {
		return err
	}
	w := &walker{sources: sources, types: map[string]*typeFacts{}}
	registered, err := registeredTypes()
	if err != nil {
		return err
	}
	for _, r := range registered {
		w.visit(r.goType)
		if r.gvk != "" {
			w.types[modelName(r.goType)].gvks = append(w.types[modelName(r.goType)].gvks, r.gvk)
		}
	}
	if len(w.errors) > 0 {
		return fmt.Errorf("%s", strings.Join(w.errors, "\n"))
	}
	if err := checkAgainstApplySchema(w.types, sources); err != nil {
		return err
	}
	return write(w.types)
}

type registeredType struct {
	goType reflect.Type
	gvk    string
}

// registeredTypes lists the served kinds and the types common to all groups.
func registeredTypes() ([]registeredType, error) {
	all := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme, metav1.AddMetaToScheme,
		apidiscoveryv2.AddToScheme,
	} {
		if err := add(all); err != nil {
			return nil, err
		}
	}
	var found []registeredType
	for gvk, goType := range all.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal || isRemoved(goType) {
			continue
		}
		name := gvk.Group + "/" + gvk.Version + "/" + gvk.Kind
		isDocument := strings.HasSuffix(goType.PkgPath(), "k8s.io/api/apidiscovery/v2")
		if isDocument || strings.HasSuffix(goType.PkgPath(), "apimachinery/pkg/apis/meta/v1") {
			name = ""
		}
		if strings.HasPrefix(goType.PkgPath(), "k8s.io/api") || strings.HasPrefix(goType.PkgPath(), "k8s.io/kube-aggregator") {
			found = append(found, registeredType{goType, name})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].gvk < found[j].gvk })
	return found, nil
}

func isRemoved(goType reflect.Type) bool {
	type lifecycle interface{ APILifecycleRemoved() (int, int) }
	one, ok := reflect.New(goType).Interface().(lifecycle)
	if !ok {
		return false
	}
	removedMajor, removedMinor := one.APILifecycleRemoved()
	return removedMajor < major || removedMajor == major && removedMinor <= minor
}

func write(types map[string]*typeFacts) error {
	names := make([]string, 0, len(types))
	for name := range types {
		names = append(names, name)
	}
	sort.Strings(names)
	out := bufio.NewWriter(os.Stdout)
	out.WriteString(header)
	for _, name := range names {
		t := types[name]
		columns := append([]string{name}, t.attributes...)
		if t.retainKeys {
			columns = append(columns, "retainKeys")
		}
		sort.Strings(t.gvks)
		for i, gvk := range t.gvks {
			if i == 0 || gvk != t.gvks[i-1] {
				columns = append(columns, "gvk="+gvk)
			}
		}
		writeLine(out, columns)
		for _, f := range t.fields {
			writeLine(out, append([]string{"", f.name, short(f.shape), fmt.Sprint(f.tag)}, f.attributes...))
		}
	}
	return out.Flush()
}

func writeLine(out *bufio.Writer, columns []string) {
	for _, c := range columns {
		if strings.ContainsAny(c, "\t\n") {
			panic("a fact must not contain a tab or a line break: " + c)
		}
	}
	out.WriteString(strings.Join(columns, "\t"))
	out.WriteByte('\n')
}

func short(shape string) string {
	shape = strings.Replace(shape, "io.k8s.apimachinery.pkg.", "&", 1)
	return strings.Replace(shape, "io.k8s.api.", "@", 1)
}

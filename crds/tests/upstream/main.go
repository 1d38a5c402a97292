// Upstream's own code on the cases of crds/tests/kinds: its defaults, strategies, validation and table rows, compared
// with what this project found. It reports and judges nothing: some differences are meant (addresses are allocated
// here and not there, structs are shown by their JSON names, features that upstream switches off by default).
//
// Usage, from this folder (the first build compiles much of Kubernetes and takes minutes):
//
//	PROA_CASES_OUT=$PWD/found.json cargo test -p proa-crds --test kinds cases
//	go run . found.json ../kinds/*.yaml
//
// Kubernetes is pinned in go.mod; it may lag a release behind the API level that is served.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	crdinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	crdreg "k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	"k8s.io/kubernetes/pkg/capabilities"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"
	"k8s.io/kubernetes/pkg/registry/apps/controllerrevision"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/coordination/lease"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/endpoint"
	"k8s.io/kubernetes/pkg/registry/core/event"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/secret"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrole"
	"k8s.io/kubernetes/pkg/registry/rbac/clusterrolebinding"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"sigs.k8s.io/yaml"
)

// testCase is one case of a YAML file.
type testCase struct {
	Name   string         `json:"name"`
	Object map[string]any `json:"object"`
	Old    map[string]any `json:"old"`
	Status bool           `json:"status"`
}

// found is what came of a case, on either side.
type found struct {
	File, Name       string
	Errors, Warnings []string
	Object           map[string]any
	Row              []any
}

type strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

var strategies = map[string]strategy{
	"ClusterRole":              clusterrole.Strategy,
	"ClusterRoleBinding":       clusterrolebinding.Strategy,
	"ConfigMap":                configmap.Strategy,
	"ControllerRevision":       controllerrevision.Strategy,
	"CustomResourceDefinition": crdreg.NewStrategy(legacyscheme.Scheme),
	"DaemonSet":                daemonset.Strategy,
	"Deployment":               deployment.Strategy,
	"EndpointSlice":            endpointslice.Strategy,
	"Endpoints":                endpoint.Strategy,
	"Event":                    event.Strategy,
	"Job":                      job.Strategy,
	"Lease":                    lease.Strategy,
	"Namespace":                namespace.Strategy,
	"Node":                     node.Strategy,
	"Pod":                      pod.Strategy,
	"PriorityClass":            priorityclass.Strategy,
	"ReplicaSet":               replicaset.Strategy,
	"Role":                     role.Strategy,
	"RoleBinding":              rolebinding.Strategy,
	"Secret":                   secret.Strategy,
	"Service":                  service.Strategy,
	"ServiceAccount":           serviceaccount.Strategy,
}

var statusStrategies = map[string]rest.RESTUpdateStrategy{
	"Deployment": deployment.StatusStrategy,
	"Job":        job.StatusStrategy,
	"Namespace":  namespace.StatusStrategy,
	"Pod":        pod.StatusStrategy,
	"Service":    service.StatusStrategy,
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// decode reads an object as a client sends it, sets defaults and converts it to the internal form.
func decode(object map[string]any) (runtime.Object, schema.GroupVersionKind) {
	data, err := json.Marshal(object)
	check(err)
	decoded, gvk, err := legacyscheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
	check(err)
	legacyscheme.Scheme.Default(decoded)
	internal, err := legacyscheme.Scheme.ConvertToVersion(decoded, schema.GroupVersion{Group: gvk.Group, Version: runtime.APIVersionInternal})
	if err != nil { // Events of events.k8s.io are core events inside.
		internal, err = legacyscheme.Scheme.ConvertToVersion(decoded, schema.GroupVersion{Version: runtime.APIVersionInternal})
	}
	check(err)
	return internal, *gvk
}

// external is an internal object as clients see it.
func external(object runtime.Object, gvk schema.GroupVersionKind) map[string]any {
	converted, err := legacyscheme.Scheme.ConvertToVersion(object.DeepCopyObject(), gvk.GroupVersion())
	check(err)
	data, err := json.Marshal(converted)
	check(err)
	out := map[string]any{}
	check(json.Unmarshal(data, &out))
	out["apiVersion"], out["kind"] = gvk.GroupVersion().String(), gvk.Kind
	return out
}

func created(ctx context.Context, object map[string]any) (runtime.Object, schema.GroupVersionKind) {
	internal, gvk := decode(object)
	metadata, err := meta.Accessor(internal)
	check(err)
	if metadata.GetUID() == "" {
		metadata.SetUID("u1")
	}
	metadata.SetCreationTimestamp(metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	strategies[gvk.Kind].PrepareForCreate(ctx, internal)
	return internal, gvk
}

// withStatus gives a created object the status of the case.
func withStatus(object runtime.Object, gvk schema.GroupVersionKind, from map[string]any) runtime.Object {
	if from["status"] == nil {
		return object
	}
	seen := external(object, gvk)
	seen["status"] = from["status"]
	decoded, _ := decode(seen)
	return decoded
}

func request(c testCase) context.Context {
	object, gvk := decode(c.Object)
	metadata, err := meta.Accessor(object)
	check(err)
	ctx := genericapirequest.WithNamespace(context.Background(), metadata.GetNamespace())
	info := &genericapirequest.RequestInfo{APIGroup: gvk.Group, APIVersion: gvk.Version, IsResourceRequest: true}
	return genericapirequest.WithRequestInfo(ctx, info)
}

func run(file string, c testCase) found {
	ctx := request(c)
	out := found{File: file, Name: c.Name}
	var list field.ErrorList
	var object, shown runtime.Object
	var gvk schema.GroupVersionKind
	if c.Old == nil {
		object, gvk = created(ctx, c.Object)
		list = strategies[gvk.Kind].Validate(ctx, object)
		out.Warnings = strategies[gvk.Kind].WarningsOnCreate(ctx, object)
		shown = withStatus(object, gvk, c.Object)
	} else {
		var old runtime.Object
		old, gvk = created(ctx, c.Old)
		old = withStatus(old, gvk, c.Old)
		object, _ = decode(c.Object)
		before, _ := meta.Accessor(old)
		after, _ := meta.Accessor(object)
		before.SetResourceVersion("1")
		after.SetResourceVersion("1")
		after.SetUID(before.GetUID())
		after.SetCreationTimestamp(before.GetCreationTimestamp())
		after.SetGeneration(before.GetGeneration())
		var update rest.RESTUpdateStrategy = strategies[gvk.Kind]
		if c.Status {
			update = statusStrategies[gvk.Kind]
		}
		update.PrepareForUpdate(ctx, object, old)
		list = update.ValidateUpdate(ctx, object, old)
		shown = object
	}
	for _, e := range list {
		out.Errors = append(out.Errors, e.Error())
	}
	out.Object = external(object, gvk)
	table, err := printers.NewTableGenerator().With(printersinternal.AddHandlers).GenerateTable(shown, printers.GenerateOptions{Wide: true})
	if err == nil && len(table.Rows) > 0 {
		out.Row = table.Rows[0].Cells
	}
	return out
}

var age = regexp.MustCompile(`^(\d+[ydhms])+$`)

// differences says what this project found otherwise than upstream.
func differences(theirs, ours found) []string {
	var out []string
	out = append(out, onlyIn("upstream says: ", theirs.Errors, ours.Errors)...)
	out = append(out, onlyIn("only here:     ", ours.Errors, theirs.Errors)...)
	if theirs.Warnings != nil {
		out = append(out, onlyIn("upstream warns: ", theirs.Warnings, ours.Warnings)...)
	}
	for _, part := range []string{"spec", "status", "data"} {
		compare(part, theirs.Object[part], ours.Object[part], &out)
	}
	rows := [2]string{line(theirs.Row), line(ours.Row)}
	if theirs.Row != nil && rows[0] != rows[1] {
		out = append(out, "row: "+rows[0]+"\n     "+rows[1])
	}
	return out
}

func line(cells []any) string {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = age.ReplaceAllString(fmt.Sprint(cell), "AGE")
	}
	return strings.Join(texts, " | ")
}

func onlyIn(prefix string, list, other []string) []string {
	var out []string
	for _, text := range list {
		if !slices.Contains(other, text) {
			out = append(out, prefix+text)
		}
	}
	return out
}

// compare walks two JSON values; absent and empty are the same.
func compare(path string, theirs, ours any, out *[]string) {
	a, isMap := theirs.(map[string]any)
	b, alsoMap := ours.(map[string]any)
	if isMap && alsoMap {
		for key := range a {
			compare(path+"."+key, a[key], b[key], out)
		}
		for key := range b {
			if _, seen := a[key]; !seen {
				compare(path+"."+key, nil, b[key], out)
			}
		}
		return
	}
	if isEmpty(theirs) && isEmpty(ours) {
		return
	}
	left, _ := json.Marshal(theirs)
	right, _ := json.Marshal(ours)
	if string(left) != string(right) {
		*out = append(*out, fmt.Sprintf("%s: upstream %s, here %s", path, left, right))
	}
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, child := range v {
			if !isEmpty(child) {
				return false
			}
		}
		return true
	}
	return false
}

func main() {
	crdinstall.Install(legacyscheme.Scheme)
	capabilities.Setup(true, 0)
	data, err := os.ReadFile(os.Args[1])
	check(err)
	var list []found
	check(json.Unmarshal(data, &list))
	ours := map[[2]string]found{}
	for _, f := range list {
		ours[[2]string{f.File, f.Name}] = f
	}
	count, different := 0, 0
	for _, path := range os.Args[2:] {
		data, err := os.ReadFile(path)
		check(err)
		var cases []testCase
		check(yaml.Unmarshal(data, &cases))
		file := filepath.Base(path)
		for _, c := range cases {
			count++
			if found := differences(run(file, c), ours[[2]string{file, c.Name}]); len(found) > 0 {
				different++
				fmt.Printf("%s: %s\n  %s\n", file, c.Name, strings.Join(found, "\n  "))
			}
		}
	}
	fmt.Printf("%d of %d cases differ\n", different, count)
}

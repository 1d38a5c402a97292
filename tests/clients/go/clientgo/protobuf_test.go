package clientgo

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Objects that use what protobuf treats in a way of its own: embedded structs, quantities, times, raw JSON, schemas.
//
//go:embed corpus.yaml
var corpus []byte

// TestProtobufSaysWhatJSONSays reads all built-in kinds and documents in both forms into upstream's types.
func TestProtobufSaysWhatJSONSays(t *testing.T) {
	ctx, both := within(t), newForms(t)
	groups := create(ctx, t)
	kinds := 0
	for _, group := range groups {
		// That of another server behind this one, which speaks JSON.
		if group.Group.Name == "metrics.k8s.io" {
			continue
		}
		for version, resources := range group.VersionedResources {
			prefix := "/apis/" + group.Group.Name + "/" + version
			if group.Group.Name == "" {
				prefix = "/api/" + version
			}
			both.same(ctx, t, prefix, "")
			for _, resource := range resources {
				gvk := schema.GroupVersionKind{Group: group.Group.Name, Version: version, Kind: resource.Kind}
				listed := strings.Contains(strings.Join(resource.Verbs, " "), "list")
				if !listed || !both.scheme.Recognizes(gvk) {
					continue
				}
				both.same(ctx, t, prefix+"/"+resource.Name, "")
				both.same(ctx, t, prefix+"/"+resource.Name, ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
				kinds++
			}
		}
	}
	if kinds < 50 {
		t.Fatalf("only %d kinds were compared", kinds)
	}
	for _, path := range []string{"/api", "/apis", "/apis/apps", "/api/v1/namespaces/none"} {
		both.same(ctx, t, path, "")
	}
	for _, path := range []string{"/api", "/apis"} {
		both.same(ctx, t, path, ";as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=v2")
	}
}

// create makes the objects of the corpus and tells what is served.
func create(ctx context.Context, t *testing.T) []*restmapper.APIGroupResources {
	t.Helper()
	client, err := dynamic.NewForConfig(config(t))
	must(t, err)
	served, err := discovery.NewDiscoveryClientForConfig(config(t))
	must(t, err)
	groups, err := restmapper.GetAPIGroupResources(served)
	must(t, err)
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(corpus), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := documents.Decode(object); errors.Is(err, io.EOF) {
			return groups
		} else {
			must(t, err)
		}
		gvk := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		must(t, err)
		var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			resource = client.Resource(mapping.Resource).Namespace(here)
		}
		if _, err := resource.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			t.Fatalf("%s %s: %v", gvk.Kind, object.GetName(), err)
		}
	}
}

// forms reads a path as JSON and as protobuf.
type forms struct {
	host    string
	client  *http.Client
	scheme  *runtime.Scheme
	decoder runtime.Decoder
}

func newForms(t *testing.T) *forms {
	t.Helper()
	config := config(t)
	client, err := rest.HTTPClientFor(config)
	must(t, err)
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		scheme.AddToScheme, apiextensions.AddToScheme, apidiscovery.AddToScheme, metav1.AddMetaToScheme,
	} {
		must(t, add(known))
	}
	return &forms{config.Host, client, known, serializer.NewCodecFactory(known).UniversalDeserializer()}
}

// same compares both forms. What changes meanwhile is read again.
func (f *forms) same(ctx context.Context, t *testing.T, path, parameters string) {
	t.Helper()
	eventually(t, path+parameters+" is read twice without a change", func() bool {
		text := f.read(ctx, t, path, "application/json"+parameters)
		binary := f.read(ctx, t, path, runtime.ContentTypeProtobuf+parameters)
		if version(text) != version(binary) {
			return false
		}
		if !equality.Semantic.DeepEqual(text, binary) {
			t.Fatalf("%s%s differs:\n%s", path, parameters, diff.Diff(text, binary))
		}
		return true
	})
}

func (f *forms) read(ctx context.Context, t *testing.T, path, accept string) runtime.Object {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.host+path, nil)
	must(t, err)
	request.Header.Set("Accept", accept)
	response, err := f.client.Do(request)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	want, _, _ := strings.Cut(accept, ";")
	got, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	equal(t, fmt.Sprintf("content type of %s", path), got, want)
	// The oldest documents name no version.
	object, gvk, err := f.decoder.Decode(body, &schema.GroupVersionKind{Version: "v1"}, nil)
	if err != nil {
		t.Fatalf("%s as %s: %v", path, accept, err)
	}
	object.GetObjectKind().SetGroupVersionKind(*gvk)
	if list, is := object.(*metav1.PartialObjectMetadataList); is {
		// In JSON each item says its type; protobuf has no field for it.
		for i := range list.Items {
			list.Items[i].TypeMeta = metav1.TypeMeta{}
		}
	}
	return object
}

func version(object runtime.Object) string {
	list, err := meta.ListAccessor(object)
	if err != nil {
		return ""
	}
	return list.GetResourceVersion()
}

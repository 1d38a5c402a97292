package clientgo

import (
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/restmapper"
)

func TestDiscovery(t *testing.T) {
	waiting, err := discovery.NewDiscoveryClientForConfig(config(t))
	must(t, err)
	// metrics.k8s.io is answered by another server, which is found a moment after the start.
	eventually(t, "all groups answer", func() bool {
		_, _, err := waiting.ServerGroupsAndResources()
		return err == nil
	})
	config := config(t)
	sent := record(config)
	client, err := discovery.NewDiscoveryClientForConfig(config)
	must(t, err)
	version, err := client.ServerVersion()
	must(t, err)
	equal(t, "minor version", version.Minor, "37")

	groups, resources, err := client.ServerGroupsAndResources()
	must(t, err)
	if len(groups) < 5 || len(resources) < 5 {
		t.Fatalf("%d groups, %d lists of resources", len(groups), len(resources))
	}
	aggregated := sent.count(func(request *http.Request) bool { return strings.HasPrefix(request.URL.Path, "/api") })
	equal(t, "requests for all of it", aggregated, 2)
	must(t, discovery.ServerSupportsVersion(client, schema.GroupVersion{Group: "apps", Version: "v1"}))
	one, err := client.ServerResourcesForGroupVersion("apps/v1")
	must(t, err)
	verbs := map[string]bool{}
	for _, resource := range one.APIResources {
		if resource.Name == "deployments" {
			for _, verb := range resource.Verbs {
				verbs[verb] = true
			}
		}
	}
	for _, verb := range []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} {
		equal(t, verb, verbs[verb], true)
	}
	namespaced, err := client.ServerPreferredNamespacedResources()
	must(t, err)
	listable := discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "watch"}}, namespaced)
	if len(listable) == 0 {
		t.Fatal("nothing can be listed")
	}
	document, err := client.OpenAPISchema()
	must(t, err)
	equal(t, "OpenAPI version", document.Swagger, "2.0")
}

func TestMapperLearnsOfNewKinds(t *testing.T) {
	ctx := within(t)
	client, err := discovery.NewDiscoveryClientForConfig(config(t))
	must(t, err)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	shortcuts := restmapper.NewShortcutExpander(mapper, memory.NewMemCacheClient(client), nil)
	deploy, err := shortcuts.ResourceFor(schema.GroupVersionResource{Resource: "deploy"})
	must(t, err)
	equal(t, "short name", deploy.GroupResource().String(), "deployments.apps")
	kind := schema.GroupKind{Group: boats.Group, Kind: "Boat"}
	if _, err := mapper.RESTMapping(kind); err == nil {
		t.Fatal("nobody has defined boats yet")
	}
	defineBoats(ctx, t)
	eventually(t, "the mapper knows the kind", func() bool {
		mapper.Reset()
		mapping, err := mapper.RESTMapping(kind)
		return err == nil && mapping.Resource == boats
	})

	root := openapi3.NewRoot(client.OpenAPIV3())
	eventually(t, "the kind is described", func() bool {
		spec, err := root.GVSpec(boats.GroupVersion())
		return err == nil && spec.Components.Schemas["com.example.test.v1.Boat"] != nil
	})
	versions, err := root.GroupVersions()
	must(t, err)
	for _, version := range versions {
		_, err := root.GVSpec(version)
		must(t, err)
	}
	if len(versions) < 5 {
		t.Fatalf("few versions are described: %v", versions)
	}
}

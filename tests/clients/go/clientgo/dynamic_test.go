package clientgo

import (
	"context"
	"fmt"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/utils/ptr"
)

var (
	boats      = schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "boats"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// defineBoats creates the definition of the kind Boat and waits until it is served.
func defineBoats(ctx context.Context, t *testing.T) {
	t.Helper()
	client, err := apiextensionsclient.NewForConfig(config(t))
	must(t, err)
	definitions := client.ApiextensionsV1().CustomResourceDefinitions()
	object := func(properties map[string]apiextensions.JSONSchemaProps, required ...string) apiextensions.JSONSchemaProps {
		return apiextensions.JSONSchemaProps{Type: "object", Properties: properties, Required: required}
	}
	_, err = definitions.Create(ctx, &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: boats.GroupResource().String()},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: boats.Group, Scope: apiextensions.NamespaceScoped,
			Names: apiextensions.CustomResourceDefinitionNames{
				Plural: "boats", Singular: "boat", Kind: "Boat", ListKind: "BoatList", Categories: []string{"all"},
			},
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: boats.Version, Served: true, Storage: true,
				Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: ptr.To(object(
					map[string]apiextensions.JSONSchemaProps{
						"spec": object(map[string]apiextensions.JSONSchemaProps{
							"oars":  {Type: "integer", Minimum: ptr.To(0.0), Default: &apiextensions.JSON{Raw: []byte("2")}},
							"crew":  {Type: "integer"},
							"names": {Type: "array", Items: &apiextensions.JSONSchemaPropsOrArray{Schema: &apiextensions.JSONSchemaProps{Type: "string"}}},
						}),
						"status": object(map[string]apiextensions.JSONSchemaProps{
							"crew": {Type: "integer"}, "afloat": {Type: "boolean"},
						}),
					}, "spec"))},
				Subresources: &apiextensions.CustomResourceSubresources{
					Status: &apiextensions.CustomResourceSubresourceStatus{},
					Scale: &apiextensions.CustomResourceSubresourceScale{
						SpecReplicasPath: ".spec.crew", StatusReplicasPath: ".status.crew",
					},
				},
			}},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "the definition is established", func() bool {
		definition, err := definitions.Get(ctx, boats.GroupResource().String(), metav1.GetOptions{})
		must(t, err)
		for _, condition := range definition.Status.Conditions {
			if condition.Type == apiextensions.Established {
				return condition.Status == apiextensions.ConditionTrue
			}
		}
		return false
	})
}

func boat(name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": boats.GroupVersion().String(), "kind": "Boat",
		"metadata": map[string]any{"name": name}, "spec": spec,
	}}
}

func number(t *testing.T, object *unstructured.Unstructured, path ...string) int64 {
	t.Helper()
	value, _, err := unstructured.NestedInt64(object.Object, path...)
	must(t, err)
	return value
}

func TestDynamicClientOnADefinedKind(t *testing.T) {
	ctx := within(t)
	defineBoats(ctx, t)
	client, err := dynamic.NewForConfig(config(t))
	must(t, err)
	fleet := client.Resource(boats).Namespace(here)

	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, here, nil)
	informer := factory.ForResource(boats)
	informer.Informer()
	factory.Start(ctx.Done())
	t.Cleanup(factory.Shutdown)
	factory.WaitForCacheSync(ctx.Done())

	made, err := fleet.Create(ctx, boat("one", map[string]any{"crew": int64(3)}), metav1.CreateOptions{})
	must(t, err)
	equal(t, "default", number(t, made, "spec", "oars"), 2)
	_, err = fleet.Create(ctx, boat("two", map[string]any{"oars": int64(-1)}), metav1.CreateOptions{})
	refused(t, err, apierrors.IsInvalid)
	_, err = fleet.Create(ctx, boat("two", map[string]any{"sails": int64(1)}),
		metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	refused(t, err, apierrors.IsBadRequest)

	must(t, unstructured.SetNestedField(made.Object, true, "status", "afloat"))
	must(t, unstructured.SetNestedField(made.Object, int64(9), "spec", "oars"))
	updated, err := fleet.UpdateStatus(ctx, made, metav1.UpdateOptions{})
	must(t, err)
	equal(t, "oars after an update of the status", number(t, updated, "spec", "oars"), 2)
	equal(t, "generation after an update of the status", updated.GetGeneration(), 1)

	applied, err := fleet.Apply(ctx, "one", boat("one", map[string]any{"oars": int64(4)}),
		metav1.ApplyOptions{FieldManager: "test", Force: true})
	must(t, err)
	equal(t, "oars", number(t, applied, "spec", "oars"), 4)
	equal(t, "crew", number(t, applied, "spec", "crew"), 3)
	equal(t, "generation", applied.GetGeneration(), 2)
	_, err = fleet.Patch(ctx, "one", types.StrategicMergePatchType, []byte(`{"spec":{"oars":1}}`), metav1.PatchOptions{})
	refused(t, err, apierrors.IsUnsupportedMediaType)

	scale, err := fleet.Get(ctx, "one", metav1.GetOptions{}, "scale")
	must(t, err)
	equal(t, "scale", number(t, scale, "spec", "replicas"), 3)
	must(t, unstructured.SetNestedField(scale.Object, int64(5), "spec", "replicas"))
	_, err = fleet.Update(ctx, scale, metav1.UpdateOptions{}, "scale")
	must(t, err)
	eventually(t, "the informer has the crew", func() bool {
		object, err := informer.Lister().ByNamespace(here).Get("one")
		return err == nil && number(t, object.(*unstructured.Unstructured), "spec", "crew") == 5
	})

	all, err := client.Resource(boats).List(ctx, metav1.ListOptions{})
	must(t, err)
	equal(t, "kind of a list", all.GetKind(), "BoatList")
	must(t, fleet.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	eventually(t, "the informer is empty", func() bool { return len(informer.Informer().GetStore().List()) == 0 })
}

func TestMetadataClient(t *testing.T) {
	ctx, maps := within(t), typed(t).CoreV1().ConfigMaps(here)
	client, err := metadata.NewForConfig(config(t))
	must(t, err)
	objects := client.Resource(configMaps).Namespace(here)

	factory := metadatainformer.NewFilteredSharedInformerFactory(client, 0, here,
		func(options *metav1.ListOptions) { options.LabelSelector = "from=client-go" })
	informer := factory.ForResource(configMaps)
	informer.Informer()
	factory.Start(ctx.Done())
	t.Cleanup(factory.Shutdown)
	factory.WaitForCacheSync(ctx.Done())

	for i := range 3 {
		_, err := maps.Create(ctx, configMap(fmt.Sprint("m-", i), map[string]string{"k": "v"}), metav1.CreateOptions{})
		must(t, err)
	}
	one, err := objects.Get(ctx, "m-0", metav1.GetOptions{})
	must(t, err)
	equal(t, "label", one.Labels["from"], "client-go")
	patched, err := objects.Patch(ctx, "m-0", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "annotation", patched.Annotations["a"], "b")
	whole, err := maps.Get(ctx, "m-0", metav1.GetOptions{})
	must(t, err)
	equal(t, "data after a patch of metadata", whole.Data["k"], "v")
	listed, err := objects.List(ctx, metav1.ListOptions{LabelSelector: "from", Limit: 2})
	must(t, err)
	equal(t, "objects on a page", len(listed.Items), 2)
	if listed.Continue == "" {
		t.Fatalf("a page says that there are more: %+v", listed.ListMeta)
	}
	eventually(t, "the informer has the annotation", func() bool {
		object, err := informer.Lister().Get(here + "/m-0")
		return err == nil && object.(*metav1.PartialObjectMetadata).Annotations["a"] == "b"
	})
	must(t, objects.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "from"}))
	eventually(t, "the informer is empty", func() bool {
		return len(informer.Informer().GetStore().ListKeys()) == 0
	})
}

func TestDefinitionsHaveRules(t *testing.T) {
	ctx := within(t)
	client, err := apiextensionsclient.NewForConfig(config(t))
	must(t, err)
	rules := apiextensions.ValidationRules{{Rule: "self.oars % 2 == 0", Message: "oars come in pairs"}}
	schema := apiextensions.JSONSchemaProps{Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{
		"spec": {Type: "object", XValidations: rules, Properties: map[string]apiextensions.JSONSchemaProps{
			"oars": {Type: "integer"},
		}},
	}}
	_, err = client.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: boats.GroupResource().String()},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: boats.Group, Scope: apiextensions.NamespaceScoped,
			Names: apiextensions.CustomResourceDefinitionNames{Plural: "boats", Kind: "Boat"},
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: boats.Version, Served: true, Storage: true,
				Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &schema},
			}},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	fleet, err := dynamic.NewForConfig(config(t))
	must(t, err)
	eventually(t, "a boat with three oars is refused", func() bool {
		_, err = fleet.Resource(boats).Namespace(here).Create(ctx, boat("one", map[string]any{"oars": int64(3)}), metav1.CreateOptions{})
		return apierrors.IsInvalid(err)
	})
	_, err = fleet.Resource(boats).Namespace(here).Create(ctx, boat("one", map[string]any{"oars": int64(4)}), metav1.CreateOptions{})
	must(t, err)
}

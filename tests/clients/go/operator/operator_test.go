package operator

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	patience  = time.Minute
	namespace = "default"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true,
		func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// start runs the operator until the test ends and returns a client that does not read from its caches.
func start(t *testing.T) client.Client {
	t.Helper()
	// Not the test's own log: the manager's last goroutines still write when the test has ended.
	ctrl.SetLogger(funcr.New(func(prefix, text string) { fmt.Fprintln(os.Stderr, prefix, text) }, funcr.Options{}))
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensions.AddToScheme, AddToScheme} {
		must(t, add(known))
	}
	config := ctrl.GetConfigOrDie()
	direct, err := client.New(config, client.Options{Scheme: known})
	must(t, err)
	define(t, direct)
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: known, Metrics: server.Options{BindAddress: "0"},
		LeaderElection: true, LeaderElectionID: "website-operator", LeaderElectionNamespace: namespace,
		LeaderElectionReleaseOnCancel: true,
	})
	must(t, err)
	must(t, (&Reconciler{Client: mgr.GetClient(), Events: mgr.GetEventRecorder("website-operator")}).SetUp(mgr))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("the manager: ", err)
		}
	})
	return direct
}

// define creates the definition of the kind and waits until it is served.
func define(t *testing.T, c client.Client) {
	t.Helper()
	definition := &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "websites." + GroupVersion.Group},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: GroupVersion.Group, Scope: apiextensions.NamespaceScoped,
			Names: apiextensions.CustomResourceDefinitionNames{
				Plural: "websites", Singular: "website", Kind: "Website", ListKind: "WebsiteList",
			},
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: GroupVersion.Version, Served: true, Storage: true,
				Subresources: &apiextensions.CustomResourceSubresources{Status: &apiextensions.CustomResourceSubresourceStatus{}},
				Schema:       &apiextensions.CustomResourceValidation{OpenAPIV3Schema: schemaOfWebsites()},
			}},
		},
	}
	must(t, c.Create(t.Context(), definition))
	must(t, c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: RegistryNamespace}}))
	eventually(t, "the kind is served", func() bool { return c.List(t.Context(), &WebsiteList{}) == nil })
}

func schemaOfWebsites() *apiextensions.JSONSchemaProps {
	text := apiextensions.JSONSchemaProps{Type: "string"}
	number := apiextensions.JSONSchemaProps{Type: "integer", Format: "int32"}
	replicas := number
	replicas.Default = &apiextensions.JSON{Raw: []byte("1")}
	condition := apiextensions.JSONSchemaProps{Type: "object", Required: []string{"type", "status"}, Properties: map[string]apiextensions.JSONSchemaProps{
		"type": text, "status": text, "reason": text, "message": text,
		"lastTransitionTime": {Type: "string", Format: "date-time"},
		"observedGeneration": {Type: "integer", Format: "int64"},
	}}
	return &apiextensions.JSONSchemaProps{Type: "object", Required: []string{"spec"}, Properties: map[string]apiextensions.JSONSchemaProps{
		"spec": {Type: "object", Required: []string{"text"}, Properties: map[string]apiextensions.JSONSchemaProps{
			"text": {Type: "string", MinLength: ptr.To[int64](1)}, "replicas": replicas, "theme": text,
		}},
		"status": {Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{
			"observedGeneration": {Type: "integer", Format: "int64"}, "readyReplicas": number, "theme": text,
			"conditions": {
				Type: "array", XListType: ptr.To("map"), XListMapKeys: []string{"type"},
				Items: &apiextensions.JSONSchemaPropsOrArray{Schema: &condition},
			},
		}},
	}}
}

func website(name string) *Website {
	return &Website{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: WebsiteSpec{Text: "hello"}}
}

// refreshed reads the object again; whether it is there.
func refreshed(t *testing.T, c client.Client, object client.Object) bool {
	t.Helper()
	err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	must(t, client.IgnoreNotFound(err))
	return err == nil
}

func TestWebsitesComeAndGo(t *testing.T) {
	c := start(t)
	site := website("home")
	must(t, c.Create(t.Context(), site))
	isReady := func(replicas int32) func() bool {
		return func() bool {
			return refreshed(t, c, site) && meta.IsStatusConditionTrue(site.Status.Conditions, Ready) &&
				site.Status.ReadyReplicas == replicas && site.Status.ObservedGeneration == site.Generation
		}
	}
	eventually(t, "the website is ready", isReady(1))
	if *site.Spec.Replicas != 1 {
		t.Fatalf("the default of the schema: %d", *site.Spec.Replicas)
	}

	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "home", Namespace: namespace}}
	text := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "home-text", Namespace: namespace}}
	entry := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: string(site.UID), Namespace: RegistryNamespace}}
	for _, object := range []client.Object{deployment, text, entry} {
		if !refreshed(t, c, object) {
			t.Fatalf("%s is missing", object.GetName())
		}
	}
	if !metav1.IsControlledBy(deployment, site) || !metav1.IsControlledBy(text, site) {
		t.Fatal("the website owns what it needs")
	}

	patch := client.MergeFrom(site.DeepCopy())
	site.Spec.Text, site.Spec.Replicas = "goodbye", ptr.To[int32](3)
	must(t, c.Patch(t.Context(), site, patch))
	eventually(t, "the change is there", isReady(3))
	if refreshed(t, c, text); text.Data["index.html"] != "goodbye" {
		t.Fatalf("the text: %v", text.Data)
	}

	// What somebody else takes away or changes comes back.
	first := deployment.UID
	must(t, c.Delete(t.Context(), deployment))
	eventually(t, "another deployment is there", func() bool { return refreshed(t, c, deployment) && deployment.UID != first })
	text.Data["index.html"] = "defaced"
	must(t, c.Update(t.Context(), text))
	eventually(t, "the text is right again", func() bool { return refreshed(t, c, text) && text.Data["index.html"] == "goodbye" })
	eventually(t, "the website is ready again", isReady(3))
	var found corev1.EventList
	eventually(t, "an event tells of it", func() bool {
		must(t, c.List(t.Context(), &found, client.InNamespace(namespace), client.MatchingFields{"reason": "SiteCreated"}))
		return len(found.Items) > 0
	})

	must(t, c.Delete(t.Context(), site, client.PropagationPolicy(metav1.DeletePropagationForeground)))
	for _, object := range []client.Object{site, deployment, text, entry} {
		eventually(t, object.GetName()+" is gone", func() bool { return !refreshed(t, c, object) })
	}
	var pods corev1.PodList
	eventually(t, "the pods are gone", func() bool {
		must(t, c.List(t.Context(), &pods, client.MatchingLabels{"website": "home"}))
		return len(pods.Items) == 0
	})
}

func TestWebsitesFollowTheirTheme(t *testing.T) {
	c := start(t)
	site := website("themed")
	site.Spec.Theme = "autumn"
	must(t, c.Create(t.Context(), site))
	shows := func(colour string) func() bool {
		return func() bool { return refreshed(t, c, site) && site.Status.Theme == colour }
	}
	theme := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "autumn", Namespace: namespace, Labels: map[string]string{"colour": "red"},
	}}
	must(t, c.Create(t.Context(), theme))
	eventually(t, "the theme counts", shows("red"))
	theme.Labels["colour"] = "brown"
	must(t, c.Update(t.Context(), theme))
	eventually(t, "the change of the theme counts", shows("brown"))
	must(t, c.DeleteAllOf(t.Context(), &corev1.ConfigMap{}, client.InNamespace(namespace), client.MatchingLabels{"colour": "brown"}))
	eventually(t, "no theme is left", shows(""))
}

func TestWrongWebsitesAreRefused(t *testing.T) {
	c := start(t)
	empty := website("empty")
	empty.Spec.Text = ""
	if err := c.Create(t.Context(), empty); !apierrors.IsInvalid(err) {
		t.Fatalf("an empty text: %v", err)
	}
	dry := client.NewDryRunClient(c)
	must(t, dry.Create(t.Context(), website("dry")))
	strict := client.WithFieldValidation(c, metav1.FieldValidationStrict)
	must(t, strict.Create(t.Context(), website("strict")))
	if refreshed(t, c, website("dry")) {
		t.Fatal("a dry run leaves nothing behind")
	}
}

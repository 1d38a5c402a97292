package operator

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
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
	must(t, (&Reconciler{Client: mgr.GetClient()}).SetUp(mgr))
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
	eventually(t, "the kind is served", func() bool { return c.List(t.Context(), &WebsiteList{}) == nil })
}

func schemaOfWebsites() *apiextensions.JSONSchemaProps {
	text := apiextensions.JSONSchemaProps{Type: "string"}
	theme := text
	theme.Default = &apiextensions.JSON{Raw: []byte(`"plain"`)}
	return &apiextensions.JSONSchemaProps{Type: "object", Required: []string{"spec"}, Properties: map[string]apiextensions.JSONSchemaProps{
		"spec": {Type: "object", Required: []string{"text"}, Properties: map[string]apiextensions.JSONSchemaProps{
			"text": {Type: "string", MinLength: ptr.To[int64](1)}, "theme": theme,
		}},
		"status": {Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{
			"observedGeneration": {Type: "integer", Format: "int64"}, "colour": text,
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

func TestWebsitesFollowTheirTheme(t *testing.T) {
	c := start(t)
	site := website("themed")
	site.Spec.Theme = "autumn"
	must(t, c.Create(t.Context(), site))
	shows := func(colour string) func() bool {
		return func() bool { return refreshed(t, c, site) && site.Status.Colour == colour }
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

	text := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "themed-text", Namespace: namespace}}
	if !refreshed(t, c, text) || !metav1.IsControlledBy(text, site) {
		t.Fatal("the website owns its text")
	}
	text.Data["text"] = "defaced"
	must(t, c.Update(t.Context(), text))
	eventually(t, "the text is right again", func() bool { return refreshed(t, c, text) && text.Data["text"] == "hello" })
	must(t, c.Delete(t.Context(), site, client.PropagationPolicy(metav1.DeletePropagationForeground)))
	// A reconciler whose cache lags may make the text once more, for an owner that is gone.
	for _, object := range []client.Object{site, text} {
		eventually(t, object.GetName()+" is gone", func() bool { return !refreshed(t, c, object) })
	}
}

func TestDryAndStrictClients(t *testing.T) {
	c := start(t)
	dry := client.NewDryRunClient(c)
	must(t, dry.Create(t.Context(), website("dry")))
	if refreshed(t, c, website("dry")) {
		t.Fatal("a dry run leaves nothing behind")
	}
	strict := client.WithFieldValidation(c, metav1.FieldValidationStrict)
	site := website("strict")
	must(t, strict.Create(t.Context(), site))
	if site.Spec.Theme != "plain" {
		t.Fatalf("the default of the schema: %q", site.Spec.Theme)
	}
}

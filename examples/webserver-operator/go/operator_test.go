package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	patience  = time.Minute
	namespace = "default"
)

var settings = Settings{Domain: "sites.example", Image: "busybox:1"}

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

// connect defines the kind in the cluster of KUBECONFIG and returns a client that does not read from caches.
func connect(t *testing.T) client.Client {
	t.Helper()
	ctrl.SetLogger(funcr.New(func(prefix, text string) { fmt.Fprintln(os.Stderr, prefix, text) }, funcr.Options{}))
	known := runtime.NewScheme()
	must(t, scheme.AddToScheme(known))
	must(t, AddToScheme(known))
	c, err := client.New(ctrl.GetConfigOrDie(), client.Options{Scheme: known})
	must(t, err)
	text, err := os.ReadFile(os.Getenv("WEBSERVER_CRD"))
	must(t, err)
	var definition unstructured.Unstructured
	must(t, yaml.Unmarshal(text, &definition.Object))
	must(t, c.Create(t.Context(), &definition))
	eventually(t, "the kind is served", func() bool { return c.List(t.Context(), &WebServerList{}) == nil })
	return c
}

// operate runs the operator until what it returns is called.
func operate(t *testing.T) func() {
	t.Helper()
	mgr, err := newManager(ctrl.GetConfigOrDie(), settings, "")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- mgr.Start(ctx) }()
	stop := func() {
		if cancel != nil {
			cancel()
			cancel = nil
			if err := <-ended; err != nil {
				t.Error("the manager: ", err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func site(name, www string) *WebServer {
	return &WebServer{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Spec: WebServerSpec{WWW: www}}
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: namespace} }

// refreshed reads the object again; whether it is there.
func refreshed(t *testing.T, c client.Client, object client.Object) bool {
	t.Helper()
	err := c.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	must(t, client.IgnoreNotFound(err))
	return err == nil
}

// until waits until the status is about the present spec and has this condition.
func until(t *testing.T, c client.Client, site *WebServer, kind string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, site.Name+" is "+reason, func() bool {
		if !refreshed(t, c, site) || site.Status.ObservedGeneration != site.Generation {
			return false
		}
		condition := meta.FindStatusCondition(site.Status.Conditions, kind)
		return condition != nil && condition.Status == status && condition.Reason == reason
	})
}

func serves(t *testing.T, c client.Client, site *WebServer) {
	t.Helper()
	until(t, c, site, "Ready", metav1.ConditionTrue, "Serving")
}

func TestSitesComeChangeAndGo(t *testing.T) {
	c := connect(t)
	operate(t)
	hello := site("hello", "<h1>Hello</h1>")
	hello.Spec.Replicas = ptr.To[int32](2)
	must(t, c.Create(t.Context(), hello))
	serves(t, c, hello)
	if hello.Status.URL != "http://hello.default.sites.example/" || hello.Status.ReadyReplicas != 2 {
		t.Fatalf("the status: %+v", hello.Status)
	}
	route := &netv1.Ingress{ObjectMeta: named("hello")}
	if !refreshed(t, c, route) || !metav1.IsControlledBy(route, hello) || route.Spec.Rules[0].Host != "hello.default.sites.example" {
		t.Fatalf("the ingress: %+v", route)
	}
	pods := &appsv1.Deployment{ObjectMeta: named("hello")}
	refreshed(t, c, pods)
	before := pods.Spec.Template.Annotations[page]

	patch := client.MergeFrom(hello.DeepCopy())
	hello.Spec = WebServerSpec{WWW: "<h1>Goodbye</h1>", Replicas: ptr.To[int32](3), Host: "www.example"}
	must(t, c.Patch(t.Context(), hello, patch))
	serves(t, c, hello)
	if hello.Status.URL != "http://www.example/" {
		t.Fatalf("the status: %+v", hello.Status)
	}
	text := &corev1.ConfigMap{ObjectMeta: named("hello")}
	if refreshed(t, c, text); text.Data["index.html"] != "<h1>Goodbye</h1>" {
		t.Fatalf("the page: %v", text.Data)
	}
	if refreshed(t, c, pods); pods.Spec.Template.Annotations[page] == before {
		t.Fatal("other pods show the other page")
	}

	// What somebody else takes away or changes comes back.
	front := &corev1.Service{ObjectMeta: named("hello")}
	must(t, c.Delete(t.Context(), front))
	eventually(t, "the service is back", func() bool { return refreshed(t, c, front) })
	text.Data["index.html"] = "defaced"
	must(t, c.Update(t.Context(), text))
	eventually(t, "the page is right again", func() bool { return refreshed(t, c, text) && text.Data["index.html"] == "<h1>Goodbye</h1>" })

	must(t, c.Delete(t.Context(), hello))
	eventually(t, "the site is gone", func() bool { return !refreshed(t, c, hello) })
	if refreshed(t, c, route) {
		t.Fatal("the ingress goes first")
	}
	for _, object := range []client.Object{pods, text, front} {
		eventually(t, object.GetName()+" is gone", func() bool { return !refreshed(t, c, object) })
	}
}

func TestWrongSitesAreRefused(t *testing.T) {
	c := connect(t)
	for field, spec := range map[string]WebServerSpec{
		"spec.www":      {WWW: ""},
		"250000":        {WWW: strings.Repeat("x", 250_001)},
		"spec.replicas": {WWW: "x", Replicas: ptr.To[int32](-1)},
		"spec.host":     {WWW: "x", Host: "No_Host"},
	} {
		wrong := site("wrong", "")
		wrong.Spec = spec
		if err := c.Create(t.Context(), wrong); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), field) {
			t.Fatalf("%s: %v", field, err)
		}
	}
	if err := c.Create(t.Context(), site("1-letter", "x")); !apierrors.IsInvalid(err) {
		t.Fatalf("the name: %v", err)
	}
}

func TestSpecsThatCannotWorkAreTold(t *testing.T) {
	c := connect(t)
	operate(t)
	first, second := site("first", "1"), site("second", "2")
	first.Spec.Host, second.Spec.Host = "www.example", "www.example"
	must(t, c.Create(t.Context(), first))
	serves(t, c, first)
	must(t, c.Create(t.Context(), second))
	until(t, c, second, "Accepted", metav1.ConditionFalse, "HostTaken")
	if meta.IsStatusConditionTrue(second.Status.Conditions, "Ready") || second.Status.URL != "" {
		t.Fatalf("the status: %+v", second.Status)
	}
	must(t, c.Delete(t.Context(), first))
	serves(t, c, second)

	mine := &corev1.ConfigMap{ObjectMeta: named("third"), Data: map[string]string{"mine": "1"}}
	must(t, c.Create(t.Context(), mine))
	third := site("third", "3")
	must(t, c.Create(t.Context(), third))
	until(t, c, third, "Accepted", metav1.ConditionFalse, "NameTaken")
	if refreshed(t, c, mine); len(mine.Data) != 1 || mine.Data["mine"] != "1" {
		t.Fatalf("the object of others: %v", mine.Data)
	}
	must(t, c.Delete(t.Context(), mine))
	serves(t, c, third)
}

func TestARestartedOperatorMakesGoodWhatItMissed(t *testing.T) {
	c := connect(t)
	stop := operate(t)
	goes, comes := site("goes", "before"), site("comes", "new")
	must(t, c.Create(t.Context(), goes))
	serves(t, c, goes)
	stop()
	must(t, c.Delete(t.Context(), goes))
	must(t, c.Create(t.Context(), comes))
	if !refreshed(t, c, goes) || goes.DeletionTimestamp.IsZero() {
		t.Fatal("the finalizer holds it")
	}
	operate(t)
	serves(t, c, comes)
	eventually(t, "the site is gone", func() bool { return !refreshed(t, c, goes) })
}

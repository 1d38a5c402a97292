// Package clientgo drives a Kubernetes API with client-go. Each test wants a server of its own, named by KUBECONFIG,
// with the controllers and one node; nothing here knows which server it is.
package clientgo

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	patience = time.Minute
	here     = "default"
)

// config is the kubeconfig's, as every program that loads one would have it.
func config(t *testing.T) *rest.Config {
	t.Helper()
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	must(t, err)
	// What is tested is behaviour; the client's own limit of five requests a second only costs time.
	config.QPS = -1
	return config
}

// typed is the client for built-in kinds with its default content types.
func typed(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config(t))
	must(t, err)
	return client
}

// within is a context that ends with the test or its patience.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test unless the error is of this kind.
func refused(t *testing.T, err error, is func(error) bool) {
	t.Helper()
	if !is(err) {
		t.Fatalf("refused in another way than expected: %v (reason %q)", err, apierrors.ReasonForError(err))
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// eventually waits until the condition holds. It asks again and again because the state that it waits for is this
// process's own, such as an informer's store.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, patience, true,
		func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// recorded is what a client has sent, in order.
type recorded struct {
	mutex    sync.Mutex
	requests []*http.Request
}

// record notes the requests of all clients that are made from the config afterwards.
func record(config *rest.Config) *recorded {
	recorded := &recorded{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			recorded.mutex.Lock()
			recorded.requests = append(recorded.requests, request)
			recorded.mutex.Unlock()
			return next.RoundTrip(request)
		})
	})
	return recorded
}

// count is how many of the requests so far are such.
func (r *recorded) count(is func(*http.Request) bool) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	count := 0
	for _, request := range r.requests {
		if is(request) {
			count++
		}
	}
	return count
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

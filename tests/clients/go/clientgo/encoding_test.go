package clientgo

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// TestProtobufOnly is what a client says that takes nothing but protobuf: requests, answers and watches.
func TestProtobufOnly(t *testing.T) {
	config := config(t)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	ctx, maps := within(t), client.CoreV1().ConfigMaps(here)
	made, err := maps.Create(ctx, configMap("m", map[string]string{"k": "v"}), metav1.CreateOptions{})
	must(t, err)
	equal(t, "value", made.Data["k"], "v")
	watcher, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: made.ResourceVersion})
	must(t, err)
	defer watcher.Stop()
	must(t, maps.Delete(ctx, "m", metav1.DeleteOptions{}))
	event := <-watcher.ResultChan()
	equal(t, "event", event.Type, watch.Deleted)
	equal(t, "name", event.Object.(*corev1.ConfigMap).Name, "m")
}

// TestProtobufByDefault is what the clients of built-in kinds do unless told otherwise.
func TestProtobufByDefault(t *testing.T) {
	config := config(t)
	sent, got := record(config), receive(config)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	ctx := within(t)
	_, err = client.AppsV1().Deployments(here).Create(ctx, deployment("web", 0), metav1.CreateOptions{})
	must(t, err)
	made, err := client.AppsV1().Deployments(here).Get(ctx, "web", metav1.GetOptions{})
	must(t, err)
	equal(t, "image", made.Spec.Template.Spec.Containers[0].Image, "main:1")
	list, err := client.AppsV1().Deployments(here).List(ctx, metav1.ListOptions{})
	must(t, err)
	equal(t, "deployments", len(list.Items), 1)
	_, err = client.AppsV1().Deployments(here).Get(ctx, "none", metav1.GetOptions{})
	refused(t, err, apierrors.IsNotFound)
	equal(t, "requests in protobuf", sent.count(func(request *http.Request) bool {
		return request.Header.Get("Content-Type") == runtime.ContentTypeProtobuf
	}), 1)
	for _, kind := range got.types() {
		equal(t, "content type of an answer", kind, runtime.ContentTypeProtobuf)
	}
	equal(t, "answers", len(got.types()), 4)
}

// received is the content types of answers.
type received struct {
	mutex sync.Mutex
	kinds []string
}

func receive(config *rest.Config) *received {
	received := &received{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil {
				received.mutex.Lock()
				received.kinds = append(received.kinds, response.Header.Get("Content-Type"))
				received.mutex.Unlock()
			}
			return response, err
		})
	})
	return received
}

func (r *received) types() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.kinds)
}

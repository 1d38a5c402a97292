package clientgo

import (
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
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

// TestProtobufRequests sends protobuf, as the clients of built-in kinds do by default, and takes what comes.
func TestProtobufRequests(t *testing.T) {
	config := config(t)
	sent := record(config)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	ctx := within(t)
	_, err = client.AppsV1().Deployments(here).Create(ctx, deployment("web", 0), metav1.CreateOptions{})
	must(t, err)
	made, err := client.AppsV1().Deployments(here).Get(ctx, "web", metav1.GetOptions{})
	must(t, err)
	equal(t, "image", made.Spec.Template.Spec.Containers[0].Image, "main:1")
	equal(t, "requests in protobuf", sent.count(func(request *http.Request) bool {
		return request.Header.Get("Content-Type") == runtime.ContentTypeProtobuf
	}), 1)
}

package clientgo

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	watchtools "k8s.io/client-go/tools/watch"
)

func lists(request *http.Request) bool {
	return request.Method == http.MethodGet && request.URL.Query().Get("watch") == ""
}

func streamsTheList(request *http.Request) bool {
	return request.URL.Query().Get("sendInitialEvents") == "true"
}

func TestInformersFillFromStreamingLists(t *testing.T) {
	config := config(t)
	sent := record(config)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	ctx, maps := within(t), client.CoreV1().ConfigMaps(here)
	for _, name := range []string{"a", "b"} {
		_, err := maps.Create(ctx, configMap(name, map[string]string{"k": name}), metav1.CreateOptions{})
		must(t, err)
	}

	// Selected, so that what the cluster itself keeps in the namespace does not count.
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(here),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "from=client-go" }))
	informer := factory.Core().V1().ConfigMaps()
	must(t, informer.Informer().AddIndexers(cache.Indexers{"value": func(object any) ([]string, error) {
		return []string{object.(*corev1.ConfigMap).Data["k"]}, nil
	}}))
	var added, updated, deleted atomic.Int32
	_, err = informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { added.Add(1) },
		UpdateFunc: func(any, any) { updated.Add(1) },
		DeleteFunc: func(any) { deleted.Add(1) },
	})
	must(t, err)
	factory.Start(ctx.Done())
	t.Cleanup(factory.Shutdown)
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		equal(t, kind.String(), synced, true)
	}
	equal(t, "streaming lists", sent.count(streamsTheList), 1)
	equal(t, "ordinary lists", sent.count(lists), 0)

	found, err := informer.Lister().ConfigMaps(here).List(labels.Everything())
	must(t, err)
	equal(t, "objects in the store", len(found), 2)
	changed := found[0].DeepCopy()
	changed.Data["k"] = "changed"
	_, err = maps.Update(ctx, changed, metav1.UpdateOptions{})
	must(t, err)
	eventually(t, "the index has the change", func() bool {
		indexed, err := informer.Informer().GetIndexer().ByIndex("value", "changed")
		must(t, err)
		return len(indexed) == 1
	})
	// An object that loses its label leaves the store as one that is deleted.
	changed.Labels, changed.ResourceVersion = nil, ""
	_, err = maps.Update(ctx, changed, metav1.UpdateOptions{})
	must(t, err)
	must(t, maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "from"}))
	eventually(t, "handlers have seen all", func() bool {
		return added.Load() == 2 && updated.Load() == 1 && deleted.Load() == 2
	})
	equal(t, "ordinary lists in the end", sent.count(lists), 0)
}

func TestWatchesGoOnWhereTheyWere(t *testing.T) {
	ctx, maps := within(t), typed(t).CoreV1().ConfigMaps(here)
	first, err := maps.Create(ctx, configMap("first", nil), metav1.CreateOptions{})
	must(t, err)
	_, err = maps.Create(ctx, configMap("second", nil), metav1.CreateOptions{})
	must(t, err)
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, first.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = fields.OneTermNotEqualSelector("metadata.name", "kube-root-ca.crt").String()
			// Short, so that the watcher has to come back.
			seconds := int64(1)
			options.TimeoutSeconds = &seconds
			return maps.Watch(ctx, options)
		},
	})
	must(t, err)
	defer watcher.Stop()
	next := func(kind watch.EventType, name string) {
		t.Helper()
		event, open := <-watcher.ResultChan()
		if !open {
			t.Fatal("the watch ended")
		}
		equal(t, "event", event.Type, kind)
		equal(t, "name", event.Object.(*corev1.ConfigMap).Name, name)
	}
	next(watch.Added, "second")
	_, err = maps.Update(ctx, configMap("first", map[string]string{"k": "v"}), metav1.UpdateOptions{})
	must(t, err)
	next(watch.Modified, "first")
	must(t, maps.Delete(ctx, "second", metav1.DeleteOptions{}))
	next(watch.Deleted, "second")
}

func TestListsInChunks(t *testing.T) {
	ctx, maps := within(t), typed(t).CoreV1().ConfigMaps(here)
	for range 7 {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			GenerateName: "m-", Labels: map[string]string{"from": "client-go"},
		}}, metav1.CreateOptions{})
		must(t, err)
	}
	pages := 0
	chunks := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		pages++
		return maps.List(ctx, options)
	})
	chunks.PageSize = 3
	seen := map[string]bool{}
	must(t, chunks.EachListItem(ctx, metav1.ListOptions{LabelSelector: "from"}, func(object runtime.Object) error {
		seen[object.(*corev1.ConfigMap).Name] = true
		return nil
	}))
	equal(t, "objects", len(seen), 7)
	equal(t, "pages", pages, 3)
}

func TestWaitingForADeployment(t *testing.T) {
	ctx, deployments := within(t), typed(t).AppsV1().Deployments(here)
	_, err := deployments.Create(ctx, deployment("web", 2), metav1.CreateOptions{})
	must(t, err)
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return deployments.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return deployments.Watch(ctx, options)
		},
	}, typed(t))
	_, err = watchtools.UntilWithSync(ctx, source, deployment("", 0), nil, func(event watch.Event) (bool, error) {
		present, is := event.Object.(*appsv1.Deployment)
		return is && present.Name == "web" && present.Status.AvailableReplicas == 2, nil
	})
	must(t, err)
}

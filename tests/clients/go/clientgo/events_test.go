package clientgo

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/events"
	eventrecord "k8s.io/client-go/tools/record"
)

func TestRecordersOfBothGroups(t *testing.T) {
	ctx, client := within(t), typed(t)
	about, err := client.CoreV1().ConfigMaps(here).Create(ctx, configMap("m", nil), metav1.CreateOptions{})
	must(t, err)

	old := eventrecord.NewBroadcaster(eventrecord.WithContext(ctx))
	defer old.Shutdown()
	old.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := old.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "test"})
	for range 2 {
		recorder.Event(about, corev1.EventTypeNormal, "Tried", "tried it")
	}
	eventually(t, "the event is counted", func() bool {
		found, err := client.CoreV1().Events(here).List(ctx, metav1.ListOptions{FieldSelector: "reason=Tried,involvedObject.name=m,source=test"})
		must(t, err)
		return len(found.Items) == 1 && found.Items[0].Count == 2
	})

	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	defer broadcaster.Shutdown()
	must(t, broadcaster.StartRecordingToSinkWithContext(ctx))
	newer := broadcaster.NewRecorder(scheme.Scheme, "test.example.com/controller")
	for range 2 {
		newer.Eventf(about, nil, corev1.EventTypeWarning, "Failed", "Trying", "failed with %d", 7)
	}
	var found *eventsv1.EventList
	eventually(t, "the event has become a series", func() bool {
		found, err = client.EventsV1().Events(here).List(ctx, metav1.ListOptions{FieldSelector: "regarding.name=m,reportingController=test.example.com/controller"})
		must(t, err)
		return len(found.Items) == 1 && found.Items[0].Series != nil
	})
	equal(t, "note", found.Items[0].Note, "failed with 7")
	equal(t, "action", found.Items[0].Action, "Trying")
	both, err := client.CoreV1().Events(here).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(about.UID)})
	must(t, err)
	equal(t, "events in the core group", len(both.Items), 2)
}

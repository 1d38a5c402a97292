package clientgo

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main:1"}}},
	}
}

// running creates the pod and waits until it runs.
func running(ctx context.Context, t *testing.T, client kubernetes.Interface, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	_, err := client.CoreV1().Pods(here).Create(ctx, pod, metav1.CreateOptions{})
	must(t, err)
	var present *corev1.Pod
	eventually(t, "the pod runs", func() bool {
		present, err = client.CoreV1().Pods(here).Get(ctx, pod.Name, metav1.GetOptions{})
		must(t, err)
		return present.Status.Phase == corev1.PodRunning
	})
	return present
}

func TestPodsAreBoundAndEvicted(t *testing.T) {
	ctx, client := within(t), typed(t)
	pods := client.CoreV1().Pods(here)
	elsewhere := pod("bound")
	elsewhere.Spec.SchedulerName = "nobody"
	_, err := pods.Create(ctx, elsewhere, metav1.CreateOptions{})
	must(t, err)
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	must(t, err)
	must(t, pods.Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: "bound"},
		Target:     corev1.ObjectReference{Kind: "Node", Name: nodes.Items[0].Name},
	}, metav1.CreateOptions{}))
	eventually(t, "the bound pod runs", func() bool {
		present, err := pods.Get(ctx, "bound", metav1.GetOptions{})
		must(t, err)
		return present.Status.Phase == corev1.PodRunning && present.Spec.NodeName == nodes.Items[0].Name
	})
	must(t, pods.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "bound"}}))
	eventually(t, "the evicted pod is gone", func() bool {
		_, err := pods.Get(ctx, "bound", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestPodsTakeEphemeralContainers(t *testing.T) {
	ctx, client := within(t), typed(t)
	present := running(ctx, t, client, pod("debugged"))
	present.Spec.EphemeralContainers = []corev1.EphemeralContainer{{
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "debug:1"},
	}}
	_, err := client.CoreV1().Pods(here).UpdateEphemeralContainers(ctx, "debugged", present, metav1.UpdateOptions{})
	must(t, err)
}

func TestPodsAreResizedInPlace(t *testing.T) {
	ctx, client := within(t), typed(t)
	small := pod("resized")
	small.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	present := running(ctx, t, client, small)
	present.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("200m")
	_, err := client.CoreV1().Pods(here).UpdateResize(ctx, "resized", present, metav1.UpdateOptions{})
	must(t, err)
}

package clientgo

import (
	"testing"

	admission "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

func TestStatefulSetsRun(t *testing.T) {
	ctx, sets := within(t), typed(t).AppsV1().StatefulSets(here)
	labels := map[string]string{"app": "db"}
	_, err := sets.Create(ctx, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main:1"}}},
			},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "both pods are ready", func() bool {
		present, err := sets.Get(ctx, "db", metav1.GetOptions{})
		must(t, err)
		return present.Status.ReadyReplicas == 2
	})
}

func TestDisruptionBudgetsHold(t *testing.T) {
	ctx, client := within(t), typed(t)
	guarded := pod("guarded")
	guarded.Labels = map[string]string{"app": "guarded"}
	budgets := client.PolicyV1().PodDisruptionBudgets(here)
	_, err := budgets.Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "guard"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: ptr.To(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: guarded.Labels},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	running(ctx, t, client, guarded)
	eventually(t, "the budget counts the pod", func() bool {
		present, err := budgets.Get(ctx, "guard", metav1.GetOptions{})
		must(t, err)
		return present.Status.CurrentHealthy == 1
	})
	err = client.CoreV1().Pods(here).EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "guarded"}})
	refused(t, err, apierrors.IsTooManyRequests)
}

// TestWebhooksAreCalled registers one that nobody serves: what it guards cannot be written.
func TestWebhooksAreCalled(t *testing.T) {
	ctx, client := within(t), typed(t)
	_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, &admission.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "guard"},
		Webhooks: []admission.ValidatingWebhook{{
			Name: "guard.test.example.com", AdmissionReviewVersions: []string{"v1"},
			SideEffects: ptr.To(admission.SideEffectClassNone), FailurePolicy: ptr.To(admission.Fail), TimeoutSeconds: ptr.To[int32](1),
			ClientConfig: admission.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:1/guard")},
			Rules: []admission.RuleWithOperations{{
				Operations: []admission.OperationType{admission.Create},
				Rule:       admission.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "the webhook guards config maps", func() bool {
		_, err := client.CoreV1().ConfigMaps(here).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "m-"}}, metav1.CreateOptions{})
		return apierrors.IsInternalError(err)
	})
}

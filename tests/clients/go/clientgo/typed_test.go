package clientgo

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	autoscalingapply "k8s.io/client-go/applyconfigurations/autoscaling/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
)

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"from": "client-go"}},
		Data:       data,
	}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main:1"}}},
			},
		},
	}
}

func TestTypedObjectsComeAndGo(t *testing.T) {
	ctx, maps := within(t), typed(t).CoreV1().ConfigMaps(here)

	made, err := maps.Create(ctx, configMap("m", map[string]string{"k": "v"}), metav1.CreateOptions{FieldManager: "test"})
	must(t, err)
	equal(t, "manager", made.ManagedFields[0].Manager, "test")
	_, err = maps.Create(ctx, configMap("m", nil), metav1.CreateOptions{})
	refused(t, err, apierrors.IsAlreadyExists)
	_, err = maps.Create(ctx, configMap("Not A Name", nil), metav1.CreateOptions{})
	refused(t, err, apierrors.IsInvalid)
	_, err = maps.Get(ctx, "none", metav1.GetOptions{})
	refused(t, err, apierrors.IsNotFound)

	dry, err := maps.Create(ctx, configMap("dry", nil), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	must(t, err)
	equal(t, "name of what was not created", dry.Name, "dry")
	_, err = maps.Get(ctx, "dry", metav1.GetOptions{})
	refused(t, err, apierrors.IsNotFound)

	first := made.DeepCopy()
	made.Data["k"] = "w"
	updated, err := maps.Update(ctx, made, metav1.UpdateOptions{})
	must(t, err)
	if updated.ResourceVersion == made.ResourceVersion {
		t.Fatal("an update has a new resource version")
	}
	_, err = maps.Update(ctx, first, metav1.UpdateOptions{})
	refused(t, err, apierrors.IsConflict)
	must(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		present, err := maps.Get(ctx, "m", metav1.GetOptions{})
		if err != nil {
			return err
		}
		present.BinaryData = map[string][]byte{"b": {0, 255}}
		_, err = maps.Update(ctx, present, metav1.UpdateOptions{})
		return err
	}))
	present, err := maps.Get(ctx, "m", metav1.GetOptions{})
	must(t, err)
	equal(t, "bytes", string(present.BinaryData["b"]), "\x00\xff")

	generated := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "g-"}}
	other, err := maps.Create(ctx, generated, metav1.CreateOptions{})
	must(t, err)
	listed, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "from in (client-go, elsewhere)"})
	must(t, err)
	equal(t, "objects with the label", len(listed.Items), 1)
	listed, err = maps.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + other.Name})
	must(t, err)
	equal(t, "objects of the name", len(listed.Items), 1)

	err = maps.Delete(ctx, "m", metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions("another")})
	refused(t, err, apierrors.IsConflict)
	must(t, maps.Delete(ctx, "m", *metav1.NewPreconditionDeleteOptions(string(present.UID))))
	must(t, maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	_, err = maps.Get(ctx, other.Name, metav1.GetOptions{})
	refused(t, err, apierrors.IsNotFound)
}

func TestPatches(t *testing.T) {
	ctx, deployments := within(t), typed(t).AppsV1().Deployments(here)
	_, err := deployments.Create(ctx, deployment("web", 0), metav1.CreateOptions{})
	must(t, err)
	patch := func(kind types.PatchType, body string, subresources ...string) *appsv1.Deployment {
		t.Helper()
		patched, err := deployments.Patch(ctx, "web", kind, []byte(body), metav1.PatchOptions{}, subresources...)
		must(t, err)
		return patched
	}

	both := patch(types.StrategicMergePatchType,
		`{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:1"}]}}}}`)
	equal(t, "containers after a strategic merge", len(both.Spec.Template.Spec.Containers), 2)
	one := patch(types.StrategicMergePatchType,
		`{"spec":{"template":{"spec":{"containers":[{"name":"side","$patch":"delete"}]}}}}`)
	equal(t, "containers after a directive", len(one.Spec.Template.Spec.Containers), 1)
	other := patch(types.MergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"new","image":"new:1"}]}}}}`)
	equal(t, "container after a merge", other.Spec.Template.Spec.Containers[0].Name, "new")
	tested := patch(types.JSONPatchType,
		`[{"op":"test","path":"/spec/replicas","value":0},{"op":"add","path":"/metadata/annotations","value":{"a":"b"}}]`)
	equal(t, "annotation", tested.Annotations["a"], "b")
	_, err = deployments.Patch(ctx, "web", types.JSONPatchType,
		[]byte(`[{"op":"test","path":"/spec/replicas","value":7}]`), metav1.PatchOptions{})
	refused(t, err, apierrors.IsInvalid)
	status := patch(types.MergePatchType, `{"spec":{"replicas":5},"status":{"collisionCount":3}}`, "status")
	equal(t, "replicas after a patch of the status", *status.Spec.Replicas, 0)

	// The controller may write the deployment's status in between.
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		scale, err := deployments.GetScale(ctx, "web", metav1.GetOptions{})
		must(t, err)
		scale.Spec.Replicas = 2
		_, err = deployments.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{})
		return err
	}))
	eventually(t, "both replicas are ready", func() bool {
		present, err := deployments.Get(ctx, "web", metav1.GetOptions{})
		must(t, err)
		return present.Status.ReadyReplicas == 2
	})
}

func TestApply(t *testing.T) {
	ctx, client := within(t), typed(t)
	deployments := client.AppsV1().Deployments(here)
	web := func(image string) *appsapply.DeploymentApplyConfiguration {
		return appsapply.Deployment("web", here).WithSpec(appsapply.DeploymentSpec().
			WithReplicas(1).
			WithSelector(metaapply.LabelSelector().WithMatchLabels(map[string]string{"app": "web"})).
			WithTemplate(coreapply.PodTemplateSpec().
				WithLabels(map[string]string{"app": "web"}).
				WithSpec(coreapply.PodSpec().WithContainers(coreapply.Container().WithName("main").WithImage(image)))))
	}
	mine, theirs := metav1.ApplyOptions{FieldManager: "mine"}, metav1.ApplyOptions{FieldManager: "theirs"}
	_, err := deployments.Apply(ctx, web("main:1"), mine)
	must(t, err)
	_, err = deployments.Apply(ctx, web("main:2"), theirs)
	refused(t, err, apierrors.IsConflict)
	theirs.Force = true
	applied, err := deployments.Apply(ctx, web("main:2"), theirs)
	must(t, err)
	equal(t, "image", applied.Spec.Template.Spec.Containers[0].Image, "main:2")

	extracted, err := appsapply.ExtractDeployment(applied, "mine")
	must(t, err)
	if container := extracted.Spec.Template.Spec.Containers[0]; container.Image != nil {
		t.Fatalf("what was taken over is no longer mine: %v", *container.Image)
	}
	equal(t, "replicas that are mine", *extracted.Spec.Replicas, 1)

	// What a manager leaves out goes when nobody else has it.
	_, err = deployments.Apply(ctx, web("main:2").WithAnnotations(map[string]string{"a": "b"}), theirs)
	must(t, err)
	applied, err = deployments.Apply(ctx, web("main:2"), theirs)
	must(t, err)
	if _, found := applied.Annotations["a"]; found {
		t.Fatalf("an annotation that is applied no more stays: %v", applied.Annotations)
	}
	scale := autoscalingapply.Scale().WithSpec(autoscalingapply.ScaleSpec().WithReplicas(2))
	scaled, err := deployments.ApplyScale(ctx, "web", scale, metav1.ApplyOptions{FieldManager: "scaler", Force: true})
	must(t, err)
	equal(t, "replicas", scaled.Spec.Replicas, 2)
	status := appsapply.Deployment("web", here).WithStatus(appsapply.DeploymentStatus().WithCollisionCount(4))
	withStatus, err := deployments.ApplyStatus(ctx, status, mine)
	must(t, err)
	equal(t, "collisions", *withStatus.Status.CollisionCount, 4)
}

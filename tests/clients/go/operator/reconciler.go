package operator

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// Finalizer keeps a Website until what it has registered is removed.
	Finalizer = "web.example.com/registered"
	// Ready is the condition that all servers are.
	Ready = "Ready"
	// RegistryNamespace is where registrations are kept: what no owner reference can clean up.
	RegistryNamespace = "registry"
	// byTheme is the index of Websites by the theme that they use.
	byTheme = "spec.theme"
	manager = "website-operator"
)

// Reconciler makes websites so.
type Reconciler struct {
	client.Client
	Events events.EventRecorder
}

// SetUp registers the reconciler with a manager.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &Website{}, byTheme, func(object client.Object) []string {
		return []string{object.(*Website).Spec.Theme}
	})
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&Website{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.ConfigMap{}).
		// Themes in metadata only: what matters is that one is there, and its labels.
		WatchesMetadata(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.usersOf)).
		Complete(r)
}

// usersOf are the websites that use a theme.
func (r *Reconciler) usersOf(ctx context.Context, theme client.Object) []reconcile.Request {
	var sites WebsiteList
	err := r.List(ctx, &sites, client.InNamespace(theme.GetNamespace()), client.MatchingFields{byTheme: theme.GetName()})
	if err != nil {
		return nil
	}
	requests := make([]reconcile.Request, len(sites.Items))
	for i := range sites.Items {
		requests[i] = reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&sites.Items[i])}
	}
	return requests
}

// Reconcile brings one website closer to what is wanted.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var site Website
	if err := r.Get(ctx, request.NamespacedName, &site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.release(ctx, &site)
	}
	if controllerutil.AddFinalizer(&site, Finalizer) {
		if err := r.Update(ctx, &site); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.register(ctx, &site); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.publish(ctx, &site); err != nil {
		return ctrl.Result{}, err
	}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: site.Name, Namespace: site.Namespace}}
	result, err := controllerutil.CreateOrUpdate(ctx, r.Client, deployment, func() error {
		labels := map[string]string{"website": site.Name}
		deployment.Spec.Replicas = site.Spec.Replicas
		deployment.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		deployment.Spec.Template.Labels = labels
		if len(deployment.Spec.Template.Spec.Containers) == 0 {
			deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "server"}}
		}
		deployment.Spec.Template.Spec.Containers[0].Image = "server:1"
		return controllerutil.SetControllerReference(&site, deployment, r.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	if result == controllerutil.OperationResultCreated {
		r.Events.Eventf(&site, deployment, corev1.EventTypeNormal, "SiteCreated", "CreateDeployment", "created %s", deployment.Name)
	}
	return ctrl.Result{}, r.report(ctx, &site, deployment)
}

// register notes the website where its deletion has to remove it again.
func (r *Reconciler) register(ctx context.Context, site *Website) error {
	entry := coreapply.ConfigMap(string(site.UID), RegistryNamespace).WithData(map[string]string{"name": site.Name})
	return r.Apply(ctx, entry, client.FieldOwner(manager), client.ForceOwnership)
}

// release removes the registration and lets the website go.
func (r *Reconciler) release(ctx context.Context, site *Website) error {
	entry := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: string(site.UID), Namespace: RegistryNamespace}}
	if err := r.Delete(ctx, entry); client.IgnoreNotFound(err) != nil {
		return err
	}
	before := site.DeepCopy()
	if !controllerutil.RemoveFinalizer(site, Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(r.Patch(ctx, site, patch))
}

// publish applies the ConfigMap that the servers show.
func (r *Reconciler) publish(ctx context.Context, site *Website) error {
	owner := metaapply.OwnerReference().
		WithAPIVersion(GroupVersion.String()).WithKind("Website").WithName(site.Name).WithUID(site.UID).
		WithController(true).WithBlockOwnerDeletion(true)
	text := coreapply.ConfigMap(site.Name+"-text", site.Namespace).
		WithOwnerReferences(owner).WithData(map[string]string{"index.html": site.Spec.Text})
	return r.Apply(ctx, text, client.FieldOwner(manager), client.ForceOwnership)
}

// report writes the status, unless it is so already.
func (r *Reconciler) report(ctx context.Context, site *Website, deployment *appsv1.Deployment) error {
	before := site.DeepCopy()
	theme := &metav1.PartialObjectMetadata{}
	theme.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	site.Status.Theme = ""
	if site.Spec.Theme != "" {
		err := r.Get(ctx, client.ObjectKey{Namespace: site.Namespace, Name: site.Spec.Theme}, theme)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		site.Status.Theme = theme.Labels["colour"]
	}
	site.Status.ObservedGeneration = site.Generation
	site.Status.ReadyReplicas = deployment.Status.ReadyReplicas
	condition := metav1.Condition{Type: Ready, Status: metav1.ConditionFalse, Reason: "ServersMissing", ObservedGeneration: site.Generation}
	isCurrent := deployment.Status.ObservedGeneration == deployment.Generation
	if isCurrent && deployment.Status.ReadyReplicas == *deployment.Spec.Replicas {
		condition.Status, condition.Reason = metav1.ConditionTrue, "ServersReady"
	}
	changed := meta.SetStatusCondition(&site.Status.Conditions, condition)
	if !changed && site.Status.Theme == before.Status.Theme && site.Status.ReadyReplicas == before.Status.ReadyReplicas &&
		site.Status.ObservedGeneration == before.Status.ObservedGeneration {
		return nil
	}
	return r.Status().Update(ctx, site)
}

package operator

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// byTheme is the index of Websites by the theme that they use.
const byTheme = "spec.theme"

// Reconciler makes websites so.
type Reconciler struct {
	client.Client
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
	if err := r.Get(ctx, request.NamespacedName, &site); err != nil || !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	theme := &metav1.PartialObjectMetadata{}
	theme.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	err := r.Get(ctx, client.ObjectKey{Namespace: site.Namespace, Name: site.Spec.Theme}, theme)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	colour := theme.Labels["colour"]
	text := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: site.Name + "-text", Namespace: site.Namespace}}
	_, err = controllerutil.CreateOrUpdate(ctx, r.Client, text, func() error {
		text.Data = map[string]string{"text": site.Spec.Text, "colour": colour}
		return controllerutil.SetControllerReference(&site, text, r.Scheme())
	})
	if err != nil || site.Status.Colour == colour && site.Status.ObservedGeneration == site.Generation {
		return ctrl.Result{}, err
	}
	site.Status = WebsiteStatus{ObservedGeneration: site.Generation, Colour: colour}
	return ctrl.Result{}, r.Status().Update(ctx, &site)
}

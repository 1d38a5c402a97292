package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// Finalizer keeps a WebServer until its Ingress is gone.
	Finalizer = "webserver.example.com/ingress"
	// Name is the field manager and the source of events.
	Name = "webserver-operator"
	// byHost is the index of sites by the host that they ask for.
	byHost = "host"
)

// Reconciler makes WebServers so.
type Reconciler struct {
	client.Client
	Events   events.EventRecorder
	Settings Settings
}

// SetUp registers the reconciler with a manager.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	host := func(object client.Object) []string { return []string{object.(*WebServer).HostIn(r.Settings.Domain)} }
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &WebServer{}, byHost, host); err != nil {
		return err
	}
	// The site of an object's name, whether it owns the object or somebody else does. `Owns` would only tell of the former.
	named := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(object)}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		For(&WebServer{}).
		Watches(&WebServer{}, handler.EnqueueRequestsFromMapFunc(r.rivalsOf)).
		Watches(&corev1.ConfigMap{}, named).
		Watches(&appsv1.Deployment{}, named).
		Watches(&corev1.Service{}, named).
		Watches(&netv1.Ingress{}, named).
		Complete(r)
}

// rivalsOf are the sites of the same host: a host that becomes free is somebody else's now.
func (r *Reconciler) rivalsOf(ctx context.Context, object client.Object) []reconcile.Request {
	rivals, err := r.rivals(ctx, object.(*WebServer))
	if err != nil {
		return nil
	}
	requests := make([]reconcile.Request, len(rivals))
	for i := range rivals {
		requests[i] = reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&rivals[i])}
	}
	return requests
}

func (r *Reconciler) rivals(ctx context.Context, site *WebServer) ([]WebServer, error) {
	var sites WebServerList
	err := r.List(ctx, &sites, client.MatchingFields{byHost: site.HostIn(r.Settings.Domain)})
	return sites.Items, err
}

// Reconcile brings one site closer to what is wanted.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var site WebServer
	if err := r.Get(ctx, request.NamespacedName, &site); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !site.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.withdraw(ctx, &site)
	}
	before := site.DeepCopy()
	if controllerutil.AddFinalizer(&site, Finalizer) {
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		return ctrl.Result{}, r.Patch(ctx, &site, patch)
	}
	verdict, err := r.serve(ctx, &site)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.report(ctx, &site, verdict)
}

// verdict is whether a spec can be served.
type verdict struct {
	reason, message string
}

// serve writes the objects of the site, unless it cannot be served.
func (r *Reconciler) serve(ctx context.Context, site *WebServer) (verdict, error) {
	host := site.HostIn(r.Settings.Domain)
	rivals, err := r.rivals(ctx, site)
	if err != nil {
		return verdict{}, err
	}
	says := verdict{reason: "Accepted"}
	taken, err := r.taken(ctx, site)
	if err != nil {
		return verdict{}, err
	}
	if taken != "" {
		says = verdict{"NameTaken", taken + " is somebody else's"}
	}
	for i := range rivals {
		if rivals[i].UID != site.UID && rivals[i].IsOlderThan(site) {
			says = verdict{"HostTaken", fmt.Sprintf("%s is the host of %s/%s", host, rivals[i].Namespace, rivals[i].Name)}
		}
	}
	if taken != "" {
		return says, nil
	}
	objects := []runtime.ApplyConfiguration{configMap(site), deployment(site, r.Settings), service(site)}
	if says.reason == "Accepted" {
		objects = append(objects, ingress(site, host))
	} else if _, err := r.deleteIngress(ctx, site); err != nil {
		return verdict{}, err
	}
	for _, object := range objects {
		if err := r.Apply(ctx, object, client.FieldOwner(Name), client.ForceOwnership); err != nil {
			return verdict{}, err
		}
	}
	return says, nil
}

// taken is the first object of the site's name that is somebody else's.
func (r *Reconciler) taken(ctx context.Context, site *WebServer) (string, error) {
	for _, object := range []client.Object{&corev1.ConfigMap{}, &appsv1.Deployment{}, &corev1.Service{}, &netv1.Ingress{}} {
		err := r.Get(ctx, client.ObjectKeyFromObject(site), object)
		if client.IgnoreNotFound(err) != nil {
			return "", err
		}
		if err == nil && !metav1.IsControlledBy(object, site) {
			kind, err := r.GroupVersionKindFor(object)
			return fmt.Sprintf("%s %s/%s", kind.Kind, site.Namespace, site.Name), err
		}
	}
	return "", nil
}

// deleteIngress deletes the site's Ingress; whether there is still one.
func (r *Reconciler) deleteIngress(ctx context.Context, site *WebServer) (bool, error) {
	var found netv1.Ingress
	err := r.Get(ctx, client.ObjectKeyFromObject(site), &found)
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(&found, site) {
		return false, nil
	}
	if err != nil || !found.DeletionTimestamp.IsZero() {
		return true, err
	}
	return true, client.IgnoreNotFound(r.Delete(ctx, &found, client.Preconditions{UID: &found.UID}))
}

// withdraw lets the Ingress go first; when it is gone, the garbage collector may take the rest.
func (r *Reconciler) withdraw(ctx context.Context, site *WebServer) error {
	// The watch of Ingresses tells when it is gone.
	if remains, err := r.deleteIngress(ctx, site); remains || err != nil {
		return err
	}
	before := site.DeepCopy()
	if !controllerutil.RemoveFinalizer(site, Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(r.Patch(ctx, site, patch))
}

// report writes the status, unless it is so already, and an event with a refusal.
func (r *Reconciler) report(ctx context.Context, site *WebServer, says verdict) error {
	before := site.DeepCopy()
	var deployed appsv1.Deployment
	if err := r.Get(ctx, client.ObjectKeyFromObject(site), &deployed); client.IgnoreNotFound(err) != nil {
		return err
	}
	status := &site.Status
	status.ObservedGeneration, status.URL, status.ReadyReplicas = site.Generation, "", 0
	if metav1.IsControlledBy(&deployed, site) {
		status.ReadyReplicas = deployed.Status.ReadyReplicas
	}
	isAccepted := says.reason == "Accepted"
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "NotAccepted", Message: "the spec cannot be served"}
	if isAccepted {
		status.URL = "http://" + site.HostIn(r.Settings.Domain) + "/"
		ready = readiness(&deployed, *site.Spec.Replicas)
	}
	accepted := metav1.Condition{Type: "Accepted", Status: metav1.ConditionFalse, Reason: says.reason, Message: says.message}
	if isAccepted {
		accepted.Status = metav1.ConditionTrue
	}
	accepted.ObservedGeneration, ready.ObservedGeneration = site.Generation, site.Generation
	if meta.SetStatusCondition(&status.Conditions, accepted) && !isAccepted {
		r.Events.Eventf(site, nil, corev1.EventTypeWarning, says.reason, says.reason, "%s", says.message)
	}
	meta.SetStatusCondition(&status.Conditions, ready)
	if equality.Semantic.DeepEqual(before.Status, site.Status) {
		return nil
	}
	return r.Status().Update(ctx, site)
}

func readiness(deployed *appsv1.Deployment, wants int32) metav1.Condition {
	ready := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse}
	status := &deployed.Status
	isCurrent := deployed.UID != "" && status.ObservedGeneration >= deployed.Generation
	isComplete := isCurrent && status.UpdatedReplicas >= wants && status.AvailableReplicas >= wants && status.Replicas == wants
	var stuck *appsv1.DeploymentCondition
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		if condition.Type == appsv1.DeploymentProgressing && condition.Status == corev1.ConditionFalse ||
			condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			stuck = condition
		}
	}
	switch {
	case wants == 0:
		ready.Reason, ready.Message = "NoReplicas", "no pods are wanted"
	case isComplete:
		ready.Status, ready.Reason = metav1.ConditionTrue, "Serving"
	case isCurrent && stuck != nil:
		ready.Reason, ready.Message = "Stuck", stuck.Message
	default:
		ready.Reason = "Deploying"
		ready.Message = fmt.Sprintf("%d of %d pods serve the page", min(status.UpdatedReplicas, status.AvailableReplicas), wants)
	}
	return ready
}

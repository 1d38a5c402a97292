// Package main is the WebServer operator with controller-runtime.
package main

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is where the kind WebServer lives.
var GroupVersion = schema.GroupVersion{Group: "webserver.example.com", Version: "v1"}

// AddToScheme makes the kind known.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &WebServer{}, &WebServerList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// WebServer is a page in, a running site out.
type WebServer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   WebServerSpec   `json:"spec"`
	Status WebServerStatus `json:"status,omitempty"`
}

// WebServerSpec is what is wanted.
type WebServerSpec struct {
	// WWW is the page, as HTML.
	WWW string `json:"www"`
	// Replicas is how many pods serve it.
	Replicas *int32 `json:"replicas,omitempty"`
	// Host is the host name of the site; without one it is NAME.NAMESPACE of the operator's domain.
	Host string `json:"host,omitempty"`
}

// WebServerStatus is what is there.
type WebServerStatus struct {
	URL                string             `json:"url,omitempty"`
	ReadyReplicas      int32              `json:"readyReplicas"`
	ObservedGeneration int64              `json:"observedGeneration"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// WebServerList is a list of them.
type WebServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []WebServer `json:"items"`
}

// DeepCopyObject is a copy that shares nothing.
func (w *WebServer) DeepCopyObject() runtime.Object { return w.DeepCopy() }

// DeepCopy is a copy that shares nothing.
func (w *WebServer) DeepCopy() *WebServer {
	out := *w
	out.ObjectMeta = *w.ObjectMeta.DeepCopy()
	if w.Spec.Replicas != nil {
		replicas := *w.Spec.Replicas
		out.Spec.Replicas = &replicas
	}
	out.Status.Conditions = append([]metav1.Condition(nil), w.Status.Conditions...)
	return &out
}

// DeepCopyObject is a copy that shares nothing.
func (l *WebServerList) DeepCopyObject() runtime.Object {
	out := *l
	out.Items = make([]WebServer, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopy()
	}
	return &out
}

// HostIn is the host name that the site asks for.
func (w *WebServer) HostIn(domain string) string {
	if w.Spec.Host != "" {
		return w.Spec.Host
	}
	return w.Name + "." + w.Namespace + "." + domain
}

// IsOlderThan tells who of two that ask for the same host has it: the older one, of two of the same second the one whose
// namespace and name come first.
func (w *WebServer) IsOlderThan(other *WebServer) bool {
	if w.CreationTimestamp.Equal(&other.CreationTimestamp) {
		return cmp.Or(cmp.Compare(w.Namespace, other.Namespace), cmp.Compare(w.Name, other.Name)) < 0
	}
	return w.CreationTimestamp.Before(&other.CreationTimestamp)
}

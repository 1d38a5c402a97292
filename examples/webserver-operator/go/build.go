package main

import (
	"crypto/sha256"
	"encoding/hex"

	"k8s.io/apimachinery/pkg/util/intstr"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	netapply "k8s.io/client-go/applyconfigurations/networking/v1"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
)

// page is the annotation of the pods: hash of the page, so that another page makes other pods.
const page = "webserver.example.com/page"

// Settings are what the operator is told when it starts.
type Settings struct {
	Domain, Image string
}

func labels(site *WebServer) map[string]string {
	return map[string]string{"app.kubernetes.io/name": "webserver", "app.kubernetes.io/instance": site.Name}
}

func owner(site *WebServer) *metaapply.OwnerReferenceApplyConfiguration {
	return metaapply.OwnerReference().WithAPIVersion(GroupVersion.String()).WithKind("WebServer").
		WithName(site.Name).WithUID(site.UID).WithController(true).WithBlockOwnerDeletion(true)
}

func configMap(site *WebServer) *coreapply.ConfigMapApplyConfiguration {
	return coreapply.ConfigMap(site.Name, site.Namespace).WithLabels(labels(site)).WithOwnerReferences(owner(site)).
		WithData(map[string]string{"index.html": site.Spec.WWW})
}

func deployment(site *WebServer, settings Settings) *appsapply.DeploymentApplyConfiguration {
	sum := sha256.Sum256([]byte(site.Spec.WWW))
	httpd := coreapply.Container().WithName("httpd").WithImage(settings.Image).
		WithCommand("httpd", "-f", "-p", "8080", "-h", "/www").
		WithPorts(coreapply.ContainerPort().WithName("http").WithContainerPort(8080)).
		WithReadinessProbe(coreapply.Probe().WithPeriodSeconds(1).
			WithHTTPGet(coreapply.HTTPGetAction().WithPath("/").WithPort(intstr.FromString("http")))).
		WithSecurityContext(coreapply.SecurityContext().WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true)).
		WithVolumeMounts(coreapply.VolumeMount().WithName("www").WithMountPath("/www"))
	pod := coreapply.PodSpec().WithContainers(httpd).WithTerminationGracePeriodSeconds(2).
		WithSecurityContext(coreapply.PodSecurityContext().WithRunAsNonRoot(true).WithRunAsUser(65534)).
		WithVolumes(coreapply.Volume().WithName("www").
			WithConfigMap(coreapply.ConfigMapVolumeSource().WithName(site.Name)))
	template := coreapply.PodTemplateSpec().WithLabels(labels(site)).
		WithAnnotations(map[string]string{page: hex.EncodeToString(sum[:])}).WithSpec(pod)
	return appsapply.Deployment(site.Name, site.Namespace).WithLabels(labels(site)).WithOwnerReferences(owner(site)).
		WithSpec(appsapply.DeploymentSpec().WithReplicas(*site.Spec.Replicas).WithTemplate(template).
			WithSelector(metaapply.LabelSelector().WithMatchLabels(labels(site))))
}

func service(site *WebServer) *coreapply.ServiceApplyConfiguration {
	port := coreapply.ServicePort().WithName("http").WithPort(80).WithProtocol(corev1.ProtocolTCP).
		WithTargetPort(intstr.FromString("http"))
	return coreapply.Service(site.Name, site.Namespace).WithLabels(labels(site)).WithOwnerReferences(owner(site)).
		WithSpec(coreapply.ServiceSpec().WithSelector(labels(site)).WithPorts(port))
}

func ingress(site *WebServer, host string) *netapply.IngressApplyConfiguration {
	backend := netapply.IngressBackend().WithService(netapply.IngressServiceBackend().WithName(site.Name).
		WithPort(netapply.ServiceBackendPort().WithName("http")))
	path := netapply.HTTPIngressPath().WithPath("/").WithPathType(netv1.PathTypePrefix).WithBackend(backend)
	return netapply.Ingress(site.Name, site.Namespace).WithLabels(labels(site)).WithOwnerReferences(owner(site)).
		WithSpec(netapply.IngressSpec().WithRules(netapply.IngressRule().WithHost(host).
			WithHTTP(netapply.HTTPIngressRuleValue().WithPaths(path))))
}

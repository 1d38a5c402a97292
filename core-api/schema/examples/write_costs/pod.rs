//! A pod and the part of its schema that it uses.

use proa_schema::{
    Field, ListShape, ListType, ObjectShape, Omit, Schema, SchemaRef, Shape, schema::MapShape,
};
use serde_json::{Value, json};

fn field(schema: Schema) -> Field {
    Field { omit: Omit::Empty, ..Field::new(SchemaRef::inline(schema)) }
}

fn object(fields: Vec<(&str, Schema)>) -> Schema {
    let fields = fields.into_iter().map(|(name, schema)| (name.into(), field(schema))).collect();
    Schema::of(Shape::Object(ObjectShape { fields, ..ObjectShape::default() }))
}

fn scalars(names: &[&'static str]) -> Vec<(&'static str, Schema)> {
    names.iter().map(|&name| (name, Schema::of(Shape::IntOrString))).collect()
}

fn list(items: Schema, keys: &[&str]) -> Schema {
    let list_type = match keys {
        [] => ListType::Atomic,
        keys => ListType::Map(keys.iter().map(|&key| key.into()).collect()),
    };
    Schema::of(Shape::List(ListShape { items: SchemaRef::inline(items), list_type }))
}

fn map() -> Schema {
    let values = SchemaRef::inline(Schema::of(Shape::String));
    Schema::of(Shape::Map(MapShape { values, atomic: false }))
}

/// The schema.
pub(crate) fn schema() -> Schema {
    let any = Schema::default;
    let mut metadata = scalars(&["name", "namespace", "uid", "generateName"]);
    metadata.extend([("labels", map()), ("annotations", map()), ("ownerReferences", list(any(), &["uid"]))]);
    let env = object(scalars(&["name", "value"]));
    let port = object(scalars(&["containerPort", "protocol", "name"]));
    let mut probe = scalars(&[
        "initialDelaySeconds",
        "periodSeconds",
        "timeoutSeconds",
        "successThreshold",
        "failureThreshold",
    ]);
    probe.push(("httpGet", object(scalars(&["path", "port", "scheme"]))));
    let mut container =
        scalars(&["name", "image", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"]);
    container.extend([
        ("env", list(env, &["name"])),
        ("ports", list(port, &["containerPort", "protocol"])),
        ("resources", object(vec![("limits", map()), ("requests", map())])),
        ("volumeMounts", list(object(scalars(&["name", "mountPath", "readOnly"])), &["mountPath"])),
        ("livenessProbe", object(probe.clone())),
        ("readinessProbe", object(probe)),
        ("args", list(any(), &[])),
    ]);
    let mut spec = scalars(&[
        "dnsPolicy",
        "enableServiceLinks",
        "restartPolicy",
        "schedulerName",
        "nodeName",
        "serviceAccountName",
        "preemptionPolicy",
        "priority",
        "terminationGracePeriodSeconds",
    ]);
    spec.extend([
        ("containers", list(object(container), &["name"])),
        ("tolerations", list(any(), &[])),
        ("volumes", list(object(vec![("name", Schema::of(Shape::String)), ("projected", any())]), &["name"])),
        ("securityContext", object(vec![])),
    ]);
    let condition = object(scalars(&[
        "type",
        "status",
        "lastProbeTime",
        "lastTransitionTime",
        "observedGeneration",
        "message",
        "reason",
    ]));
    let mut status = scalars(&["phase", "hostIP", "podIP", "qosClass", "startTime", "observedGeneration"]);
    status.extend([
        ("conditions", list(condition, &["type"])),
        ("containerStatuses", list(any(), &[])),
        ("podIPs", list(object(scalars(&["ip"])), &["ip"])),
        ("hostIPs", list(any(), &[])),
    ]);
    let mut root = scalars(&["apiVersion", "kind"]);
    root.extend([("metadata", object(metadata)), ("spec", object(spec)), ("status", object(status))]);
    object(root)
}

/// A new pod with defaults.
fn pod_of(containers: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-5d4f8c7b9-abcde", "namespace": "default", "generateName": "web-5d4f8c7b9-",
            "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9", "tier": "front"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9",
                "uid": "0f3e5a52-9d2f-4a55-8f4e-3a8d8a8e8f01", "controller": true, "blockOwnerDeletion": true}]},
        "spec": {"dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "nodeName": "node-1", "serviceAccountName": "default",
            "preemptionPolicy": "PreemptLowerPriority", "priority": 0, "terminationGracePeriodSeconds": 30,
            "securityContext": {},
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "volumes": [{"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]}}],
            "containers": containers}
    })
}

/// A new pod with two containers.
pub(crate) fn new_pod() -> Value {
    let probe = |path: &str| {
        json!({"httpGet": {"path": path, "port": 8080, "scheme": "HTTP"}, "initialDelaySeconds": 5,
        "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3})
    };
    let container = |name: &str| {
        json!({"name": name, "image": "registry.k8s.io/web:1.2.3", "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "args": ["--port", "8080"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
        "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}],
        "livenessProbe": probe("/live"), "readinessProbe": probe("/ready")})
    };
    pod_of(&json!([container("main"), container("side")]))
}

/// A status as the node agent writes it.
pub(crate) fn status(ready: &str) -> Value {
    let condition = |name: &str, status: &str| {
        json!({"type": name, "status": status, "lastProbeTime": null,
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
    };
    let container = |name: &str| {
        json!({"name": name, "ready": ready == "True", "restartCount": 0, "started": true,
        "image": "registry.k8s.io/web:1.2.3", "imageID": "sha256:0123456789abcdef", "containerID": "containerd://0123456789abcdef",
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "lastState": {}})
    };
    json!({"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.244.0.5", "qosClass": "Burstable", "startTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1, "podIPs": [{"ip": "10.244.0.5"}], "hostIPs": [{"ip": "10.0.0.1"}],
        "conditions": [condition("PodReadyToStartContainers", "True"), condition("Initialized", "True"), condition("Ready", ready),
            condition("ContainersReady", ready), condition("PodScheduled", "True")],
        "containerStatuses": [container("main"), container("side")]})
}

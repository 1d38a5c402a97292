//! Work for every operator: objects that each of them has to do something about, and what they are in the end.

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::Client;
use proa_test_cluster::Written;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One place in an object and what stands there in the end; null: anything.
struct Expected(String, String, Value);

/// What a namespace of work is about.
pub(super) struct Work<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
}

impl Work<'_> {
    async fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> kube::Result<Value> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, kind)
            .body(body.to_string().into_bytes());
        let text = self.client.request_text(request.map_err(kube::Error::HttpError)?).await?;
        serde_json::from_str(&text).map_err(kube::Error::SerdeError)
    }
    async fn create(&self, collection: &str, object: Value) -> Value {
        self.send("POST", &self.path(collection), "application/json", &object).await.unwrap()
    }
    async fn patch(&self, path: &str, patch: Value) {
        self.send("PATCH", &self.path(path), "application/merge-patch+json", &patch).await.unwrap();
    }
    /// What is not there need not be deleted.
    async fn delete(&self, path: &str) {
        let outcome = self.send("DELETE", &self.path(path), "application/json", &json!({})).await;
        assert!(outcome.is_ok() || matches!(&outcome, Err(kube::Error::Api(status)) if status.code == 404));
    }
    /// A path without a slash at its start is one of the namespace: `apps/v1:deployments`.
    fn path(&self, path: &str) -> String {
        if path.starts_with('/') {
            return path.to_owned();
        }
        let (version, rest) = path.split_once(':').unwrap();
        let root = if version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{version}/namespaces/{}/{rest}", self.namespace)
    }
    fn own(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Makes the objects.
    pub(super) async fn give(&self) {
        let (ns, going, class) = (self.namespace, self.own("going"), self.own("class"));
        for name in [ns, &going] {
            self.create("/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
        }
        let left = format!("/api/v1/namespaces/{going}/configmaps");
        self.create(&left, json!({"metadata": {"name": "left"}})).await;
        self.delete(&format!("/api/v1/namespaces/{going}")).await;
        let nobody = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "nobody"}]);
        let orphan = json!({"metadata": {"name": "orphan", "ownerReferences": nobody}});
        self.create("v1:configmaps", orphan).await;
        let quota = json!({"metadata": {"name": "quota"}, "spec": {"hard": {"configmaps": "100"}}});
        self.create("v1:resourcequotas", quota).await;
        self.node().await;
        for number in 0..2 {
            let volume = json!({"metadata": {"name": self.own(&number.to_string())}, "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
                "hostPath": {"path": "/nowhere"}}});
            self.create("/api/v1/persistentvolumes", volume).await;
        }
        self.workloads(&class).await;
        self.request().await;
        self.token().await;
        let migration = json!({"metadata": {"name": self.own("migration")},
            "spec": {"resource": {"group": "", "resource": "limitranges"}}});
        self.create("/apis/storagemigration.k8s.io/v1/storageversionmigrations", migration).await;
        // What a cluster has once is made anew.
        self.delete("/apis/networking.k8s.io/v1/ingressclasses/proa").await;
        self.delete("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregated-metrics-reader").await;
    }
    /// A node that runs short of memory.
    async fn node(&self) {
        let name = self.own("node");
        let taints = json!([{"key": "work", "value": "none", "effect": "NoSchedule"}]);
        let node = json!({"metadata": {"name": name}, "spec": {"taints": taints}});
        self.create("/api/v1/nodes", node).await;
        let condition = |kind: &str| json!({"type": kind, "status": "True"});
        let status = json!({"status": {"conditions": [condition("Ready"), condition("MemoryPressure")]}});
        self.patch(&format!("/api/v1/nodes/{name}/status"), status).await;
    }
    /// A signing request that somebody approved.
    async fn request(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "jane");
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        let name = self.own("request");
        let mut request = json!({"metadata": {"name": name}, "spec": {"request": BASE64_STANDARD.encode(pem),
            "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}});
        let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        request = self.create(requests, request).await;
        let approved = json!({"type": "Approved", "status": "True", "reason": "Test", "message": "approved"});
        request["status"]["conditions"] = json!([approved]);
        let path = format!("{requests}/{name}/approval");
        self.send("PUT", &path, "application/json", &request).await.unwrap();
    }
    /// A token that signs for the cluster.
    async fn token(&self) {
        let info = json!({"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": "apiVersion: v1"}});
        let path = "/api/v1/namespaces/kube-public/configmaps";
        let outcome = self.send("POST", path, "application/json", &info).await;
        assert!(outcome.is_ok() || matches!(&outcome, Err(kube::Error::Api(status)) if status.code == 409));
        let token = json!({"metadata": {"name": format!("bootstrap-token-{}", self.token_id())},
            "type": "bootstrap.kubernetes.io/token", "stringData": {"token-id": self.token_id(),
                "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true"}});
        self.create("/api/v1/namespaces/kube-system/secrets", token).await;
    }
    /// Six characters, as ids of tokens have.
    fn token_id(&self) -> String {
        format!("{:0<6}", self.namespace)
    }
    async fn workloads(&self, class: &str) {
        let set = |name: &str, replicas: u32| {
            json!({"metadata": {"name": name}, "spec": {"replicas": replicas,
                "selector": {"matchLabels": {"app": name}}, "template": template(name)}})
        };
        let budget = json!({"metadata": {"name": "budget"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "rs"}}}});
        self.create("policy/v1:poddisruptionbudgets", budget).await;
        let service = json!({"metadata": {"name": "web"},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}});
        self.create("v1:services", service).await;
        self.create("apps/v1:deployments", set("web", 2)).await;
        self.create("apps/v1:deployments", set("scaled", 1)).await;
        self.create("apps/v1:replicasets", set("rs", 3)).await;
        let mut controller = set("rc", 1);
        controller["spec"]["selector"] = json!({"app": "rc"});
        self.create("v1:replicationcontrollers", controller).await;
        let mut daemons = set("ds", 0);
        daemons["spec"]["replicas"].take();
        self.create("apps/v1:daemonsets", daemons).await;
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}});
        let mut database = set("db", 2);
        database["spec"]["volumeClaimTemplates"] = json!([claim]);
        self.create("apps/v1:statefulsets", database).await;
        let scaler = json!({"metadata": {"name": "scaler"}, "spec": {"minReplicas": 2, "maxReplicas": 4,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"}}});
        self.create("autoscaling/v2:horizontalpodautoscalers", scaler).await;
        let work =
            json!({"completionMode": "Indexed", "completions": 3, "parallelism": 2, "template": ends()});
        self.create("batch/v1:jobs", json!({"metadata": {"name": "work"}, "spec": work})).await;
        // Its jobs are not kept: the one that it is said to have made is to go once it is over.
        let tick = json!({"metadata": {"name": "tick"}, "spec": {"schedule": "0 0 1 1 *", "suspend": true,
            "successfulJobsHistoryLimit": 0, "jobTemplate": {"spec": {"template": ends()}}}});
        let tick = self.create("batch/v1:cronjobs", tick).await;
        let owner = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "controller": true,
            "uid": tick["metadata"]["uid"]}]);
        let job =
            json!({"metadata": {"name": "tick-1", "ownerReferences": owner}, "spec": {"template": ends()}});
        self.create("batch/v1:jobs", job).await;
    }

    fn expected(&self) -> Vec<Expected> {
        let mut expected = self.of_namespace();
        let exists = |path: String, place: String| Expected(path, place, Value::Null);
        let signature = format!("/data/jws-kubeconfig-{}", self.token_id());
        expected.extend([
            exists("/api/v1/namespaces/kube-public/configmaps/cluster-info".to_owned(), signature),
            exists(
                format!(
                    "/apis/storagemigration.k8s.io/v1/storageversionmigrations/{}",
                    self.own("migration")
                ),
                "/status/conditions/0/type".to_owned(),
            ),
            exists(format!("/api/v1/nodes/{}", self.own("node")), "/spec/podCIDR".to_owned()),
        ]);
        expected
    }
    fn of_namespace(&self) -> Vec<Expected> {
        let is = |path: &str, place: &str, value| Expected(self.path(path), place.to_owned(), value);
        let gone = |path: &str| is(path, "/code", json!(404));
        let request = self.own("request");
        vec![
            is(
                &format!("/apis/certificates.k8s.io/v1/certificatesigningrequests/{request}"),
                "/status/certificate",
                Value::Null,
            ),
            is("v1:serviceaccounts/default", "/metadata/name", json!("default")),
            is("v1:configmaps/kube-root-ca.crt", "/metadata/name", json!("kube-root-ca.crt")),
            gone(&format!("/api/v1/namespaces/{}", self.own("going"))),
            gone("v1:configmaps/orphan"),
            is("v1:resourcequotas/quota", "/status/used/configmaps", json!("1")),
            is("policy/v1:poddisruptionbudgets/budget", "/status/currentHealthy", json!(3)),
            is("apps/v1:deployments/web", "/status/availableReplicas", json!(2)),
            is("apps/v1:deployments/scaled", "/spec/replicas", json!(2)),
            is("apps/v1:deployments/scaled", "/status/availableReplicas", json!(2)),
            is("apps/v1:replicasets/rs", "/status/availableReplicas", json!(3)),
            is("v1:replicationcontrollers/rc", "/status/availableReplicas", json!(1)),
            is("apps/v1:daemonsets/ds", "/status/numberAvailable", json!(2)),
            is("apps/v1:statefulsets/db", "/status/availableReplicas", json!(2)),
            is("v1:persistentvolumeclaims/data-db-1", "/status/phase", json!("Bound")),
            is("batch/v1:jobs/work", "/status/succeeded", json!(3)),
            is("batch/v1:jobs/work", "/status/completedIndexes", json!("0-2")),
            is("batch/v1:jobs/work", "/status/uncountedTerminatedPods", json!({})),
            gone("batch/v1:jobs/tick-1"),
            is("v1:services/web", "/status/loadBalancer/ingress/0/ipMode", json!("VIP")),
            is("v1:endpoints/web", "/subsets/0/addresses/1/targetRef/kind", json!("Pod")),
            is(
                &format!("/api/v1/nodes/{}", self.own("node")),
                "/spec/taints/1/key",
                json!("node.kubernetes.io/memory-pressure"),
            ),
            is("/apis/networking.k8s.io/v1/ingressclasses/proa", "/metadata/name", json!("proa")),
            is(
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:aggregated-metrics-reader",
                "/metadata/name",
                json!("system:aggregated-metrics-reader"),
            ),
        ]
    }

    /// What is not yet as it is to be, if anything.
    pub(super) async fn missing(&self) -> Option<String> {
        for Expected(path, place, wanted) in self.expected() {
            let found = match self.send("GET", &path, "application/json", &json!({})).await {
                Ok(object) => object,
                Err(kube::Error::Api(status)) => json!({"code": status.code, "message": status.message}),
                Err(error) => return Some(format!("{path}: {error}")),
            };
            let is_there = found.pointer(&place).is_some_and(|found| wanted.is_null() || *found == wanted);
            if !is_there {
                return Some(format!("{path}: {place} is not {wanted}: {found}"));
            }
        }
        None
    }

    /// How often things were made, by collection and owner: nothing that has been made is made again.
    pub(super) fn made(&self, written: &[Written]) -> BTreeMap<(String, String), usize> {
        let mut made = BTreeMap::new();
        let within = format!("/namespaces/{}/", self.namespace);
        for write in written.iter().filter(|write| write.method == "POST") {
            let Some((_, collection)) = write.path.split_once(&within) else { continue };
            if collection.contains('/') {
                continue;
            }
            let name = match collection {
                "pods" | "replicasets" | "endpointslices" | "controllerrevisions" => owner(&write.name),
                _ => write.name.clone(),
            };
            *made.entry((collection.to_owned(), name)).or_default() += 1;
        }
        made
    }
}

/// A name without what the server or a hash of a template gives it; ordinals and indices stay.
fn owner(name: &str) -> String {
    let given = |part: &str| part.len() >= 5 || part.is_empty();
    name.split('-').filter(|part| !given(part) || *part == "scaled").collect::<Vec<_>>().join("-")
}

fn template(name: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}]}})
}

fn ends() -> Value {
    let mut template = template("job");
    template["spec"]["restartPolicy"] = json!("Never");
    template
}

/// What the whole work makes.
pub(super) fn made_once() -> BTreeMap<(String, String), usize> {
    [
        ("pods", "web", 2),
        ("pods", "scaled", 2),
        ("pods", "rs", 3),
        ("pods", "rc", 1),
        ("pods", "ds", 2),
        ("pods", "db-0", 1),
        ("pods", "db-1", 1),
        ("pods", "work-0", 1),
        ("pods", "work-1", 1),
        ("pods", "work-2", 1),
        ("pods", "tick-1", 1),
        ("replicasets", "web", 1),
        ("replicasets", "scaled", 1),
        ("controllerrevisions", "ds", 1),
        ("controllerrevisions", "db", 1),
        ("persistentvolumeclaims", "data-db-0", 1),
        ("persistentvolumeclaims", "data-db-1", 1),
        ("endpointslices", "web", 1),
        ("endpoints", "web", 1),
        ("serviceaccounts", "default", 1),
        ("configmaps", "kube-root-ca.crt", 1),
    ]
    .into_iter()
    .map(|(collection, name, times)| ((collection.to_owned(), name.to_owned()), times))
    .collect()
}

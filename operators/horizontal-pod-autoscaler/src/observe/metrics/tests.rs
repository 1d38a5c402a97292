//! Which paths are asked, and what is read of the answers.

use super::*;
use proa_kit::{CachePool, testing::server::recording};
use serde_json::{Value, json};

const POD: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/hits%2Fs\
                   ?labelSelector=app%3Dweb%2Cx&metricLabelSelector=verb%20in%20%28GET%29";

fn answer(path: &str) -> (u16, Value) {
    let value = |name: &str, value: &str| {
        json!({"describedObject": {"kind": "Pod", "name": name}, "timestamp": "2026-01-01T00:00:00Z",
            "windowSeconds": 30, "value": value})
    };
    let list = |items: Value| (200, json!({"items": items}));
    match path {
        "/apis/custom.metrics.k8s.io" => {
            (200, json!({"versions": [{"version": "v1beta1"}, {"version": "v1beta2"}]}))
        }
        POD => list(json!([value("a", "1500m"), value("b", "2")])),
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/deployments.apps/web/hits" => {
            list(json!([value("web", "7")]))
        }
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/metrics/hits" => {
            list(json!([value("shop", "9")]))
        }
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/many/hits" => {
            list(json!([value("a", "1"), value("b", "2")]))
        }
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue?labelSelector=q%3Da" => {
            list(json!([{"value": "1"}, {"value": "2500m"}]))
        }
        "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=app%3Dweb%2Cx" => {
            let pod = |name: &str, containers: Value| {
                json!({"metadata": {"name": name}, "timestamp": "2026-01-01T00:00:00Z", "window": "1m15.5s",
                    "containers": containers})
            };
            let of = |name: &str, usage: Value| json!({"name": name, "usage": usage});
            list(json!([
                pod("a", json!([of("c", json!({"cpu": "100m"})), of("d", json!({"cpu": "1500n"}))])),
                pod("b", json!([of("c", json!({"cpu": "200m"})), of("d", json!({"memory": "1Mi"}))])),
                pod("c", json!([])),
            ]))
        }
        _ => (
            404,
            json!({"kind": "Status", "code": 404, "status": "Failure", "reason": "NotFound",
            "message": format!("nothing at {path}")}),
        ),
    }
}

async fn read_metric(metric: Value) -> Result<Reading, String> {
    let client = recording(std::sync::Arc::default(), |_, received| answer(&received.path));
    let reader = Reader::new(client.clone(), CachePool::own(client));
    let autoscaler = json!({"metadata": {"name": "web", "namespace": "shop"}});
    let autoscaler = serde_json::from_str(&autoscaler.to_string()).unwrap();
    let metric: MetricSpec = serde_json::from_str(&metric.to_string()).unwrap();
    read(&reader, &autoscaler, &metric, "app=web,x", &Memory::default()).await
}

fn values(pods: &Result<Reading, String>) -> Vec<(&str, i64, i64)> {
    let Ok(Reading::Pods(pods)) = pods else { panic!("{pods:?}") };
    pods.iter().map(|(pod, sample)| (&**pod, sample.value, sample.window)).collect()
}

#[tokio::test]
async fn metrics_of_pods() {
    let selector = json!({"matchExpressions": [{"key": "verb", "operator": "In", "values": ["GET"]}]});
    let metric = json!({"type": "Pods", "pods": {"metric": {"name": "hits/s", "selector": selector}}});
    assert_eq!(values(&read_metric(metric).await), [("a", 1500, 30), ("b", 2000, 30)]);
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu"}});
    // Of the others not every container is known, or none.
    assert_eq!(values(&read_metric(cpu).await), [("a", 101, 75)]);
    let container =
        json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c"}});
    assert_eq!(values(&read_metric(container).await), [("a", 100, 75), ("b", 200, 75)]);
}

#[tokio::test]
async fn metrics_of_objects_and_from_outside() {
    let object = |kind: &str, version: &str, name: &str| {
        let of = json!({"kind": kind, "apiVersion": version, "name": name});
        json!({"type": "Object", "object": {"describedObject": of, "metric": {"name": "hits"}}})
    };
    assert_eq!(read_metric(object("Deployment", "apps/v1", "web")).await, Ok(Reading::Values(vec![7000])));
    // Of its own namespace, whichever is named.
    assert_eq!(read_metric(object("Namespace", "v1", "other")).await, Ok(Reading::Values(vec![9000])));
    assert_eq!(
        read_metric(object("Pod", "v1", "many")).await,
        Err("unable to get metric hits on Pod shop/many: unable to fetch metrics from custom metrics API: the custom \
             metrics API server returned 2 results when we asked for exactly one"
            .to_owned())
    );
    let outside = |name: &str| json!({"type": "External", "external": {"metric": {"name": name, "selector": {"matchLabels": {"q": "a"}}}}});
    assert_eq!(read_metric(outside("queue")).await, Ok(Reading::Values(vec![1000, 2500])));
    let missing = read_metric(outside("other")).await.unwrap_err();
    assert!(
        missing.starts_with(
            "unable to get external metric shop/other/&LabelSelector{MatchLabels:map[string]string{q: a,},"
        ),
        "{missing}"
    );
    assert!(
        missing.contains(": unable to fetch metrics from external metrics API: nothing at "),
        "{missing}"
    );
}

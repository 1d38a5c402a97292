//! Pods that change while they run: ephemeral containers and resources.

use super::*;
use k8s_openapi::api::core::v1::{Node, PodCondition};

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

fn cpu(pod: &Pod) -> Option<String> {
    Some(first(pod).resources?.requests?.get("cpu")?.0.clone())
}

impl World {
    async fn resize(&self, name: &str, resources: &Value) {
        let patch = json!({"spec": {"containers": [{"name": "app", "resources": resources}]}});
        let params = PatchParams::default();
        self.api().patch_subresource("resize", name, &params, &Patch::Strategic(patch)).await.unwrap();
    }
    /// A node that its pods can be admitted to.
    async fn with_node(cpu: &str) -> Self {
        let world = Self::start().await;
        let nodes: Api<Node> = Api::all(world.cluster.admin());
        let node = serde_json::from_value(json!({"metadata": {"name": NODE}})).unwrap();
        nodes.create(&PostParams::default(), &node).await.unwrap();
        let status = json!({"status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "9"}}});
        nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        world
    }
}

fn asking(cpu: &str) -> Value {
    let mut spec = app(&json!(["run"]));
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_container_joins_a_pod_that_runs() {
    let world = World::start().await;
    world.create("a", app(&json!(["run"]))).await;
    let before = world.until("a", "ready", is_ready).await;
    let container =
        json!({"name": "debug", "image": "d:1", "args": ["exit", "3"], "targetContainerName": "app"});
    let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [container]}}));
    world.api().patch_subresource("ephemeralcontainers", "a", &PatchParams::default(), &patch).await.unwrap();
    let ended = |pod: &Pod| {
        let statuses = pod.status.as_ref().and_then(|status| status.ephemeral_container_statuses.as_ref());
        let state = statuses.and_then(|statuses| statuses.first()?.state.clone());
        state.is_some_and(|state| state.terminated.is_some_and(|ended| ended.exit_code == 3))
    };
    let pod = world.until("a", "done with debugging", ended).await;
    assert_eq!(pod.metadata.generation, Some(2));
    assert_eq!(first(&pod), first(&before), "the others go on");
    assert!(is_ready(&pod));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_change_in_place_and_by_restart() {
    let world = World::with_node("2").await;
    let mut spec = asking("100m");
    spec["containers"][0]["resizePolicy"] =
        json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    world.create("a", spec).await;
    let before = first(&world.until("a", "ready", is_ready).await);
    let settled = |pod: &Pod| {
        condition(pod, "PodResizeInProgress").is_none()
            && is_ready(pod)
            && pod.status.as_ref().and_then(|status| status.observed_generation) == pod.metadata.generation
    };

    world.resize("a", &json!({"requests": {"cpu": "200m"}})).await;
    let resized = |pod: &Pod| settled(pod) && cpu(pod).as_deref() == Some("200m");
    let pod = world.until("a", "resized", resized).await;
    assert_eq!(first(&pod).container_id, before.container_id);
    assert_eq!(first(&pod).allocated_resources.unwrap()["cpu"].0, "200m");
    assert_eq!(pod.status.unwrap().allocated_resources.unwrap()["cpu"].0, "200m");
    assert_eq!(world.count("update_container"), 1);

    world.resize("a", &json!({"requests": {"memory": "64Mi"}})).await;
    let restarted = |pod: &Pod| settled(pod) && first(pod).restart_count == 1;
    let pod = world.until("a", "restarted", restarted).await;
    assert_ne!(first(&pod).container_id, before.container_id);
    assert_eq!(first(&pod).resources.unwrap().requests.unwrap()["memory"].0, "64Mi");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_waits_until_there_is_room() {
    let mut world = World::with_node("1").await;
    for name in ["a", "b"] {
        world.create(name, asking("400m")).await;
        world.until(name, "ready", is_ready).await;
    }
    world.resize("a", &json!({"requests": {"cpu": "2"}})).await;
    let waits = |pod: &Pod, reason: &str| {
        condition(pod, "PodResizePending").is_some_and(|c| c.reason.as_deref() == Some(reason))
    };
    world.until("a", "too large", |pod| waits(pod, "Infeasible")).await;
    world.resize("a", &json!({"requests": {"cpu": "700m"}})).await;
    let pod = world.until("a", "waiting", |pod| waits(pod, "Deferred")).await;
    assert_eq!(cpu(&pod).as_deref(), Some("400m"));
    // A new agent knows what the pod was given, not what it asks for.
    world.stop_agent().await;
    world.start_agent();
    world.until("a", "still waiting", |pod| waits(pod, "Deferred")).await;
    world.resize("b", &json!({"requests": {"cpu": "200m"}})).await;
    let resized =
        |pod: &Pod| condition(pod, "PodResizePending").is_none() && cpu(pod).as_deref() == Some("700m");
    world.until("a", "resized", resized).await;
    world.stop().await;
}

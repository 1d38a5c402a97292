//! Upstream's table tests in meaning: TestReplicaCalc{ResourceScale,ResourceMissingMetrics,PodMetric,ObjectMetric,
//! ObjectPerPodMetric,ExternalMetric,ExternalPerPodMetric}, TestGroupPods.

use super::{
    super::pods::{group, requests},
    *,
};
use crate::observe::Sample;
use proa_kit::Timestamp;
use serde_json::{Value, json};

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

/// `unready failed deleting pending hot`, each a word of a pod's description; `x2` asks for twice as much.
fn pod(name: &str, words: &[&str]) -> Arc<PodView> {
    let is = |word: &str| words.contains(&word);
    let ready = if ["unready", "failed", "deleting", "pending"].iter().any(|word| is(word)) {
        "False"
    } else {
        "True"
    };
    let phase = if is("failed") {
        "Failed"
    } else if is("pending") {
        "Pending"
    } else {
        "Running"
    };
    // A hot pod started a moment ago, and its sample is of the time before it was ready.
    let (started, changed) = if is("hot") { (10, 0) } else { (3600, 3600) };
    let mut metadata = json!({"name": name, "labels": {"app": "a"}});
    if is("deleting") {
        metadata["deletionTimestamp"] = json!(now());
    }
    let cpu = if is("x2") { "2" } else { "1" };
    let mut status: Value = json!({"phase": phase, "startTime": ago(started), "conditions": [
        {"type": "Ready", "status": ready, "lastTransitionTime": ago(changed)}]});
    if is("pending") {
        status["startTime"] = Value::Null;
    }
    let pod = json!({"metadata": metadata, "status": status, "spec": {"containers": [
        {"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    Arc::new(serde_json::from_str(&pod.to_string()).unwrap())
}

struct World {
    pods: Vec<Arc<PodView>>,
    samples: BTreeMap<Box<str>, Sample>,
}

/// Pods apart by commas, each a value (or `-`) and words: `300 unready, 500, -`. A pod of the word `gone` has figures only.
fn world(text: &str) -> World {
    let mut world = World { pods: Vec::new(), samples: BTreeMap::new() };
    for (i, described) in text.split(',').enumerate() {
        let mut words = described.split_whitespace();
        let (value, name) = (words.next().unwrap(), format!("pod-{i}"));
        let words: Vec<&str> = words.collect();
        if let Ok(value) = value.parse() {
            world.samples.insert(name.as_str().into(), Sample { value, at: ago(5), window: 60 });
        }
        if !words.contains(&"gone") {
            world.pods.push(pod(&name, &words));
        }
    }
    world
}

impl World {
    fn ask(&self, resource: &str, current: i32, target: PodTarget<'_>, up: f64) -> Result<Proposal, String> {
        let groups = group(&self.pods, &self.samples, resource, now());
        let amounts = self.samples.iter().map(|(pod, sample)| (pod.clone(), sample.value)).collect();
        by_pods(current, &groups, amounts, target, Tolerance { up, ..Tolerance::default() })
    }
}

#[test]
fn resources_in_percent_of_requests() {
    for (pods, current, percent, replicas, utilization, usage) in [
        ("300, 500, 700", 3, 30, 5, 50, 500),
        ("300 unready, 500, 700", 3, 30, 4, 60, 600),
        ("300 hot, 500, 700", 3, 30, 4, 60, 600),
        ("400, 500 unready, 700 unready", 3, 30, 3, 40, 400),
        ("400, 500 unready hot, 700 unready hot", 3, 30, 3, 40, 400),
        ("500, 700, - failed, - failed", 2, 30, 4, 60, 600),
        ("500, 700, - deleting, - deleting", 2, 30, 4, 60, 600),
        ("100, 300, 500, 250, 250", 5, 50, 3, 28, 280),
        ("100, 300, 500, 250 unready, 250 unready", 5, 50, 2, 30, 300),
        ("100, - pending, - pending, - pending, - pending", 5, 50, 1, 10, 100),
        ("100, 300, 500, 250 hot, 250 hot", 5, 50, 2, 30, 300),
        ("100, 300, 500, 250, 250, - failed, - failed", 5, 50, 3, 28, 280),
        ("100, 300, 500, 250, 250, - deleting, - deleting", 5, 50, 3, 28, 280),
        // Figures of pods that are not there.
        ("4000, 9500, 3000, 7000, 3200 gone, 2000 gone", 4, 100, 24, 587, 5875),
        ("400, 95, -, -", 4, 100, 3, 24, 247),
        ("1000, -", 2, 100, 2, 100, 1000),
        ("1900, -", 2, 100, 2, 190, 1900),
        ("600, -", 2, 100, 2, 60, 600),
        ("100 unready, 450, -", 3, 50, 3, 45, 450),
        ("100 hot, 450, -", 3, 50, 3, 45, 450),
        ("100 unready, 2000, -", 3, 50, 4, 200, 2000),
        ("100 hot unready, 2000, -", 3, 50, 4, 200, 2000),
        ("100 unready, 100, 100, -", 4, 50, 3, 10, 100),
        ("200 unready, 100, 100 x2, - x2", 4, 300, 2, 6, 100),
        // A rolling update with a surge: more pods than replicas.
        ("100, 100, -", 2, 50, 2, 10, 100),
        // Within the tolerance.
        ("550, 550, 550", 3, 50, 3, 55, 550),
        ("560, 560, 560", 3, 50, 4, 56, 560),
    ] {
        let world = world(pods);
        let asked = requests(&world.pods, "", "cpu").unwrap();
        let got = world.ask("cpu", current, PodTarget::Utilization(percent, &asked), 0.1);
        assert_eq!(
            got,
            Ok(Proposal { replicas, usage, utilization: Some(utilization) }),
            "{pods} at {percent} %"
        );
    }
}

#[test]
fn no_figures_no_replicas() {
    for (pods, why) in [
        ("100 gone, - failed", "no metrics returned matched known pods"),
        ("-, -", "did not receive metrics for targeted pods (pods might be unready)"),
        ("100 unready, - pending", "did not receive metrics for targeted pods (pods might be unready)"),
    ] {
        let world = world(pods);
        let mut asked = requests(&world.pods, "", "cpu").unwrap();
        asked.retain(|pod, _| world.samples.contains_key(pod));
        let got = world.ask("cpu", 2, PodTarget::Utilization(50, &asked), 0.1);
        assert_eq!(got, Err(why.to_owned()), "{pods}");
    }
}

#[test]
fn metrics_of_pods_on_average() {
    for (pods, current, target, up, replicas, usage) in [
        ("20000, 10000, 30000", 3, 15000, 0.1, 4, 20000),
        // Only of CPU it matters whether pods are ready.
        ("50000, 10000, 30000 unready hot", 3, 15000, 0.1, 6, 30000),
        ("50000 unready hot, 15000, 30000 unready hot", 3, 15000, 0.1, 7, 31666),
        ("12000, 12000, 12000, 12000, 12000", 5, 20000, 0.1, 3, 12000),
        ("20000, 21000, 21000", 3, 20000, 0.1, 3, 20666),
        ("20000, 21000, 21000", 3, 20000, 0.01, 4, 20666),
        ("20000, 19000, 21000, -, -", 5, 20000, 0.1, 5, 20000),
        ("10000, 10000, -", 2, 17000, 0.1, 2, 10000),
    ] {
        let got = world(pods).ask("", current, PodTarget::Average(target), up);
        assert_eq!(got, Ok(Proposal { replicas, usage, utilization: None }), "{pods} at {target}");
    }
}

#[test]
fn a_value_as_a_whole() {
    const BIG: i64 = i64::MAX;
    for (pods, current, usage, target, up, replicas) in [
        ("-, -, -", 3, 20000, 15000, 0.1, 4),
        ("-, -, -", 3, BIG, 1, 0.1, i32::MAX),
        ("- unready, -, - unready", 3, 50000, 10000, 0.1, 5),
        ("-, -, -, -, -", 5, 12000, 20000, 0.1, 3),
        ("-, -, -", 3, 20666, 20000, 0.1, 3),
        ("-, -, -", 3, 20666, 20000, 0.01, 4),
        ("- unready, -, - unready", 3, 8600, 4400, 0.1, 2),
        ("-, -, -", 3, BIG, BIG, 0.1, 3),
        // From none, pods do not matter.
        ("- failed", 0, 20000, 15000, 0.1, 2),
        ("- failed", 0, 0, 15000, 0.1, 0),
    ] {
        let tolerance = Tolerance { up, ..Tolerance::default() };
        let got = by_value(current, usage, target, &world(pods).pods, tolerance);
        assert_eq!(
            got,
            Ok(Proposal { replicas, usage, utilization: None }),
            "{usage} of {target} for {pods}"
        );
    }
    let none = by_value(3, 9, 1, &[], Tolerance::default()).unwrap_err();
    assert_eq!(
        none,
        "unable to calculate ready pods: no pods returned by selector while calculating replica count"
    );
}

#[test]
fn a_share_for_each_replica() {
    const BIG: i64 = i64::MAX;
    for (present, usage, target, up, replicas, shown) in [
        (3, 20000, 5000, 0.1, 4, 6667),
        (5, 6000, 2000, 0.1, 3, 1200),
        (4, 20166, 5000, 0.1, 4, 5042),
        (4, 20208, 5000, 0.01, 5, 5052),
        (1, BIG, 1, 0.1, i32::MAX, BIG),
        (1, BIG, BIG, 0.1, 1, BIG),
        (3, 8600, 2150, 0.1, 4, 2867),
        (5, 8600, 2867, 0.1, 3, 1720),
        (3, 8600, 2900, 0.1, 3, 2867),
        (3, 8600, 2800, 0.01, 4, 2867),
    ] {
        let got = by_share(present, usage, target, Tolerance { up, ..Tolerance::default() });
        assert_eq!(got, Proposal { replicas, usage: shown, utilization: None }, "{usage} of {target}");
    }
}

#[test]
fn samples_of_cpu_count_once_a_pod_was_ready_for_their_window() {
    let pod = |started: i64, ready: &str, changed: i64| -> Arc<PodView> {
        let json = json!({"metadata": {"name": "p"}, "status": {"phase": "Running", "startTime": ago(started),
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": ago(changed)}]}});
        Arc::new(serde_json::from_str(&json.to_string()).unwrap())
    };
    let samples = BTreeMap::from([("p".into(), Sample { value: 1, at: ago(10), window: 30 })]);
    let is_ready =
        |pod: &Arc<PodView>, resource| group(std::slice::from_ref(pod), &samples, resource, now()).ready == 1;
    // In its first five minutes.
    assert!(is_ready(&pod(120, "True", 40), "cpu"));
    assert!(!is_ready(&pod(120, "True", 39), "cpu"));
    assert!(is_ready(&pod(120, "True", 39), "memory"));
    assert!(!is_ready(&pod(120, "False", 100), "cpu"));
    // After them: only those that were never ready do not count.
    assert!(is_ready(&pod(301, "True", 1), "cpu"));
    assert!(is_ready(&pod(400, "False", 370), "cpu"));
    assert!(!is_ready(&pod(400, "False", 371), "cpu"));
    // Not started, or no condition.
    let bare = json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}});
    assert!(!is_ready(&Arc::new(serde_json::from_str(&bare.to_string()).unwrap()), "cpu"));
}

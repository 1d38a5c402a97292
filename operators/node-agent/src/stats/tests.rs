use super::*;
use crate::server::testing::container_stats;
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn sample(second: i64, cpu: u64) -> Sample {
    let mut stats = container_stats("c1", "web", "shop", "u1", "app");
    stats.at = at(second);
    stats.cpu_nanoseconds = cpu;
    stats.working_set_bytes = 1000;
    let node = NodeSample { cpu_nanoseconds: 10 * cpu, cpus: 2, ..NodeSample::default() };
    let sandbox = SandboxStats {
        id: "s1".to_owned(),
        uid: "u1".to_owned(),
        at: at(second),
        received_bytes: 5,
        sent_bytes: 6,
        processes: 3,
    };
    Sample {
        at: at(second),
        node,
        containers: vec![stats],
        sandboxes: vec![sandbox],
        root: None,
        images: None,
        logs: BTreeMap::from([(("u1".to_owned(), "app".to_owned()), 44)]),
        is_partial: false,
    }
}

fn pod() -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "status": {"startTime": "2023-11-14T22:00:00Z", "phase": "Running", "containerStatuses": [{
            "name": "app", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2023-11-14T22:00:01Z"}},
        }]},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn measured() -> Usage {
    usage("n1", &sample(10, 4_000_000_000), &sample(0, 1_000_000_000), &[pod()])
}

#[test]
fn the_summary_has_rates_of_two_measurements() {
    let summary = summary(&measured(), false);
    assert_eq!(summary["node"]["cpu"]["usageNanoCores"], 3_000_000_000_u64);
    let pod = &summary["pods"][0];
    assert_eq!(pod["podRef"], json!({"name": "web", "namespace": "shop", "uid": "u1"}));
    assert_eq!(pod["startTime"], "2023-11-14T22:00:00Z");
    assert_eq!(pod["cpu"]["usageNanoCores"], 300_000_000);
    assert_eq!(pod["containers"][0]["memory"]["workingSetBytes"], 1000);
    assert_eq!(pod["containers"][0]["logs"]["usedBytes"], 44);
    assert_eq!(pod["network"]["rxBytes"], 5);
    assert_eq!(pod["process_stats"]["process_count"], 3);
}

#[test]
fn the_short_summary_has_cpu_and_memory_only() {
    let summary = summary(&measured(), true);
    let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&summary["pods"][0]), ["containers", "cpu", "memory", "podRef", "startTime"]);
    assert_eq!(names(&summary["pods"][0]["containers"][0]), ["cpu", "memory", "name", "startTime"]);
}

#[test]
fn a_container_that_was_not_there_before_has_no_rate() {
    let mut earlier = sample(0, 0);
    earlier.containers.clear();
    let usage = usage("n1", &sample(10, 4), &earlier, &[]);
    assert_eq!(usage.pods[0].containers[0].rate, None);
    assert!(super::summary(&usage, true)["pods"][0]["cpu"].get("usageNanoCores").is_none());
}

#[test]
fn metrics_are_in_the_text_format() {
    let text = resource_metrics(&measured());
    let cpu =
        r#"container_cpu_usage_seconds_total{container="app",namespace="shop",pod="web"} 4 1700000010000"#;
    assert!(text.lines().any(|line| line == cpu), "{text}");
    assert!(text.lines().any(|line| line == "resource_scrape_error 0"), "{text}");
    let text = container_metrics(&measured());
    let network = r#"container_network_receive_bytes_total{interface="eth0",namespace="shop",pod="web"} 5 1700000010000"#;
    assert!(text.lines().any(|line| line == network), "{text}");
    let text = agent_metrics("n1", &[pod()]);
    for line in ["kubelet_running_pods 1", "kubelet_running_containers{container_state=\"running\"} 1"] {
        assert!(text.lines().any(|l| l == line), "{text}");
    }
}

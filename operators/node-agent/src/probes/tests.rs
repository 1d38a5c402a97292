//! Probes against real servers on this machine and a runtime in memory.

mod servers;

use super::{
    action::{Outcome, run},
    *,
};
use k8s_openapi::api::core::v1::Probe;
use proa_kit::testing::server::{Seen, recording};
use proa_runtime_shim::{Error, ExecOutput, fake::Fake};
use serde_json::{Value, json};
use servers::{closed_port, grpc_server};
pub(crate) use servers::{http_server, https_server};
use std::time::Duration;
use tokio::{sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const HOME: [u8; 4] = [127, 0, 0, 1];

/// A pod with one container `c`.
pub(crate) fn pod(container: &Value) -> Arc<Pod> {
    let mut spec = json!({"name": "c", "image": "i"});
    spec.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    let pod = json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": [spec]}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// Its container, running with the id `id`.
pub(crate) fn target(container: &Value) -> Target {
    let pod = pod(container);
    let spec = pod.spec.as_ref().unwrap().containers[0].clone();
    Target::new(&pod, spec, "id".to_owned(), HOME.into())
}

async fn outcome(runtime: &Fake, probe: Value) -> Outcome {
    let target = target(&json!({"env": [{"name": "A", "value": "1"}]}));
    let probe: Probe = serde_json::from_value(probe).unwrap();
    run(runtime, &target, &probe, Duration::from_secs(5)).await
}

fn failure(text: &str) -> Outcome {
    Outcome::Failure(text.to_owned())
}

#[tokio::test]
async fn http_statuses_and_redirects() {
    let port = http_server(|head| match head.split(' ').nth(1).unwrap() {
        "/ok?x=1" if head.contains("user-agent: kube-probe/1.37") && head.contains("accept: */*") => {
            "200 OK\r\n\r\n".to_owned()
        }
        "/header"
            if head.contains("host: example.test") && head.contains("x-a: 1") && head.contains("x-a: 2") =>
        {
            "204 No Content\r\n\r\n".to_owned()
        }
        "/local" => "302 Found\r\nlocation: /ok?x=1\r\n\r\n".to_owned(),
        "/away" => "301 Moved\r\nlocation: http://192.0.2.1/\r\n\r\ngo away".to_owned(),
        "/round" => "307 Again\r\nlocation: /round\r\n\r\n".to_owned(),
        "/broken" => String::new(),
        _ => "503 Busy\r\n\r\nsecret".to_owned(),
    })
    .await;
    let get = async |path: &str, headers: Value| {
        let action = json!({"port": port, "path": path, "httpHeaders": headers});
        outcome(&Fake::new(), json!({"httpGet": action})).await
    };
    assert_eq!(get("/ok?x=1", json!([])).await, Outcome::Success);
    assert_eq!(get("local", json!([])).await, Outcome::Success);
    let headers = json!([{"name": "Host", "value": "example.test"}, {"name": "X-A", "value": "1"},
        {"name": "x-a", "value": "2"}]);
    assert_eq!(get("/header", headers).await, Outcome::Success);
    assert_eq!(get("/busy", json!([])).await, failure("HTTP probe failed with statuscode: 503"));
    let away = "Probe terminated redirects, Response body: go away".to_owned();
    assert_eq!(get("/away", json!([])).await, Outcome::Warning(away));
    let url = format!("http://127.0.0.1:{port}");
    let round = format!("Get \"{url}/round\": stopped after 10 redirects");
    assert_eq!(get("/round", json!([])).await, failure(&round));
    assert_eq!(get("/broken", json!([])).await, failure(&format!("Get \"{url}/broken\": EOF")));
}

#[tokio::test]
async fn http_without_a_server_and_with_a_slow_one() {
    let port = closed_port().await;
    let expected =
        format!("Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(outcome(&Fake::new(), json!({"httpGet": {"port": port}})).await, failure(&expected));
    // Takes the connection and never answers.
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = target(&json!({}));
    let probe: Probe = serde_json::from_value(json!({"httpGet": {"port": port, "path": "/"}})).unwrap();
    let slow = run(&Fake::new(), &target, &probe, Duration::from_millis(10)).await;
    let text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert_eq!(slow, failure(&format!("Get \"http://127.0.0.1:{port}/\": {text}")));
}

#[tokio::test]
async fn https_takes_any_certificate() {
    let port = https_server(|_| "200 OK\r\n\r\n".to_owned()).await;
    let get = |port: u16| json!({"httpGet": {"port": port, "scheme": "HTTPS", "path": "/"}});
    assert_eq!(outcome(&Fake::new(), get(port)).await, Outcome::Success);
    let plain = http_server(|_| "200 OK\r\n\r\n".to_owned()).await;
    let expected =
        format!("Get \"https://127.0.0.1:{plain}/\": http: server gave HTTP response to HTTPS client");
    assert_eq!(outcome(&Fake::new(), get(plain)).await, failure(&expected));
}

#[tokio::test]
async fn tcp_connects() {
    let port = http_server(|_| String::new()).await;
    assert_eq!(outcome(&Fake::new(), json!({"tcpSocket": {"port": port}})).await, Outcome::Success);
    let port = closed_port().await;
    let expected = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(outcome(&Fake::new(), json!({"tcpSocket": {"port": port}})).await, failure(&expected));
    let unnamed = outcome(&Fake::new(), json!({"tcpSocket": {"port": "web"}})).await;
    assert_eq!(unnamed, Outcome::Error("strconv.Atoi: parsing \"web\": invalid syntax".to_owned()));
}

#[tokio::test]
async fn grpc_asks_the_health_service() {
    let port = grpc_server().await;
    let ask = async |service: &str| {
        outcome(&Fake::new(), json!({"grpc": {"port": port, "service": service}})).await
    };
    assert_eq!(ask("good").await, Outcome::Success);
    assert_eq!(ask("bad").await, failure("service unhealthy (responded with \"NOT_SERVING\")"));
    assert_eq!(
        ask("none").await,
        failure("error: health rpc probe failed: rpc error: code = NotFound desc = unknown service")
    );
    let port = closed_port().await;
    let expected = format!(
        "error: failed to connect service at \"127.0.0.1:{port}\": dial tcp 127.0.0.1:{port}: connect: connection refused"
    );
    assert_eq!(outcome(&Fake::new(), json!({"grpc": {"port": port}})).await, failure(&expected));
}

#[tokio::test]
async fn exec_counts_exit_codes() {
    let runtime = Fake::new();
    let id = running(&runtime, "c").await;
    runtime.on_exec(|_, command| {
        let output =
            |exit_code| Ok(ExecOutput { stdout: b"out".to_vec(), stderr: b"err".to_vec(), exit_code });
        match command[0].as_str() {
            "ok1" => output(0),
            "bad" => output(1),
            "slow" => Err(Error::Timeout { operation: "exec", within: Duration::from_secs(5) }),
            _ => Err(Error::Unavailable { why: "gone".to_owned() }),
        }
    });
    let exec = async |command: &str| {
        let mut target = target(&json!({"env": [{"name": "A", "value": "1"}]}));
        target.id.clone_from(&id);
        let probe: Probe = serde_json::from_value(json!({"exec": {"command": [command, "x"]}})).unwrap();
        run(&runtime, &target, &probe, Duration::from_secs(5)).await
    };
    assert_eq!(exec("ok$(A)").await, Outcome::Success);
    assert_eq!(exec("bad").await, failure("outerr"));
    assert_eq!(exec("slow").await, failure("command timed out: \"slow x\" timed out after 5s"));
    let gone = "the container runtime does not answer: gone".to_owned();
    assert_eq!(exec("other").await, Outcome::Error(gone));
}

/// A container that runs in the fake; its id.
pub(crate) async fn running(runtime: &Fake, name: &str) -> String {
    use proa_runtime_shim::{ContainerConfig, Runtime as _, SandboxConfig};
    let sandbox = SandboxConfig { name: "p".to_owned(), uid: "u".to_owned(), ..SandboxConfig::default() };
    let id = runtime.run_sandbox(&sandbox).await.unwrap();
    runtime.add_image("i");
    let image = runtime.image("i").await.unwrap().unwrap().id;
    let config = ContainerConfig {
        name: name.to_owned(),
        image,
        command: vec!["sleep".to_owned(), "infinity".to_owned()],
        ..ContainerConfig::default()
    };
    let id = runtime.create_container(&id, &config, &sandbox).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    id
}

/// Probes whose exec commands succeed while their first word is in `good`.
struct Bench {
    runtime: Fake,
    probes: Probes<Fake>,
    good: Arc<Mutex<Vec<String>>>,
    woken: mpsc::UnboundedReceiver<String>,
    events: mpsc::UnboundedReceiver<String>,
    id: String,
}

impl Bench {
    async fn new(good: &[&str]) -> Self {
        let runtime = Fake::new();
        let id = running(&runtime, "c").await;
        let good = Arc::new(Mutex::new(good.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()));
        let known = good.clone();
        runtime.on_exec(move |_, command| {
            let exit_code = i32::from(!known.lock().contains(&command[0]));
            Ok(ExecOutput { stdout: b"said".to_vec(), stderr: Vec::new(), exit_code })
        });
        let (tell, events) = mpsc::unbounded_channel();
        let client = recording(Seen::default(), move |_, request| {
            let text = |field: &str| request.body[field].as_str().unwrap_or_default().to_owned();
            let _ = tell.send(format!("{} {}: {}", text("type"), text("reason"), text("note")));
            (201, json!({}))
        });
        let recorder = Recorder::start(client, "kubelet", "n", Arc::new(proa_kit::clock::SystemClock));
        let (wake, woken) = mpsc::unbounded_channel();
        let probes = Probes::new(runtime.clone(), recorder, move |uid| {
            let _ = wake.send(uid.to_owned());
        });
        Self { runtime, probes, good, woken, events, id }
    }

    fn observe(&self, pod: &Arc<Pod>, stopping: bool) -> Verdict {
        let running = Running { name: "c".to_owned(), id: self.id.clone(), since: Timestamp::now() };
        self.probes.observe(pod, HOME.into(), &[running], stopping)[&self.id]
    }

    async fn woken(&mut self) {
        assert_eq!(timeout(PATIENCE, self.woken.recv()).await.unwrap().unwrap(), "u");
    }
}

fn probe(word: &str, failures: u32) -> Value {
    json!({"exec": {"command": [word]}, "periodSeconds": 1, "failureThreshold": failures})
}

fn verdict(started: bool, ready: bool) -> Verdict {
    Verdict { started, ready, failed: None }
}

#[tokio::test]
async fn a_container_without_probes_is_good_at_once() {
    let bench = Bench::new(&[]).await;
    assert_eq!(bench.observe(&pod(&json!({})), false), Verdict::GOOD);
}

#[tokio::test]
async fn readiness_comes_at_once_and_goes_with_its_probe() {
    let mut bench = Bench::new(&["ready"]).await;
    let pod = pod(&json!({"readinessProbe": probe("ready", 1)}));
    assert_eq!(bench.observe(&pod, false), verdict(true, false));
    bench.woken().await;
    assert_eq!(bench.observe(&pod, false), verdict(true, true));
    bench.good.lock().clear();
    bench.woken().await;
    assert_eq!(bench.observe(&pod, false), verdict(true, false));
    let event = timeout(PATIENCE, bench.events.recv()).await.unwrap().unwrap();
    assert_eq!(event, "Warning Unhealthy: Readiness probe failed: said");
}

#[tokio::test]
async fn a_startup_probe_holds_the_others_back() {
    let mut bench = Bench::new(&["ready", "live"]).await;
    let pod = pod(&json!({"startupProbe": probe("up", 100), "livenessProbe": probe("live", 1),
        "readinessProbe": probe("ready", 1)}));
    assert_eq!(bench.observe(&pod, false), verdict(false, false));
    let event = timeout(PATIENCE, bench.events.recv()).await.unwrap().unwrap();
    assert_eq!(event, "Warning Unhealthy: Startup probe failed: said");
    assert_eq!(bench.observe(&pod, false), verdict(false, false));
    bench.good.lock().push("up".to_owned());
    bench.woken().await;
    assert!(bench.observe(&pod, false).started);
    bench.woken().await;
    assert_eq!(bench.observe(&pod, false), verdict(true, true));
}

#[tokio::test]
async fn a_failed_liveness_probe_is_told_once_with_its_grace_period() {
    let mut bench = Bench::new(&[]).await;
    let mut live = probe("live", 1);
    live["terminationGracePeriodSeconds"] = json!(5);
    let pod = pod(&json!({"livenessProbe": live}));
    assert_eq!(bench.observe(&pod, false), Verdict::GOOD);
    bench.woken().await;
    let failed = Failed { probe: Kind::Liveness, grace_seconds: Some(5) };
    assert_eq!(bench.observe(&pod, false), Verdict { failed: Some(failed), ..Verdict::GOOD });
    // A new container starts anew.
    bench.good.lock().push("live".to_owned());
    bench.id = running(&bench.runtime, "c").await;
    assert_eq!(bench.observe(&pod, false), Verdict::GOOD);
    bench.probes.forget("u");
}

#[tokio::test]
async fn a_pod_that_ends_is_not_restarted_but_still_asked_whether_it_is_ready() {
    let mut bench = Bench::new(&["ready"]).await;
    let pod = pod(&json!({"startupProbe": probe("up", 1000), "livenessProbe": probe("live", 1),
        "readinessProbe": probe("ready", 1)}));
    assert_eq!(bench.observe(&pod, false), verdict(false, false));
    bench.observe(&pod, true);
    bench.woken().await;
    bench.woken().await;
    assert_eq!(bench.observe(&pod, true), verdict(true, true));
}

#[tokio::test]
async fn what_the_api_says_holds_until_a_probe_says_otherwise() {
    let bench = Bench::new(&[]).await;
    let mut known = Arc::unwrap_or_clone(pod(
        &json!({"startupProbe": probe("up", 9), "readinessProbe": probe("ready", 9)}),
    ));
    known.status = serde_json::from_value(json!({"containerStatuses": [{"name": "c", "image": "i", "imageID": "",
        "ready": true, "started": true, "restartCount": 0, "containerID": format!("containerd://{}", bench.id)}]}))
    .unwrap();
    assert_eq!(bench.observe(&Arc::new(known), false), Verdict::GOOD);
}

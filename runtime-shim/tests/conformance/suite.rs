//! What every runtime does alike.

pub(crate) mod real;

use crate::node::IMAGE;
use futures::{FutureExt as _, StreamExt as _};
use proa_runtime_shim::{
    ContainerConfig, ContainerState, ContainerStatus, Error, Event, Runtime, SandboxConfig, SandboxState,
    SecurityProfile,
};
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// Above the cgroups of pods that have none.
pub(crate) const IN_MEMORY: &str = "/fake";

/// Where the suite runs.
pub(crate) struct Setup {
    pub(crate) logs: PathBuf,
    pub(crate) cgroup_parent: String,
}

/// Nothing here takes this long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run<R: Runtime>(runtime: R, setup: &Setup) {
    assert!(!runtime.version().await.unwrap().name.is_empty());
    // Boxed, because together they are too large for a test's stack.
    futures::future::join_all([
        a_sandbox_comes_and_goes(&runtime, setup).boxed(),
        a_container_runs_and_ends(&runtime, setup).boxed(),
        stopping_asks_first(&runtime, setup).boxed(),
        commands_run_in_containers(&runtime, setup).boxed(),
        the_newest_comes_first(&runtime, setup).boxed(),
        memory_runs_out(&runtime, setup).boxed(),
        what_is_not_there_is_told(&runtime).boxed(),
        images_are_found_by_name_and_id(&runtime).boxed(),
        what_cannot_start_says_so(&runtime, setup).boxed(),
    ])
    .await;
}

/// A pod of its own.
pub(crate) fn pod(setup: &Setup) -> SandboxConfig {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("pod-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let uid = format!("uid-of-{name}");
    let log_directory = setup.logs.join(&name);
    fs::create_dir_all(&log_directory).unwrap();
    SandboxConfig {
        namespace: "default".into(),
        hostname: name.clone(),
        log_directory,
        labels: [("io.kubernetes.pod.uid".into(), uid.clone()), ("is".into(), "a test".into())].into(),
        annotations: [("note".into(), "kept as it is".into())].into(),
        cgroup_parent: format!("{}/{name}", setup.cgroup_parent),
        uid,
        name,
        ..SandboxConfig::default()
    }
}

pub(crate) fn container(of: &SandboxConfig, image: &str, words: &[&str]) -> ContainerConfig {
    let mut config = ContainerConfig {
        name: "main".into(),
        image: image.into(),
        args: words.iter().map(|&word| word.to_owned()).collect(),
        labels: of.labels.clone(),
        log_path: "main.log".into(),
        ..ContainerConfig::default()
    };
    config.security.seccomp = SecurityProfile::Unconfined;
    config
}

/// A running sandbox and its container, started.
pub(crate) struct Started {
    pub(crate) of: SandboxConfig,
    pub(crate) sandbox: String,
    pub(crate) container: String,
}

pub(crate) async fn image<R: Runtime>(runtime: &R) -> String {
    runtime.image(IMAGE).await.unwrap().expect("the test's image is there").id
}

pub(crate) async fn start<R: Runtime>(runtime: &R, setup: &Setup, words: &[&str]) -> Started {
    start_with(runtime, pod(setup), words, |_| {}).await
}

pub(crate) async fn start_with<R: Runtime>(
    runtime: &R,
    of: SandboxConfig,
    words: &[&str],
    change: impl FnOnce(&mut ContainerConfig),
) -> Started {
    let sandbox = runtime.run_sandbox(&of).await.unwrap();
    let mut config = container(&of, &image(runtime).await, words);
    change(&mut config);
    let container = runtime.create_container(&sandbox, &config, &of).await.unwrap();
    runtime.start_container(&container).await.unwrap();
    Started { of, sandbox, container }
}

pub(crate) async fn start_image<R: Runtime>(
    runtime: &R,
    of: SandboxConfig,
    image: &str,
    words: &[&str],
) -> Started {
    let sandbox = runtime.run_sandbox(&of).await.unwrap();
    let config = container(&of, image, words);
    let container = runtime.create_container(&sandbox, &config, &of).await.unwrap();
    runtime.start_container(&container).await.unwrap();
    Started { of, sandbox, container }
}

pub(crate) async fn remove<R: Runtime>(runtime: &R, started: &Started) {
    runtime.stop_sandbox(&started.sandbox).await.unwrap();
    runtime.remove_sandbox(&started.sandbox).await.unwrap();
}

/// The container's status as soon as it is as wanted; a state comes a little after its event.
pub(crate) async fn status_when<R: Runtime>(
    runtime: &R,
    id: &str,
    is_wanted: impl Fn(&ContainerStatus) -> bool,
) -> ContainerStatus {
    let wanted = async {
        loop {
            let status = runtime.container_status(id).await.unwrap();
            if is_wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wanted).await.expect("the container gets there")
}

pub(crate) async fn exited<R: Runtime>(runtime: &R, id: &str) -> ContainerStatus {
    status_when(runtime, id, |status| status.container.state == ContainerState::Exited).await
}

/// All events from now on.
fn listen<R: Runtime>(runtime: &R) -> mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut events = runtime.events();
    tokio::spawn(async move {
        while let Some(Ok(event)) = events.next().await {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn wait_for(events: &mut mpsc::UnboundedReceiver<Event>, wanted: Event) {
    let heard = async { while events.recv().await.expect("the stream goes on") != wanted {} };
    timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("{wanted:?} is heard of"));
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

async fn a_sandbox_comes_and_goes<R: Runtime>(runtime: &R, setup: &Setup) {
    let of = pod(setup);
    let id = runtime.run_sandbox(&of).await.unwrap();
    let of_pod = runtime.sandboxes_of(&of.uid).await.unwrap();
    assert_eq!(of_pod.len(), 1, "only this pod's");
    let sandbox = &of_pod[0];
    assert_eq!((&sandbox.id, &sandbox.name, &sandbox.namespace), (&id, &of.name, &of.namespace));
    assert_eq!((&sandbox.uid, sandbox.attempt, sandbox.state), (&of.uid, 0, SandboxState::Ready));
    assert_eq!((&sandbox.labels, &sandbox.annotations), (&of.labels, &of.annotations));
    assert_eq!(sandbox.addresses.len(), 1);
    assert!(runtime.sandboxes().await.unwrap().iter().any(|s| s == sandbox));
    for _ in 0..2 {
        runtime.stop_sandbox(&id).await.unwrap();
        let stopped = &runtime.sandboxes_of(&of.uid).await.unwrap()[0];
        assert_eq!(stopped.state, SandboxState::NotReady);
        assert!(stopped.addresses.is_empty());
    }
    for _ in 0..2 {
        runtime.remove_sandbox(&id).await.unwrap();
        assert_eq!(runtime.sandboxes_of(&of.uid).await.unwrap(), []);
    }
}

async fn a_container_runs_and_ends<R: Runtime>(runtime: &R, setup: &Setup) {
    let mut events = listen(runtime);
    let of = pod(setup);
    let sandbox = runtime.run_sandbox(&of).await.unwrap();
    let config = container(&of, &image(runtime).await, &["exit", "7"]);
    let id = runtime.create_container(&sandbox, &config, &of).await.unwrap();
    let created = runtime.container_status(&id).await.unwrap();
    assert_eq!(created.container.state, ContainerState::Created);
    assert_eq!((created.started, created.finished), (None, None));
    assert_eq!((&created.container.sandbox, &created.container.name), (&sandbox, &config.name));
    assert_eq!((&created.image_name, &created.container.image), (&IMAGE.to_owned(), &config.image));
    runtime.start_container(&id).await.unwrap();
    wait_for(&mut events, Event::Started { id: id.clone() }).await;
    wait_for(&mut events, Event::Exited { id: id.clone() }).await;
    let ended = exited(runtime, &id).await;
    assert_eq!((ended.exit_code, ended.reason.as_str()), (7, "Error"));
    assert!(ended.finished >= ended.started && ended.started >= Some(ended.container.created));
    assert_eq!(ended.log_path, of.log_directory.join("main.log"));
    let listed = runtime.containers_of(&of.uid).await.unwrap();
    assert_eq!((listed.len(), listed[0].state), (1, ContainerState::Exited));
    for _ in 0..2 {
        runtime.remove_container(&id).await.unwrap();
        assert_eq!(runtime.containers_of(&of.uid).await.unwrap(), []);
    }
    let started = Started { of, sandbox, container: id };
    a_line_is_logged(runtime, &started).await;
    remove(runtime, &started).await;
}

/// Logs are lines of `TIME STREAM TAG TEXT`.
async fn a_line_is_logged<R: Runtime>(runtime: &R, at: &Started) {
    let mut config = container(&at.of, &image(runtime).await, &["say", "hello there"]);
    config.attempt = 1;
    config.log_path = "said.log".into();
    let id = runtime.create_container(&at.sandbox, &config, &at.of).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    let status = exited(runtime, &id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (0, "Completed"));
    let log = fs::read_to_string(&status.log_path).unwrap();
    let fields: Vec<&str> = log.trim_end().splitn(4, ' ').collect();
    assert_eq!(fields[1..], ["stdout", "F", "hello there"]);
    assert!(fields[0].parse::<jiff::Timestamp>().is_ok(), "{log}");
}

async fn stopping_asks_first<R: Runtime>(runtime: &R, setup: &Setup) {
    let polite = start(runtime, setup, &["run"]).await;
    has_said(&polite, "running").await;
    runtime.stop_container(&polite.container, PATIENCE).await.unwrap();
    assert_eq!(exited(runtime, &polite.container).await.exit_code, 0);
    runtime.stop_container(&polite.container, PATIENCE).await.unwrap();
    remove(runtime, &polite).await;
    let stubborn = start(runtime, setup, &["stubborn"]).await;
    has_said(&stubborn, "stubborn").await;
    runtime.stop_container(&stubborn.container, Duration::from_millis(1)).await.unwrap();
    assert_eq!(exited(runtime, &stubborn.container).await.exit_code, 137);
    remove(runtime, &stubborn).await;
}

/// A real program says when it is ready for signals; those in memory always are, and say nothing.
pub(crate) async fn has_said(started: &Started, text: &str) {
    if started.of.cgroup_parent.starts_with(IN_MEMORY) {
        return;
    }
    let log = started.of.log_directory.join("main.log");
    let said = async {
        while !fs::read_to_string(&log).is_ok_and(|log| log.contains(text)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, said).await.expect("the program starts");
}

async fn commands_run_in_containers<R: Runtime>(runtime: &R, setup: &Setup) {
    let at = start(runtime, setup, &["run"]).await;
    let exec = async |line: &[&str], within| runtime.exec(&at.container, &words(line), within).await;
    let said = exec(&["/program", "say", "hi"], PATIENCE).await.unwrap();
    assert_eq!((said.stdout.as_slice(), said.stderr.as_slice(), said.exit_code), (&b"hi\n"[..], &b""[..], 0));
    assert_eq!(exec(&["/program", "exit", "3"], PATIENCE).await.unwrap().exit_code, 3);
    let hanging = exec(&["/program", "hang"], Duration::from_millis(300)).await;
    assert!(matches!(hanging, Err(Error::Timeout { operation: "exec", .. })), "{hanging:?}");
    assert!(
        runtime.exec_url(&at.container, &words(&["/program"]), streams()).await.unwrap().starts_with("http")
    );
    assert!(runtime.attach_url(&at.container, streams()).await.unwrap().starts_with("http"));
    assert!(runtime.port_forward_url(&at.sandbox).await.unwrap().starts_with("http"));
    let stats = runtime.container_stats().await.unwrap();
    assert!(stats.iter().any(|s| s.id == at.container && s.labels == at.of.labels));
    let stats = runtime.sandbox_stats().await.unwrap();
    assert!(stats.iter().any(|s| s.id == at.sandbox && s.uid == at.of.uid && s.processes > 0));
    remove(runtime, &at).await;
    assert!(exec(&["/program", "say", "hi"], PATIENCE).await.is_err());
}

fn streams() -> proa_runtime_shim::Streams {
    proa_runtime_shim::Streams { stdout: true, ..Default::default() }
}

async fn the_newest_comes_first<R: Runtime>(runtime: &R, setup: &Setup) {
    let first = start(runtime, setup, &["exit", "0"]).await;
    let mut config = container(&first.of, &image(runtime).await, &["exit", "0"]);
    config.attempt = 1;
    runtime.create_container(&first.sandbox, &config, &first.of).await.unwrap();
    let attempts = runtime.containers_of(&first.of.uid).await.unwrap();
    assert_eq!(attempts.iter().map(|c| c.attempt).collect::<Vec<_>>(), [1, 0]);
    runtime.stop_sandbox(&first.sandbox).await.unwrap();
    let again = SandboxConfig { attempt: 1, ..first.of.clone() };
    let second = runtime.run_sandbox(&again).await.unwrap();
    let attempts = runtime.sandboxes_of(&first.of.uid).await.unwrap();
    assert_eq!(attempts.iter().map(|s| s.attempt).collect::<Vec<_>>(), [1, 0]);
    remove(runtime, &first).await;
    remove(runtime, &Started { sandbox: second, ..first }).await;
}

async fn memory_runs_out<R: Runtime>(runtime: &R, setup: &Setup) {
    let limit = |config: &mut ContainerConfig| config.resources.memory_limit = 16 << 20;
    let at = start_with(runtime, pod(setup), &["out-of-memory"], limit).await;
    // The event is a hint that may be missed; the status is the truth. containerd hears of the end and of its reason
    // apart, in either order.
    let has_ended = |status: &ContainerStatus| {
        status.container.state == ContainerState::Exited && status.reason == "OOMKilled"
    };
    let status = status_when(runtime, &at.container, has_ended).await;
    assert_eq!(status.exit_code, 137);
    remove(runtime, &at).await;
}

async fn what_is_not_there_is_told<R: Runtime>(runtime: &R) {
    let missing = "no-such-id";
    assert!(matches!(runtime.container_status(missing).await, Err(Error::NotFound { .. })));
    assert!(matches!(runtime.start_container(missing).await, Err(Error::NotFound { .. })));
    let exec = runtime.exec(missing, &words(&["true"]), PATIENCE).await;
    assert!(matches!(exec, Err(Error::NotFound { .. })), "{exec:?}");
    assert_eq!(runtime.containers_of(missing).await.unwrap(), []);
    assert_eq!(runtime.sandboxes_of(missing).await.unwrap(), []);
    runtime.stop_container(missing, Duration::ZERO).await.unwrap();
    runtime.remove_container(missing).await.unwrap();
    runtime.stop_sandbox(missing).await.unwrap();
    runtime.remove_sandbox(missing).await.unwrap();
    runtime.remove_image("test.example/missing:1").await.unwrap();
}

async fn images_are_found_by_name_and_id<R: Runtime>(runtime: &R) {
    let image = runtime.image(IMAGE).await.unwrap().unwrap();
    assert_eq!(image.tags, [IMAGE]);
    assert_eq!(runtime.image(&image.id).await.unwrap(), Some(image.clone()));
    assert!(runtime.images().await.unwrap().contains(&image));
    assert_eq!(runtime.image("test.example/missing:1").await.unwrap(), None);
    let bad = runtime.pull_image("Not A Name", None).await;
    assert!(matches!(bad, Err(Error::InvalidImageName { .. })), "{bad:?}");
    runtime.image_filesystem().await.unwrap();
}

async fn what_cannot_start_says_so<R: Runtime>(runtime: &R, setup: &Setup) {
    let of = pod(setup);
    let sandbox = runtime.run_sandbox(&of).await.unwrap();
    let mut config = container(&of, &image(runtime).await, &[]);
    config.command = words(&["no-start"]);
    let id = runtime.create_container(&sandbox, &config, &of).await.unwrap();
    let Err(Error::Failed { operation: "start_container", message }) = runtime.start_container(&id).await
    else {
        panic!("it starts");
    };
    assert!(message.contains("no-start"), "{message}");
    remove(runtime, &Started { of, sandbox, container: id }).await;
}

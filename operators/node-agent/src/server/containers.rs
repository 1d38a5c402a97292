//! Pods, logs of containers, and commands without streams.

use super::{
    ContainerRun, PodEntry, PodLookup, State, query,
    reply::{self, Answer, Refusal},
    route::Path,
};
use crate::logs::{BadQuery, LogOptions, LogReader};
use futures::StreamExt;
use http::StatusCode;
use hyper::{Request, body::Incoming};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodSpec, PodStatus};
use proa_runtime_shim::{ContainerState, Error, Event, ExecOutput, Runtime};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// How long a command without streams may run: as long as an idle stream is kept.
const LONGEST_RUN: Duration = Duration::from_secs(4 * 60 * 60);
/// How long a runtime that does not answer is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// A runtime reports an end before it shows it: it is asked again after this, then after twice as long, and so on.
const SETTLE: Duration = Duration::from_millis(5);
/// How long a runtime's events are trusted to tell of an end.
const RELIST: Duration = Duration::from_secs(10);

/// All pods as a list.
pub(super) fn pods(pods: &impl PodLookup) -> Answer {
    reply::json(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods.pods()}))
}

impl<R: Runtime, P: PodLookup> State<R, P> {
    /// A container's log.
    pub(super) async fn container_logs(&self, path: &Path<'_>, request: &Request<Incoming>) -> Answer {
        let options = LogOptions::from_query(&query(request), Timestamp::now()).map_err(refused_query)?;
        let (pod, container) = (path.pod, path.container);
        let missing = || Refusal::not_found(format!("pod {pod:?} does not exist"));
        let entry = self.find_pod(path).ok_or_else(missing)?;
        if !has_container(&entry.pod, container) {
            return Err(Refusal::not_found(format!("container {container:?} not found in pod {pod:?}")));
        }
        let run = logged_run(&entry, path, options.previous).map_err(Refusal::bad_request)?;
        let ended = ended(self.runtime.clone(), run.id.clone());
        let reader = LogReader::open(&run.log, options, ended).await.map_err(|error| {
            Refusal::bad_request(format!("failed to open the log {:?}: {error}", run.log))
        })?;
        let stopped = self.shutdown.clone().cancelled_owned();
        Ok(reply::stream(reader.into_stream().take_until(stopped)))
    }

    /// A command without streams; the answer is what it wrote.
    pub(super) async fn run(&self, path: &Path<'_>, request: &Request<Incoming>) -> Answer {
        let query = query(request);
        let line = query.iter().find(|(name, _)| name == "cmd").map_or("", |(_, value)| value);
        let command: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let container = self.running_container(path)?;
        let output = self.runtime.exec(&container, &command, LONGEST_RUN).await.map_err(runtime_failed)?;
        let ExecOutput { stdout: mut said, stderr, exit_code } = output;
        said.extend(stderr);
        if exit_code == 0 {
            return Ok(reply::json_bytes(said));
        }
        let said = String::from_utf8_lossy(&said);
        Err(Refusal::internal(format!("command '{line}' exited with {exit_code}: {said}")))
    }

    /// Id of the path's container, which must run.
    pub(super) fn running_container(&self, path: &Path<'_>) -> Result<String, Refusal> {
        let entry = self.find_pod(path).ok_or_else(|| Refusal::not_found("pod does not exist"))?;
        let run = entry.containers.get(path.container).and_then(|c| c.current.as_ref());
        let run = run.filter(|run| run.is_running).map(|run| run.id.clone());
        run.ok_or_else(|| Refusal::internal(format!("container not found ({:?})", path.container)))
    }
}

/// What the runtime's refusal becomes.
#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by value")]
pub(super) fn runtime_failed(error: Error) -> Refusal {
    match error {
        Error::NotFound { .. } => Refusal::not_found(error.to_string()),
        _ => Refusal::internal(error.to_string()),
    }
}

fn refused_query(error: BadQuery) -> Refusal {
    let status = match error {
        BadQuery::Undecodable => StatusCode::BAD_REQUEST,
        BadQuery::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Refusal::new(status, json!({"message": error.to_string()}).to_string())
}

fn has_container(pod: &Pod, name: &str) -> bool {
    let Some(PodSpec { containers, init_containers, ephemeral_containers, .. }) = &pod.spec else {
        return false;
    };
    let ephemeral = ephemeral_containers.iter().flatten().map(|c| &c.name);
    let mut names =
        containers.iter().chain(init_containers.iter().flatten()).map(|c| &c.name).chain(ephemeral);
    names.any(|n| n == name)
}

/// Whose log is meant, or why there is none.
fn logged_run<'a>(entry: &'a PodEntry, path: &Path<'_>, previous: bool) -> Result<&'a ContainerRun, String> {
    let (pod, container) = (path.pod, path.container);
    let runs = entry.containers.get(container);
    if previous {
        let run = runs.and_then(|r| r.previous.as_ref());
        return run
            .ok_or_else(|| format!("previous terminated container {container:?} in pod {pod:?} not found"));
    }
    let latest = runs.and_then(|r| r.current.as_ref().or(r.previous.as_ref()));
    latest.ok_or_else(|| match container_status(entry.pod.status.as_ref(), container) {
        Some(status) => {
            format!("container {container:?} in pod {pod:?} is waiting to start{}", waiting(status))
        }
        None => format!("container {container:?} in pod {pod:?} is not available"),
    })
}

fn container_status<'a>(status: Option<&'a PodStatus>, name: &str) -> Option<&'a ContainerStatus> {
    let status = status?;
    let all =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|s| s.name == name)
}

/// Why a container that waits does, behind the words that say so.
fn waiting(status: &ContainerStatus) -> String {
    let reason = status.state.as_ref().and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.as_deref());
    match reason {
        Some("ErrImagePull") => ": image can't be pulled".to_owned(),
        Some("ImagePullBackOff") => ": trying and failing to pull image".to_owned(),
        Some(reason) => format!(": {reason}"),
        None => " - no logs yet".to_owned(),
    }
}

/// Resolves once a container has ended and the runtime has written all of its output.
async fn ended<R: Runtime>(runtime: R, id: String) {
    loop {
        let mut events = runtime.events();
        // The stream is subscribed while the state is asked for, not after.
        let seen = tokio::select! {
            biased;
            ended = next_end(&mut events, &id) => ended,
            ended = has_ended(&runtime, &id) => match ended {
                Some(true) => return,
                Some(false) => tokio::select! {
                    ended = next_end(&mut events, &id) => ended,
                    // Events may be lost; this is for the one in a thousand.
                    () = sleep(RELIST) => continue,
                },
                None => false,
            },
        };
        if seen {
            return settled(&runtime, &id).await;
        }
        sleep(RETRY).await;
    }
}

/// Waits for the event of the end; false when events stop.
async fn next_end(
    events: &mut (impl futures::Stream<Item = Result<Event, Error>> + Unpin),
    id: &str,
) -> bool {
    while let Some(Ok(event)) = events.next().await {
        if matches!(&event, Event::Exited { id: exited } if exited == id) {
            return true;
        }
    }
    false
}

/// Whether the container has ended; none when the runtime does not answer.
async fn has_ended<R: Runtime>(runtime: &R, id: &str) -> Option<bool> {
    match runtime.container_status(id).await {
        Ok(status) => {
            Some(!matches!(status.container.state, ContainerState::Running | ContainerState::Created))
        }
        Err(Error::NotFound { .. }) => Some(true),
        Err(_) => None,
    }
}

/// Waits until the runtime itself shows the end that it reported.
async fn settled<R: Runtime>(runtime: &R, id: &str) {
    let mut pause = SETTLE;
    while has_ended(runtime, id).await == Some(false) {
        sleep(pause).await;
        pause = (2 * pause).min(RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ContainerEntry;
    use std::{collections::BTreeMap, sync::Arc};

    fn entry(runs: Option<ContainerEntry>, reason: Option<&str>) -> PodEntry {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"containers": [{"name": "app"}], "initContainers": [{"name": "init"}]},
            "status": {"containerStatuses": [{"name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": reason.map(|reason| json!({"reason": reason}))}}]},
        });
        let containers = runs.into_iter().map(|runs| ("app".to_owned(), runs)).collect::<BTreeMap<_, _>>();
        PodEntry { pod: Arc::new(serde_json::from_value(pod).unwrap()), sandbox: None, containers }
    }

    fn run(id: &str) -> Option<ContainerRun> {
        Some(ContainerRun { id: id.to_owned(), log: "/l".into(), is_running: false })
    }

    fn chosen(entry: &PodEntry, container: &str, previous: bool) -> Result<String, String> {
        let path = Path { namespace: "shop", pod: "web", uid: None, container };
        logged_run(entry, &path, previous).map(|run| run.id.clone())
    }

    #[test]
    fn the_log_of_the_run_that_is_meant_is_chosen() {
        let both = entry(Some(ContainerEntry { current: run("2"), previous: run("1") }), None);
        assert_eq!(chosen(&both, "app", false).as_deref(), Ok("2"));
        assert_eq!(chosen(&both, "app", true).as_deref(), Ok("1"));
        let waits_again =
            entry(Some(ContainerEntry { current: None, previous: run("1") }), Some("CrashLoopBackOff"));
        assert_eq!(chosen(&waits_again, "app", false).as_deref(), Ok("1"));
    }

    #[test]
    fn a_missing_log_is_explained_as_upstream_does() {
        let says =
            |reason, container, previous| chosen(&entry(None, reason), container, previous).unwrap_err();
        let start = "container \"app\" in pod \"web\" is waiting to start";
        assert_eq!(says(Some("ContainerCreating"), "app", false), format!("{start}: ContainerCreating"));
        assert_eq!(says(Some("ErrImagePull"), "app", false), format!("{start}: image can't be pulled"));
        assert_eq!(says(None, "app", false), format!("{start} - no logs yet"));
        assert_eq!(says(None, "init", false), "container \"init\" in pod \"web\" is not available");
        assert_eq!(says(None, "app", true), "previous terminated container \"app\" in pod \"web\" not found");
    }

    #[test]
    fn containers_of_all_sorts_are_known() {
        let entry = entry(None, None);
        assert!(has_container(&entry.pod, "app") && has_container(&entry.pod, "init"));
        assert!(!has_container(&entry.pod, "web"));
    }
}

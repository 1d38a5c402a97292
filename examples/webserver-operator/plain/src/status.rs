//! What a WebServer's status says.

use crate::api::{WebServer, WebServerStatus};
use k8s_openapi::{
    api::apps::v1::Deployment,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::ResourceExt as _;
use std::sync::Arc;

/// Whether a spec can be served.
pub(crate) enum Verdict {
    Accepted { host: String },
    HostTaken { host: String, by: Arc<WebServer> },
    NameTaken(String),
}

/// A status, and what is to be told with it.
pub(crate) struct Status {
    pub(crate) status: WebServerStatus,
    pub(crate) refusal: Option<(String, String)>,
}

/// The status of a site.
pub(crate) fn status(site: &WebServer, verdict: &Verdict, deployment: Option<&Deployment>) -> Status {
    let mut status = site.status.clone().unwrap_or_default();
    let generation = site.metadata.generation.unwrap_or_default();
    status.observed_generation = generation;
    status.ready_replicas = deployment.and_then(|d| d.status.as_ref()?.ready_replicas).unwrap_or(0);
    status.url = None;
    let not_accepted = || refused("NotAccepted", "the spec cannot be served".to_owned());
    let (accepted, ready) = match verdict {
        Verdict::Accepted { host } => {
            status.url = Some(format!("http://{host}/"));
            ((true, "Accepted", String::new()), readiness(deployment, site.spec.replicas))
        }
        Verdict::HostTaken { host, by } => {
            let by = format!("{}/{}", by.namespace().unwrap_or_default(), by.name_any());
            (refused("HostTaken", format!("{host} is the host of {by}")), not_accepted())
        }
        Verdict::NameTaken(other) => {
            (refused("NameTaken", format!("{other} is somebody else's")), not_accepted())
        }
    };
    let changed = set(&mut status.conditions, "Accepted", &accepted, generation);
    set(&mut status.conditions, "Ready", &ready, generation);
    let (is_accepted, reason, note) = accepted;
    let refusal = (changed && !is_accepted).then(|| (reason.to_owned(), note));
    Status { status, refusal }
}

type Says = (bool, &'static str, String);

fn refused(reason: &'static str, message: String) -> Says {
    (false, reason, message)
}

/// Sets a condition; its time moves with the status only. Whether it changed.
fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    (is_true, reason, message): &Says,
    generation: i64,
) -> bool {
    let mut new = Condition {
        type_: kind.to_owned(),
        status: if *is_true { "True" } else { "False" }.to_owned(),
        reason: (*reason).to_owned(),
        message: message.clone(),
        observed_generation: Some(generation),
        last_transition_time: Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()),
    };
    let Some(old) = conditions.iter_mut().find(|old| old.type_ == kind) else {
        conditions.push(new);
        return true;
    };
    if old.status == new.status {
        new.last_transition_time = old.last_transition_time.clone();
    }
    let changed = *old != new;
    *old = new;
    changed
}

fn readiness(deployment: Option<&Deployment>, wants: i32) -> Says {
    let Some(status) = deployment.and_then(|d| d.status.as_ref()) else {
        return refused("Deploying", "there are no pods yet".to_owned());
    };
    let stuck = status.conditions.iter().flatten().find(|condition| {
        let says = (condition.type_.as_deref(), condition.status.as_deref());
        says == (Some("Progressing"), Some("False")) || says == (Some("ReplicaFailure"), Some("True"))
    });
    let is_current = status.observed_generation >= deployment.and_then(|d| d.metadata.generation);
    let (updated, available) = (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    let is_complete =
        is_current && updated >= wants && available >= wants && status.replicas.unwrap_or(0) == wants;
    match stuck {
        _ if wants == 0 => refused("NoReplicas", "no pods are wanted".to_owned()),
        _ if is_complete => (true, "Serving", String::new()),
        Some(stuck) if is_current => refused("Stuck", stuck.message.clone().unwrap_or_default()),
        _ => refused("Deploying", format!("{} of {wants} pods serve the page", updated.min(available))),
    }
}

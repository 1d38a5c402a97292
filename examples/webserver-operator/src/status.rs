//! What a WebServer's status says.

use crate::{api::WebServerView, build::DEPLOYMENT};
use proa_kit::{
    Action, ObjectRef, Plan, Timestamp,
    children::Found,
    conditions::{self, Condition},
    views::deployment::DeploymentStatus,
};
use serde::Deserialize as _;
use serde_json::json;
use std::sync::Arc;

/// Whether a spec can be served.
pub(crate) enum Verdict {
    Accepted { host: String },
    HostTaken { host: String, by: ObjectRef },
    NameTaken(ObjectRef),
}

/// Puts the status into the plan, if it changes, and an event with a refusal.
pub(crate) fn report(
    site: &WebServerView,
    owner: &Arc<ObjectRef>,
    verdict: &Verdict,
    found: &[Found],
    now: Timestamp,
    plan: &mut Plan,
) {
    let generation = site.metadata.generation;
    let condition = |kind: &str, (status, reason, message): (bool, &str, String)| Condition {
        observed_generation: Some(generation),
        ..Condition::new(kind, if status { "True" } else { "False" }, reason, &message, now)
    };
    let (deployed, wants) = (deployed(site, found), site.spec.replicas);
    let mut status = site.status.clone();
    status.observed_generation = generation;
    status.ready_replicas = deployed.as_ref().map_or(0, |(_, status)| status.ready_replicas);
    status.url = None;
    let (accepted, ready) = match verdict {
        Verdict::Accepted { host } => {
            status.url = Some(format!("http://{host}/"));
            ((true, "Accepted", String::new()), readiness(deployed.as_ref(), wants))
        }
        Verdict::HostTaken { host, by } => {
            (refused("HostTaken", format!("{host} is the host of {}", by.key())), not_accepted())
        }
        Verdict::NameTaken(other) => (
            refused("NameTaken", format!("{} {} is somebody else's", other.kind.kind, other.key())),
            not_accepted(),
        ),
    };
    let (is_accepted, reason, note) = accepted.clone();
    if conditions::set(&mut status.conditions, condition("Accepted", accepted)) && !is_accepted {
        plan.push(Action::warning(owner, reason, note));
    }
    conditions::set(&mut status.conditions, condition("Ready", ready));
    if status != site.status {
        plan.status = Some(json!(status));
    }
}

type Says = (bool, &'static str, String);

fn refused(reason: &'static str, message: String) -> Says {
    (false, reason, message)
}

fn not_accepted() -> Says {
    refused("NotAccepted", "the spec cannot be served".to_owned())
}

/// Generation and status of the site's own Deployment.
fn deployed(site: &WebServerView, found: &[Found]) -> Option<(i64, DeploymentStatus)> {
    let is_own = |found: &&Found| {
        found.kind == DEPLOYMENT && found.object.metadata.is_controlled_by(&site.metadata.uid)
    };
    let object = &found.iter().find(is_own)?.object;
    Some((
        object.metadata.generation,
        DeploymentStatus::deserialize(&object.object["status"]).unwrap_or_default(),
    ))
}

fn readiness(deployed: Option<&(i64, DeploymentStatus)>, wants: i32) -> Says {
    let Some((generation, status)) = deployed else {
        return refused("Deploying", "there are no pods yet".to_owned());
    };
    let stuck = status.conditions.iter().find(|condition| {
        let failed = if &*condition.kind == "Progressing" { "False" } else { "True" };
        ["Progressing", "ReplicaFailure"].contains(&&*condition.kind) && &*condition.status == failed
    });
    let is_current = status.observed_generation >= *generation;
    let is_complete = is_current && status.updated_replicas >= wants && status.available_replicas >= wants;
    match stuck {
        _ if wants == 0 => refused("NoReplicas", "no pods are wanted".to_owned()),
        _ if is_complete && status.replicas == wants => (true, "Serving", String::new()),
        Some(stuck) if is_current => refused("Stuck", stuck.message.to_string()),
        _ => refused(
            "Deploying",
            format!(
                "{} of {wants} pods serve the page",
                status.updated_replicas.min(status.available_replicas)
            ),
        ),
    }
}

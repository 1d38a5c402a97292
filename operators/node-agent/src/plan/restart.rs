//! Whether a container that ended is started again, and when.
//!
//! Upstream: pkg/api/v1/pod/util.go (ContainerShouldRestart), pkg/kubelet/kuberuntime (doBackOff), client-go
//! `util/flowcontrol/backoff.go`.

use super::containers::{Role, Spec, spec};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

/// First pause before a restart.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// Longest pause.
const LONGEST: SignedDuration = SignedDuration::from_secs(300);
/// A container that ran this long since its last restart starts over.
const FORGOTTEN: SignedDuration = SignedDuration::from_secs(600);

/// What follows from an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Nothing: it stays as it is.
    No,
    /// It is started again.
    Yes,
    /// It and every other container of the pod are started again.
    Pod,
}

impl Restart {
    /// Whether it runs again at all.
    pub(crate) fn is_wanted(self) -> bool {
        self != Self::No
    }
}

/// What becomes of a container that ended with this code.
pub(crate) fn after_exit(pod: &Pod, container: Spec<'_>, code: i32) -> Restart {
    if container.role() == Role::Ephemeral {
        return Restart::No;
    }
    let policy = match container.restart_policy() {
        Some(own) => {
            if let Some(restart) = by_rule(container, code) {
                return restart;
            }
            own
        }
        None => pod_policy(pod, container),
    };
    match policy {
        "Never" => Restart::No,
        "OnFailure" if code == 0 => Restart::No,
        _ => Restart::Yes,
    }
}

/// Whether any exit code lets it be started again.
pub(crate) fn may_restart(pod: &Pod, container: Spec<'_>) -> bool {
    match container.restart_policy() {
        Some(own) => own != "Never" || !container.restart_rules().is_empty(),
        None => pod_policy(pod, container) != "Never",
    }
}

/// The pod's policy; an init container that succeeded is done, whatever the policy.
fn pod_policy<'a>(pod: &'a Pod, container: Spec<'_>) -> &'a str {
    match spec(pod).restart_policy.as_deref() {
        Some("Never") => "Never",
        _ if container.role() == Role::Init => "OnFailure",
        Some(policy) => policy,
        None => "Always",
    }
}

fn by_rule(container: Spec<'_>, code: i32) -> Option<Restart> {
    let rule = container.restart_rules().iter().find(|rule| {
        rule.exit_codes.as_ref().is_some_and(|codes| {
            let listed = codes.values.as_ref().is_some_and(|values| values.contains(&code));
            match codes.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            }
        })
    })?;
    match rule.action.as_str() {
        "Restart" => Some(Restart::Yes),
        "RestartAllContainers" => Some(Restart::Pod),
        _ => None,
    }
}

/// Pauses of one container's restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(crate) struct Backoff {
    /// The pause after the next exit, in seconds.
    pub(crate) seconds: i64,
    /// When it was last restarted.
    pub(crate) at: Timestamp,
}

impl Backoff {
    /// The pause after one more restart.
    pub(crate) fn next(present: Option<Self>, finished: Timestamp, now: Timestamp) -> Self {
        let pause = match present {
            Some(present) if !present.is_forgotten(finished) => {
                SignedDuration::from_secs(present.seconds.saturating_mul(2)).min(LONGEST)
            }
            _ => FIRST,
        };
        Self { seconds: pause.as_secs(), at: now }
    }
    /// Until when a container that ended waits, if it must.
    pub(crate) fn until(self, finished: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let until = finished + SignedDuration::from_secs(self.seconds);
        (!self.is_forgotten(finished) && now < until).then_some(until)
    }
    fn is_forgotten(self, finished: Timestamp) -> bool {
        finished.duration_since(self.at) > FORGOTTEN
    }
}

/// A pause as Go prints it.
pub(crate) fn go_duration(seconds: i64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::containers::{apps, init};
    use serde_json::{Value, json};

    fn pod(policy: &str, container: &Value) -> Pod {
        let mut container = container.clone();
        container["name"] = json!("a");
        serde_json::from_value(json!({"spec": {
            "restartPolicy": policy, "containers": [container], "initContainers": [container]}}))
        .unwrap()
    }

    #[test]
    fn policies_of_pod_and_container_and_rules_decide() {
        let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}},
            {"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0, 1]}}]);
        for (policy, container, code, want) in [
            ("Always", json!({}), 0, Restart::Yes),
            ("OnFailure", json!({}), 0, Restart::No),
            ("OnFailure", json!({}), 1, Restart::Yes),
            ("Never", json!({}), 1, Restart::No),
            ("Never", json!({"restartPolicy": "OnFailure"}), 1, Restart::Yes),
            ("Always", json!({"restartPolicy": "Never"}), 1, Restart::No),
            ("Never", json!({"restartPolicy": "Never", "restartPolicyRules": rules}), 42, Restart::Yes),
            ("Never", json!({"restartPolicy": "Never", "restartPolicyRules": rules}), 3, Restart::Pod),
            ("Never", json!({"restartPolicy": "Never", "restartPolicyRules": rules}), 1, Restart::No),
        ] {
            let pod = pod(policy, &container);
            let first = apps(&pod).next().unwrap();
            assert_eq!(after_exit(&pod, first, code), want, "{policy} {container} {code}");
        }
        let always = pod("Always", &json!({}));
        assert_eq!(after_exit(&always, init(&always).next().unwrap(), 0), Restart::No);
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_start_over_after_ten_quiet_ones() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = Backoff::next(None, at(0), at(0));
        assert_eq!((first.until(at(5), at(6)), first.until(at(5), at(15))), (Some(at(15)), None));
        let second = Backoff::next(Some(first), at(5), at(15));
        assert_eq!(second.seconds, 20);
        let long = Backoff { seconds: 300, at: at(0) };
        assert_eq!(Backoff::next(Some(long), at(600), at(600)).seconds, 300);
        assert_eq!(Backoff::next(Some(long), at(601), at(601)).seconds, 10);
        assert_eq!(long.until(at(601), at(601)), None);
        assert_eq!(
            (go_duration(10), go_duration(160), go_duration(300)),
            ("10s".into(), "2m40s".into(), "5m0s".into())
        );
    }
}

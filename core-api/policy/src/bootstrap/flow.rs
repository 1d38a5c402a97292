//! Priorities of requests: the two schemas and levels that every server must have, those that upstream suggests, and a
//! schema for Proa's operators, whose priority is that of upstream's controllers.
//!
//! Suggested objects follow this table as long as their annotation says so. Upstream: apiserver `pkg/apis/flowcontrol/bootstrap`, `pkg/registry/flowcontrol/ensurer`.

use super::{Wanted, reconcile};
use crate::objects;
use proa_meta::{Gvr, identity};
use serde_json::{Value, json};

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Levels whose requests wait in queues: name, shares, lendable percent, queues, size of a hand.
const QUEUED: [(&str, u32, u32, u32, u32); 6] = [
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
];
const QUEUE: u32 = 50;

/// Who a schema is about.
#[derive(Clone, Copy)]
enum Whom {
    Groups(&'static [&'static str]),
    Users(&'static [&'static str]),
    /// All service accounts of `kube-system`.
    SystemAccounts,
}

/// What of.
#[derive(Clone, Copy)]
enum What {
    Everything,
    Paths(&'static [&'static str]),
    /// Verbs, group, resources, also cluster-scoped ones.
    Resources(&'static [(&'static [&'static str], &'static str, &'static [&'static str], bool)]),
}

/// Name, level, precedence, what tells flows apart, who, and what of.
type Schema = (&'static str, &'static str, u32, &'static str, &'static [Whom], What);

const EVERYBODY: Whom = Whom::Groups(&[identity::UNAUTHENTICATED, identity::AUTHENTICATED]);
const NODES: Whom = Whom::Groups(&["system:nodes"]);
const CONTROLLERS: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
const LEASES: &str = "coordination.k8s.io";

const SCHEMAS: [Schema; 11] = [
    ("exempt", "exempt", 1, "", &[Whom::Groups(&[identity::MASTERS])], What::Everything),
    ("probes", "exempt", 2, "", &[EVERYBODY], What::Paths(&["/healthz", "/readyz", "/livez"])),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        &[Whom::Users(&[CONTROLLERS, SCHEDULER]), Whom::SystemAccounts],
        What::Resources(&[(&["get", "create", "update"], LEASES, &["leases"], false)]),
    ),
    (
        "system-node-high",
        "node-high",
        400,
        "ByUser",
        &[NODES],
        What::Resources(&[
            (&["*"], "", &["nodes", "nodes/status"], true),
            (&["*"], LEASES, &["leases"], false),
        ]),
    ),
    ("system-nodes", "system", 500, "ByUser", &[NODES], What::Everything),
    (
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        &[Whom::Users(&[CONTROLLERS])],
        What::Everything,
    ),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", &[Whom::Users(&[SCHEDULER])], What::Everything),
    (
        "kube-system-service-accounts",
        "workload-high",
        900,
        "ByNamespace",
        &[Whom::SystemAccounts],
        What::Everything,
    ),
    (
        "service-accounts",
        "workload-low",
        9000,
        "ByUser",
        &[Whom::Groups(&[identity::SERVICE_ACCOUNTS])],
        What::Everything,
    ),
    ("global-default", "global-default", 9900, "ByUser", &[EVERYBODY], What::Everything),
    ("catch-all", "catch-all", 10_000, "ByUser", &[EVERYBODY], What::Everything),
];

/// Priority levels.
pub(super) fn levels() -> Vec<Wanted> {
    let queued = QUEUED.into_iter().map(|(name, shares, lendable, queues, hand)| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": QUEUE});
        let response = json!({"type": "Queue", "queuing": queuing});
        (name, limited(shares, lendable, &response))
    });
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let others = [("exempt", exempt), ("catch-all", limited(5, 0, &json!({"type": "Reject"})))].into_iter();
    let level = |(name, spec)| wanted(objects::PRIORITY_LEVELS, "PriorityLevelConfiguration", name, &spec);
    others.chain(queued).map(level).collect()
}

fn limited(shares: u32, lendable: u32, response: &Value) -> Value {
    json!({"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}})
}

/// Flow schemas.
pub(super) fn schemas() -> Vec<Wanted> {
    let schema = |(name, level, precedence, method, whom, what): Schema| {
        let mut spec = json!({
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "rules": [rule(whom, what)],
        });
        if !method.is_empty() {
            spec["distinguisherMethod"] = json!({"type": method});
        }
        wanted(objects::FLOW_SCHEMAS, "FlowSchema", name, &spec)
    };
    SCHEMAS.into_iter().map(schema).collect()
}

/// The schema of Proa's operators, by the names of their users.
pub(super) fn operators(names: &[&str]) -> Option<Wanted> {
    let subjects: Vec<_> = names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect();
    let mut rule = rule(&[], What::Everything);
    rule["subjects"] = json!(subjects);
    let spec = json!({
        "priorityLevelConfiguration": {"name": "workload-high"},
        "matchingPrecedence": 850,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [rule],
    });
    (!names.is_empty()).then(|| wanted(objects::FLOW_SCHEMAS, "FlowSchema", "proa-operators", &spec))
}

fn rule(whom: &[Whom], what: What) -> Value {
    let subjects: Vec<_> = whom.iter().flat_map(|whom| subjects(*whom)).collect();
    let resources = |verbs: &[&str], group: &str, names: &[&str], of_cluster: bool| {
        let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": names, "namespaces": ["*"]});
        if of_cluster {
            rule["clusterScope"] = json!(true);
        }
        rule
    };
    let paths = |verb: &str, urls: &[&str]| json!([{"verbs": [verb], "nonResourceURLs": urls}]);
    let mut rule = json!({"subjects": subjects});
    match what {
        What::Everything => {
            rule["resourceRules"] = json!([resources(&["*"], "*", &["*"], true)]);
            rule["nonResourceRules"] = paths("*", &["*"]);
        }
        What::Paths(urls) => rule["nonResourceRules"] = paths("get", urls),
        What::Resources(rules) => {
            let rules = rules.iter().map(|(verbs, group, names, all)| resources(verbs, group, names, *all));
            rule["resourceRules"] = rules.collect();
        }
    }
    rule
}

fn subjects(whom: Whom) -> Vec<Value> {
    match whom {
        Whom::Groups(names) => {
            names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
        }
        Whom::Users(names) => {
            names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
        }
        Whom::SystemAccounts => {
            vec![
                json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}}),
            ]
        }
    }
}

fn wanted(gvr: Gvr, kind: &str, name: &str, spec: &Value) -> Wanted {
    let metadata = json!({"name": name, "annotations": {AUTO_UPDATE: "true"}});
    let object = json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec});
    let is_fixed = matches!(name, "exempt" | "catch-all");
    Wanted { gvr, object, reconcile: if is_fixed { reconcile::keep } else { follow } }
}

/// The wanted spec, where the object's annotation does not say that someone else looks after it.
fn follow(existing: &Value, wanted: &Value) -> Option<Value> {
    let metadata = &existing["metadata"];
    let follows = match metadata["annotations"][AUTO_UPDATE].as_str() {
        Some(text) => text == "true",
        None => metadata["generation"] == 1,
    };
    if !follows || existing["spec"] == wanted["spec"] {
        return None;
    }
    let mut changed = existing.clone();
    changed["spec"] = wanted["spec"].clone();
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_follow_unless_someone_else_looks_after_them() {
        let wanted = json!({"spec": {"a": 1}});
        let object = |auto: Value, generation: u32| {
            let metadata = json!({"annotations": {AUTO_UPDATE: auto}, "generation": generation});
            json!({"metadata": metadata, "spec": {"a": 2}})
        };
        assert_eq!(follow(&object(json!("false"), 1), &wanted), None);
        assert_eq!(follow(&object(Value::Null, 2), &wanted), None);
        for follows in [object(json!("true"), 3), object(Value::Null, 1)] {
            assert_eq!(follow(&follows, &wanted).unwrap()["spec"], wanted["spec"]);
        }
        assert_eq!(follow(&wanted, &wanted), None);
    }

    #[test]
    fn schemas_name_levels_that_exist() {
        let name = |wanted: &Wanted| wanted.object["metadata"]["name"].clone();
        let levels: Vec<_> = levels().iter().map(name).collect();
        for schema in schemas() {
            let level = &schema.object["spec"]["priorityLevelConfiguration"]["name"];
            assert!(levels.contains(level), "{level}");
        }
    }
}

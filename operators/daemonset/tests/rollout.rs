//! Random rollouts of a daemon set against a model of nodes: the bounds hold at every moment, and every rollout ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use proa_kit::{
    Action, Timestamp,
    action::Batch,
    views::{ControllerRevisionView, DaemonSetView, NodeView, PodView},
};
use proa_operator_daemonset::{observe::Observed, plan::plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

struct World {
    set: Value,
    nodes: usize,
    pods: Vec<Value>,
    revisions: Vec<Value>,
    made: usize,
    surge: usize,
    unavailable: usize,
}

fn view<V: serde::de::DeserializeOwned>(value: &Value) -> V {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True" && !is_deleting(pod)
}

fn is_deleting(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

impl World {
    fn new(nodes: usize, surge: usize, unavailable: usize) -> Self {
        let set = json!({
            "metadata": {"name": "log", "namespace": "ns", "uid": "ds", "generation": 1},
            "spec": {"selector": {"matchLabels": {"app": "log"}},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
                "template": {"metadata": {"labels": {"app": "log"}}, "spec": {"priority": 0}}},
        });
        Self { set, nodes, pods: Vec::new(), revisions: Vec::new(), made: 0, surge, unavailable }
    }
    fn pass(&mut self) -> bool {
        let node = |number| Arc::new(view::<NodeView>(&json!({"metadata": {"name": format!("n{number}")}})));
        let observed = Observed {
            nodes: (0..self.nodes).map(node).collect(),
            pods: self.pods.iter().map(|pod| Arc::new(view::<PodView>(pod))).collect(),
            revisions: self.revisions.iter().map(|r| Arc::new(view::<ControllerRevisionView>(r))).collect(),
            ..Observed::default()
        };
        let plan = plan(&view::<DaemonSetView>(&self.set), &observed, Timestamp::UNIX_EPOCH);
        if let Some(status) = plan.status {
            self.set["status"] = status;
        }
        plan.actions.iter().for_each(|action| self.write(action));
        !plan.actions.is_empty()
    }
    fn write(&mut self, action: &Action) {
        match action {
            Action::Batch(Batch { actions, .. }) => actions.iter().for_each(|action| self.write(action)),
            Action::Create(create) => {
                let mut object = create.object.clone();
                self.made += 1;
                let name = object["metadata"]["name"]
                    .as_str()
                    .map_or_else(|| format!("p{}", self.made), str::to_owned);
                object["metadata"]["name"] = json!(name);
                object["metadata"]["namespace"] = json!("ns");
                object["metadata"]["uid"] = json!(name);
                let (minute, second) = (self.made / 60, self.made % 60);
                object["metadata"]["creationTimestamp"] =
                    json!(format!("2026-01-01T00:{minute:02}:{second:02}Z"));
                if &*create.kind.kind == "Pod" { self.pods.push(object) } else { self.revisions.push(object) }
            }
            Action::Patch(patch) => {
                let revision =
                    self.revisions.iter_mut().find(|r| r["metadata"]["name"] == *patch.target.name).unwrap();
                revision["revision"] = patch.patch["revision"].clone();
            }
            Action::Delete(delete) if &*delete.target.kind.kind == "Pod" => {
                let pod =
                    self.pods.iter_mut().find(|pod| pod["metadata"]["name"] == *delete.target.name).unwrap();
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
            }
            Action::Delete(delete) => self.revisions.retain(|r| r["metadata"]["name"] != *delete.target.name),
            other => panic!("{other:?}"),
        }
    }
    fn update(&mut self, template: usize) {
        self.set["spec"]["template"]["spec"]["priority"] = json!(template);
        self.set["metadata"]["generation"] = json!(self.set["metadata"]["generation"].as_i64().unwrap() + 1);
    }
    /// One pod is bound and becomes ready.
    fn ready(&mut self, which: usize) {
        let mut waiting: Vec<&mut Value> =
            self.pods.iter_mut().filter(|pod| !is_ready(pod) && !is_deleting(pod)).collect();
        if waiting.is_empty() {
            return;
        }
        let at = which % waiting.len();
        let terms =
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let node = waiting[at].pointer(&format!("{terms}/0/matchFields/0/values/0")).unwrap().clone();
        waiting[at]["spec"]["nodeName"] = node;
        waiting[at]["status"] =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    }
    /// One pod that is going is gone.
    fn collect(&mut self, which: usize) {
        let going: Vec<usize> = (0..self.pods.len()).filter(|at| is_deleting(&self.pods[*at])).collect();
        if !going.is_empty() {
            self.pods.remove(going[which % going.len()]);
        }
    }
    fn on(&self, node: usize) -> Vec<&Value> {
        let name = format!("n{node}");
        let pods = self.pods.iter().map(|pod| (view::<PodView>(pod), pod));
        let here =
            pods.filter(|(view, _)| proa_operator_daemonset::plan::nodes::node_of(view) == Some(&name));
        here.map(|(_, pod)| pod).collect()
    }
    fn check(&self) {
        let ready = (0..self.nodes).filter(|node| self.on(*node).into_iter().any(is_ready)).count();
        let live = |node: usize| self.on(node).into_iter().filter(|pod| !is_deleting(pod)).count();
        let doubled = (0..self.nodes).filter(|node| live(*node) > 1).count();
        assert!(ready + self.unavailable >= self.nodes, "{ready} of {} nodes are ready", self.nodes);
        assert!(doubled <= self.surge, "{doubled} nodes have two pods");
    }
    fn settle(&mut self) {
        for _ in 0..500 {
            for which in 0..self.pods.len() {
                self.ready(which);
                self.collect(which);
            }
            if !self.pass() && !self.pods.iter().any(is_deleting) {
                return;
            }
        }
        panic!("the rollout never ends: {}", self.set);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_rollout_stays_within_its_bounds_and_ends(
        nodes in 1..6usize,
        limits in prop_oneof![(1..4usize).prop_map(|n| (n, 0)), (1..4usize).prop_map(|n| (0, n))],
        steps in prop::collection::vec((0..12usize, 0..4usize), 1..60),
    ) {
        let mut world = World::new(nodes, limits.0, limits.1);
        world.settle();
        world.check();
        for (what, which) in steps {
            match what {
                0 => world.update(which),
                1..4 => world.ready(which),
                4..7 => world.collect(which),
                _ => drop(world.pass()),
            }
            world.check();
        }
        world.settle();
        world.check();
        let count = i64::try_from(nodes).unwrap();
        prop_assert_eq!(&world.set["status"]["updatedNumberScheduled"], &json!(count));
        prop_assert_eq!(&world.set["status"]["numberAvailable"], &json!(count));
        prop_assert_eq!(world.pods.len(), nodes);
    }
}

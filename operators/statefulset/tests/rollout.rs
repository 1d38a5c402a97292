//! Random updates and scalings of a stateful set against a model of pods: order and bounds hold at every write, and every
//! one ends.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use proa_kit::{
    Action, Timestamp,
    action::Batch,
    views::{ControllerRevisionView, PodView, StatefulSetView},
};
use proa_operator_statefulset::{observe::Observed, plan::plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const START: usize = 3;

struct World {
    set: Value,
    pods: Vec<Value>,
    revisions: Vec<Value>,
    is_ordered: bool,
    most: usize,
}

fn view<V: serde::de::DeserializeOwned>(value: &Value) -> V {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn is_well(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True" && !is_deleting(pod)
}

fn is_deleting(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// The place of a pod among the wanted numbers.
fn place(pod: &Value) -> usize {
    let name = pod["metadata"]["name"].as_str().unwrap();
    name.strip_prefix("db-").unwrap().parse::<usize>().unwrap() - START
}

impl World {
    fn new(replicas: usize, is_ordered: bool, most: usize) -> Self {
        let policy = if is_ordered { "OrderedReady" } else { "Parallel" };
        let set = json!({
            "metadata": {"name": "db", "namespace": "ns", "uid": "sts", "generation": 1},
            "spec": {"replicas": replicas, "podManagementPolicy": policy, "ordinals": {"start": START},
                "selector": {"matchLabels": {"app": "db"}}, "revisionHistoryLimit": 2,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": most}},
                "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"priority": 0}}},
        });
        Self { set, pods: Vec::new(), revisions: Vec::new(), is_ordered, most }
    }
    fn pass(&mut self) -> bool {
        let observed = Observed {
            pods: self.pods.iter().map(|pod| Arc::new(view::<PodView>(pod))).collect(),
            revisions: self.revisions.iter().map(|r| Arc::new(view::<ControllerRevisionView>(r))).collect(),
            ..Observed::default()
        };
        let plan = plan(&view::<StatefulSetView>(&self.set), &observed, Timestamp::UNIX_EPOCH);
        let is_over = plan.actions.is_empty() && plan.status.is_none();
        let current = self.set["status"]["currentRevision"].clone();
        if let Some(status) = plan.status {
            self.set["status"] = status;
        }
        plan.actions.iter().for_each(|action| self.write(action, &current));
        !is_over
    }
    fn replicas(&self) -> usize {
        usize::try_from(self.set["spec"]["replicas"].as_u64().unwrap()).unwrap()
    }
    fn partition(&self) -> usize {
        let partition = &self.set["spec"]["updateStrategy"]["rollingUpdate"]["partition"];
        usize::try_from(partition.as_u64().unwrap()).unwrap()
    }
    fn at(&self, wanted: usize) -> Option<&Value> {
        self.pods.iter().find(|pod| place(pod) == wanted)
    }
    /// Places without a pod that is well.
    fn unavailable(&self) -> usize {
        (0..self.replicas()).filter(|place| !self.at(*place).is_some_and(is_well)).count()
    }
    /// `current` is the revision that pods had before the update, if there was any.
    fn write(&mut self, action: &Action, current: &Value) {
        match action {
            Action::Batch(Batch { actions, .. }) => {
                actions.iter().for_each(|action| self.write(action, current));
            }
            Action::Create(create) => {
                let mut object = create.object.clone();
                object["metadata"]["namespace"] = json!("ns");
                object["metadata"]["uid"] = object["metadata"]["name"].clone();
                match &*create.kind.kind {
                    "Pod" => self.create(object, current),
                    _ => self.revisions.push(object),
                }
            }
            Action::Patch(patch) => {
                let name = &*patch.target.name;
                let revision = self.revisions.iter_mut().find(|r| r["metadata"]["name"] == *name).unwrap();
                revision["revision"] = patch.patch["revision"].clone();
            }
            Action::Delete(delete) if &*delete.target.kind.kind == "Pod" => {
                let is_it = |pod: &Value| pod["metadata"]["name"] == *delete.target.name;
                let at = self.pods.iter().position(is_it).unwrap();
                self.may_go(&self.pods[at]);
                self.pods[at]["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
            }
            Action::Delete(delete) => self.revisions.retain(|r| r["metadata"]["name"] != *delete.target.name),
            other => panic!("{other:?}"),
        }
    }
    fn create(&mut self, mut pod: Value, current: &Value) {
        let number = place(&pod);
        assert!(self.at(number).is_none(), "number {number} is there twice");
        assert!(number < self.replicas(), "number {number} is not wanted");
        if self.is_ordered {
            let before = (0..number).all(|place| self.at(place).is_some_and(is_well));
            assert!(before, "number {number} is made before those below are well");
        }
        let revision = &pod["metadata"]["labels"]["controller-revision-hash"];
        let is_kept = number < self.partition() && !current.is_null();
        let wanted = if is_kept { current } else { &self.set["status"]["updateRevision"] };
        assert_eq!(revision, wanted, "number {number} with the partition at {}", self.partition());
        pod["status"] = json!({"phase": "Pending"});
        self.pods.push(pod);
    }
    /// Checks that a pod may be deleted now; what ended by itself always may.
    fn may_go(&self, pod: &Value) {
        let number = place(pod);
        if pod["status"]["phase"] == "Failed" {
            return;
        }
        if number >= self.replicas() {
            let is_last = self.pods.iter().all(|other| place(other) <= number);
            let unavailable = self.unavailable();
            assert!(
                !self.is_ordered || is_last && unavailable == 0,
                "{number} goes, {unavailable} are not well"
            );
            return;
        }
        assert!(number >= self.partition(), "{number} goes, before the partition at {}", self.partition());
        if is_well(pod) {
            let update = &self.set["status"]["updateRevision"];
            let is_done = |pod: &Value| {
                is_deleting(pod) || pod["metadata"]["labels"]["controller-revision-hash"] == *update
            };
            let after = (number + 1..self.replicas()).all(|place| self.at(place).is_none_or(is_done));
            assert!(after, "{number} goes before one behind it");
            let unavailable = self.unavailable();
            assert!(unavailable < self.most, "{number} goes, {unavailable} of {} may", self.most);
        }
    }
    fn update(&mut self, template: usize) {
        self.set["spec"]["template"]["spec"]["priority"] = json!(template);
        self.set["metadata"]["generation"] = json!(self.set["metadata"]["generation"].as_i64().unwrap() + 1);
    }
    fn scale(&mut self, replicas: usize) {
        self.set["spec"]["replicas"] = json!(replicas);
    }
    fn divide(&mut self, partition: usize) {
        self.set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = json!(partition);
    }
    /// One pod becomes ready.
    fn ready(&mut self, which: usize) {
        let mut waiting: Vec<&mut Value> =
            self.pods.iter_mut().filter(|pod| !is_well(pod) && !is_deleting(pod)).collect();
        if !waiting.is_empty() {
            let at = which % waiting.len();
            waiting[at]["status"] =
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        }
    }
    /// One pod ends by itself.
    fn fail(&mut self, which: usize) {
        let mut running: Vec<&mut Value> = self.pods.iter_mut().filter(|pod| is_well(pod)).collect();
        if !running.is_empty() {
            let at = which % running.len();
            running[at]["status"] = json!({"phase": "Failed"});
        }
    }
    /// One pod that is going is gone.
    fn collect(&mut self, which: usize) {
        let going: Vec<usize> = (0..self.pods.len()).filter(|at| is_deleting(&self.pods[*at])).collect();
        if !going.is_empty() {
            self.pods.remove(going[which % going.len()]);
        }
    }
    fn settle(&mut self) {
        for _ in 0..500 {
            for which in 0..self.pods.len() {
                self.ready(which);
                self.collect(which);
            }
            if !self.pass() && self.pods.iter().all(is_well) {
                return;
            }
        }
        panic!("it never ends: {}", self.set);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_update_keeps_its_order_and_ends(
        replicas in 0..5usize,
        is_ordered: bool,
        most in 1..4usize,
        steps in prop::collection::vec((0..15usize, 0..4usize), 1..60),
    ) {
        let mut world = World::new(replicas, is_ordered, most);
        world.settle();
        for (what, which) in steps {
            match what {
                0 => world.update(which),
                1 => world.scale(which + 1),
                2 => world.fail(which),
                3 => world.divide(which),
                4..7 => world.ready(which),
                7..10 => world.collect(which),
                _ => drop(world.pass()),
            }
        }
        world.divide(0);
        world.settle();
        let status = &world.set["status"];
        let wanted = world.set["spec"]["replicas"].as_u64().unwrap();
        let number = |field: &str| status[field].as_u64().unwrap_or(0);
        let (ready, current, updated) =
            (number("readyReplicas"), number("currentReplicas"), number("updatedReplicas"));
        prop_assert_eq!([ready, current, updated], [wanted; 3]);
        prop_assert_eq!(&status["currentRevision"], &status["updateRevision"]);
        prop_assert!(world.revisions.len() <= 3, "{} revisions", world.revisions.len());
        let mut names: Vec<String> =
            world.pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        let expected: Vec<String> = (START..).map(|n| format!("db-{n}")).take(names.len()).collect();
        prop_assert_eq!(names.len() as u64, wanted);
        prop_assert_eq!(names, expected);
    }
}

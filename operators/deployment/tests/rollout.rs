//! Random rollouts against a model of replica sets and nodes: the bounds hold at every moment, and every rollout ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed test says where"
)]

use proa_kit::{
    Action, Plan, Timestamp, rollout,
    rollout::IntOrPercent,
    views::{DeploymentView, ReplicaSetView},
};
use proa_operator_deployment::{observe::Observed, plan::plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

/// A replica set as the API has it, and the pods it really has.
struct Set {
    name: String,
    object: Value,
    ready: i32,
    unready: i32,
}

impl Set {
    fn replicas(&self) -> i32 {
        i32::try_from(self.object["spec"]["replicas"].as_i64().unwrap()).unwrap()
    }
    /// Creates what is missing, deletes what is too much, pods that are not ready first.
    fn manage(&mut self) {
        let missing = self.replicas() - self.ready - self.unready;
        if missing >= 0 {
            self.unready += missing;
        } else {
            let unready = self.unready.min(-missing);
            self.unready -= unready;
            self.ready += missing + unready;
        }
    }
    fn report(&mut self) {
        let generation = self.object["metadata"]["generation"].clone();
        self.object["status"] = json!({"replicas": self.ready + self.unready, "readyReplicas": self.ready,
            "availableReplicas": self.ready, "observedGeneration": generation, "terminatingReplicas": 0});
    }
}

struct World {
    deployment: Value,
    sets: Vec<Set>,
    limits: (i32, i32),
}

impl World {
    fn new(replicas: i32, surge: &IntOrPercent, unavailable: &IntOrPercent) -> Self {
        let deployment = json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "d", "generation": 1},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"image": 0}}},
        });
        let limits = rollout::fenceposts(Some(surge), Some(unavailable), replicas);
        Self { deployment, sets: Vec::new(), limits }
    }
    fn replicas(&self) -> i32 {
        i32::try_from(self.deployment["spec"]["replicas"].as_i64().unwrap()).unwrap()
    }
    fn update(&mut self, image: i32) {
        self.deployment["spec"]["template"]["spec"]["image"] = json!(image);
        let generation = self.deployment["metadata"]["generation"].as_i64().unwrap() + 1;
        self.deployment["metadata"]["generation"] = json!(generation);
    }
    /// One pass of the operator. Whether it changed a replica set.
    fn roll(&mut self) -> bool {
        let deployment: DeploymentView = serde_json::from_str(&self.deployment.to_string()).unwrap();
        let view = |set: &Set| serde_json::from_str::<ReplicaSetView>(&set.object.to_string()).unwrap();
        let sets = self.sets.iter().map(|set| Arc::new(view(set))).collect();
        let observed = Observed { sets, ..Observed::default() };
        let Plan { actions, status, .. } = plan(&deployment, &observed, Timestamp::UNIX_EPOCH);
        if let Some(status) = status {
            self.deployment["status"] = status;
        }
        actions.iter().for_each(|action| self.write(action));
        !actions.is_empty()
    }
    fn write(&mut self, action: &Action) {
        match action {
            Action::Create(create) => {
                let mut object = create.object.clone();
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                assert!(self.sets.iter().all(|set| set.name != name), "{name} exists");
                object["metadata"]["namespace"] = json!("ns");
                object["metadata"]["uid"] = json!(name);
                object["metadata"]["generation"] = json!(1);
                let second = self.sets.len();
                object["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:00:{second:02}Z"));
                self.sets.push(Set { name, object, ready: 0, unready: 0 });
            }
            Action::Patch(patch) => {
                let set = self.sets.iter_mut().find(|set| *set.name == *patch.target.name).unwrap();
                merge(&mut set.object, &patch.patch);
                let generation = set.object["metadata"]["generation"].as_i64().unwrap() + 1;
                set.object["metadata"]["generation"] = json!(generation);
            }
            Action::Delete(delete) => self.sets.retain(|set| *set.name != *delete.target.name),
            other => panic!("{other:?}"),
        }
    }
    fn check(&self) {
        let (surge, unavailable) = self.limits;
        let wanted: i32 = self.sets.iter().map(Set::replicas).sum();
        let ready: i32 = self.sets.iter().map(|set| set.ready).sum();
        assert!(wanted <= self.replicas() + surge, "{wanted} wanted pods");
        assert!(ready >= self.replicas() - unavailable, "{ready} ready pods");
    }
    fn settle(&mut self) {
        for _ in 0..1000 {
            for set in &mut self.sets {
                set.manage();
                set.ready += set.unready;
                set.unready = 0;
                set.report();
            }
            if !self.roll()
                && self.deployment["status"]["updatedReplicas"].as_i64().unwrap_or(0)
                    == i64::from(self.replicas())
            {
                return;
            }
        }
        panic!("the rollout never ends: {}", self.deployment);
    }
}

fn merge(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(map) => {
            for (key, value) in map {
                merge(&mut into[key], value);
            }
        }
        other => *into = other.clone(),
    }
}

fn limit() -> impl Strategy<Value = IntOrPercent> {
    prop_oneof![
        (0..5).prop_map(IntOrPercent::Int),
        (0..=100).prop_map(|percent| IntOrPercent::Text(format!("{percent}%").into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_rollout_stays_within_its_bounds_and_ends(
        replicas in 1..12i32,
        surge in limit(),
        unavailable in limit(),
        steps in prop::collection::vec((0..12usize, 0..4usize), 1..80),
    ) {
        let mut world = World::new(replicas, &surge, &unavailable);
        world.roll();
        world.settle();
        world.check();
        for (what, which) in steps {
            let at = which % world.sets.len();
            match what {
                0 => world.update(i32::try_from(which).unwrap()),
                1..4 => world.sets[at].manage(),
                4..7 => world.sets[at].report(),
                7..9 if world.sets[at].unready > 0 => {
                    world.sets[at].unready -= 1;
                    world.sets[at].ready += 1;
                }
                _ => drop(world.roll()),
            }
            world.check();
        }
        world.settle();
        world.check();
        let with_pods: Vec<i32> = world.sets.iter().map(Set::replicas).filter(|replicas| *replicas > 0).collect();
        prop_assert_eq!(with_pods, vec![replicas]);
    }
}

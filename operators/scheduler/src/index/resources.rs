//! Amounts of resources: what a pod needs, what a node has. Whole numbers: milli-CPUs and units.
//!
//! Invariant: scalars are sorted by name and never zero. A quantity that cannot be read counts as zero; the API server
//! has validated it. Deliberately absent: resources that a resize has granted but the spec no longer asks for.
//! Upstream: component-helpers `resource/helpers.go`, pkg/scheduler/util/pod_resources.go.

use proa_kit::{
    Pairs,
    views::pod_spec::{Container, PodSpec},
};
use proa_meta::quantity::Quantity;

/// Amounts by resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPU in thousandths.
    pub milli_cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Ephemeral storage in bytes.
    pub storage: i64,
    /// All others: huge pages, extended resources.
    pub scalars: Vec<(Box<str>, i64)>,
}

/// What a pod needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// What is set aside for it.
    pub needed: Amounts,
    /// CPU and memory for scoring: containers that ask for nothing count as using a little.
    pub scored: (i64, i64),
}

/// CPU and memory of a container that does not say.
const UNSAID: (i64, i64) = (100, 200 * 1024 * 1024);

impl Amounts {
    /// Reads quantities; `pods` is no amount of a pod and left out.
    pub fn read(pairs: &Pairs) -> Self {
        let mut amounts = Self::default();
        for (name, text) in pairs.iter() {
            let quantity = Quantity::parse(text).unwrap_or_default();
            match name {
                "cpu" => amounts.milli_cpu = quantity.milli_value(),
                "memory" => amounts.memory = quantity.value(),
                "ephemeral-storage" => amounts.storage = quantity.value(),
                "pods" => {}
                _ => amounts.set_scalar(name, quantity.value()),
            }
        }
        amounts
    }
    /// Whether nothing is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.storage == 0 && self.scalars.is_empty()
    }
    /// Amount of a scalar resource.
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.binary_search_by(|(own, _)| (**own).cmp(name)).map_or(0, |at| self.scalars[at].1)
    }
    fn set_scalar(&mut self, name: &str, value: i64) {
        match (self.scalars.binary_search_by(|(own, _)| (**own).cmp(name)), value) {
            (Ok(at), 0) => drop(self.scalars.remove(at)),
            (Ok(at), value) => self.scalars[at].1 = value,
            (Err(_), 0) => {}
            (Err(at), value) => self.scalars.insert(at, (name.into(), value)),
        }
    }
    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.storage = with(self.storage, other.storage);
        for (name, value) in &other.scalars {
            self.set_scalar(name, with(self.scalar(name), *value));
        }
    }
    /// Adds.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }
    /// Takes away.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
    }
    /// The larger of each.
    fn raise(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }
}

impl Requests {
    /// What a pod of this spec needs: containers and sidecars at once, or the largest init container with the sidecars
    /// before it, whichever is more; the pod's own figures instead where it has some; the runtime's overhead.
    pub fn of(spec: &PodSpec) -> Self {
        let scored = total(spec, UNSAID);
        Self { needed: total(spec, (0, 0)), scored: (scored.milli_cpu, scored.memory) }
    }
}

fn total(spec: &PodSpec, unsaid: (i64, i64)) -> Amounts {
    let mut running = Amounts::default();
    for container in &spec.containers {
        running.add(&requested(container, unsaid));
    }
    let (mut sidecars, mut peak) = (Amounts::default(), Amounts::default());
    for container in &spec.init_containers {
        let mut own = requested(container, unsaid);
        if is_sidecar(container) {
            running.add(&own);
            sidecars.add(&own);
            peak.raise(&sidecars);
        } else {
            own.add(&sidecars);
            peak.raise(&own);
        }
    }
    running.raise(&peak);
    if let Some(pod) = &spec.resources {
        replace(&mut running, &pod.requests);
    }
    running.add(&Amounts::read(&spec.overhead));
    running
}

/// Whether an init container keeps running.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn requested(container: &Container, unsaid: (i64, i64)) -> Amounts {
    let requests = &container.resources.requests;
    let mut amounts = Amounts::read(requests);
    if requests.get("cpu").is_none() {
        amounts.milli_cpu = unsaid.0;
    }
    if requests.get("memory").is_none() {
        amounts.memory = unsaid.1;
    }
    amounts
}

fn replace(amounts: &mut Amounts, pod: &Pairs) {
    let own = Amounts::read(pod);
    if pod.get("cpu").is_some() {
        amounts.milli_cpu = own.milli_cpu;
    }
    if pod.get("memory").is_some() {
        amounts.memory = own.memory;
    }
    for (name, value) in own.scalars.iter().filter(|(name, _)| name.starts_with("hugepages-")) {
        amounts.set_scalar(name, *value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn requests(spec: Value) -> Requests {
        Requests::of(&serde_json::from_value(spec).unwrap())
    }

    fn container(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn containers_add_up_and_the_largest_init_container_counts() {
        let spec =
            json!({"containers": [container("100m"), container("200m")], "initContainers": [container("1")]});
        assert_eq!(requests(spec).needed.milli_cpu, 1000);
    }

    #[test]
    fn sidecars_run_beside_containers_and_later_init_containers() {
        let mut sidecar = container("200m");
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({"containers": [container("100m")], "initContainers": [sidecar, container("300m")]});
        assert_eq!(requests(spec).needed.milli_cpu, 500);
    }

    #[test]
    fn the_pods_own_figures_win_and_overhead_is_added() {
        let spec = json!({"containers": [container("100m")], "overhead": {"cpu": "10m"},
            "resources": {"requests": {"cpu": "2"}}});
        assert_eq!(requests(spec).needed.milli_cpu, 2010);
    }

    #[test]
    fn silent_containers_count_a_little_in_scores_only() {
        let Requests { needed, scored } = requests(json!({"containers": [{}, {}]}));
        assert!(needed.is_zero());
        assert_eq!(scored, (200, 400 * 1024 * 1024));
    }

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(values in proptest::collection::vec(("[a-d]/x", 1_i64..1000, 0_i64..1000), 1..20)) {
            let all: Vec<Amounts> = values.iter().map(|(name, scalar, cpu)| Amounts {
                milli_cpu: *cpu, scalars: vec![(name.as_str().into(), *scalar)], ..Amounts::default()
            }).collect();
            let mut sum = Amounts::default();
            all.iter().for_each(|amounts| sum.add(amounts));
            prop_assert!(sum.scalars.is_sorted());
            all.iter().for_each(|amounts| sum.subtract(amounts));
            prop_assert!(sum.is_zero());
        }
    }
}

//! Resources that are left.
//!
//! Upstream: pkg/scheduler/framework/plugins/noderesources/fit.go.

use crate::index::{
    Candidate,
    nodes::{Load, Node},
    resources::Amounts,
};

/// What a node lacks. Cheap, since most nodes of a full cluster are asked in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lack {
    pods: bool,
    cpu: bool,
    memory: bool,
    storage: bool,
    /// One bit per scalar resource of the pod; those beyond count as the last.
    scalars: u64,
    /// More is asked for than the whole node has.
    beyond: bool,
}

impl Lack {
    /// Whether fewer pods would help.
    pub fn is_resolvable(self) -> bool {
        !self.beyond
    }
    /// What is said about it.
    pub fn reasons(self, pod: &Candidate) -> Vec<String> {
        let fixed = [(self.cpu, "cpu"), (self.memory, "memory"), (self.storage, "ephemeral-storage")];
        let scalars = pod.requests.needed.scalars.iter().enumerate();
        let lacking = scalars.filter(|(at, _)| self.scalars & bit(*at) != 0).map(|(_, (name, _))| &**name);
        let named = fixed.into_iter().filter(|(lacks, _)| *lacks).map(|(_, name)| name).chain(lacking);
        let few = self.pods.then(|| "Too many pods".to_owned());
        few.into_iter().chain(named.map(|name| format!("Insufficient {name}"))).collect()
    }
}

fn bit(at: usize) -> u64 {
    1 << at.min(63)
}

/// Whether what is asked for is left of the node under this load.
pub fn fits(needed: &Amounts, node: &Node, load: &Load) -> Result<(), Lack> {
    let (all, used) = (&node.allocatable, &load.requested);
    let mut lack = Lack { pods: load.pods + 1 > node.most_pods, ..Lack::default() };
    let mut beyond = false;
    let mut lacks = |asked: i64, all: i64, used: i64| {
        let lacks = asked > 0 && asked > all - used;
        beyond |= lacks && asked > all;
        lacks
    };
    lack.cpu = lacks(needed.milli_cpu, all.milli_cpu, used.milli_cpu);
    lack.memory = lacks(needed.memory, all.memory, used.memory);
    lack.storage = lacks(needed.storage, all.storage, used.storage);
    for (at, (name, asked)) in needed.scalars.iter().enumerate() {
        if lacks(*asked, all.scalar(name), used.scalar(name)) {
            lack.scalars |= bit(at);
        }
    }
    lack.beyond = beyond;
    if lack == Lack::default() { Ok(()) } else { Err(lack) }
}

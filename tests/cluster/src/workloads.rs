//! The operators that most operators of others rely on.

use crate::Builder;

macro_rules! with {
    ($builder:ident, $($name:literal => $krate:ident),* $(,)?) => {
        $builder$(.operator($name, $krate::rules(), $krate::run))*
    };
}

impl Builder {
    /// With Deployments, ReplicaSets, Services, service accounts, scheduling, garbage collection and nodes.
    #[must_use]
    pub fn workloads(self) -> Self {
        with!(self,
            "service-account" => proa_operator_service_account,
            "deployment" => proa_operator_deployment,
            "replicaset" => proa_operator_replicaset,
            "service" => proa_operator_service,
            "scheduler" => proa_operator_scheduler,
            "garbage-collector" => proa_operator_garbage_collector,
            // It takes the taint off a node that is ready.
            "node-lifecycle" => proa_operator_node_lifecycle,
        )
    }
}

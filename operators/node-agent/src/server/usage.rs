//! What node, pods and containers use.

use super::{
    PodLookup, State, query,
    reply::{self, Answer},
    route::Metrics,
};
use crate::stats::{agent_metrics, container_metrics, resource_metrics};
use hyper::{Request, body::Incoming};
use proa_runtime_shim::Runtime;

impl<R: Runtime, P: PodLookup> State<R, P> {
    /// `/stats/summary`.
    pub(super) async fn summary(&self, request: &Request<Incoming>) -> Answer {
        let only_cpu_and_memory =
            query(request).iter().any(|(name, value)| name == "only_cpu_and_memory" && value == "true");
        let usage = self.stats.usage(&self.pods.pods()).await;
        reply::json(&crate::stats::summary(&usage, only_cpu_and_memory))
    }

    /// `/metrics` and its siblings.
    pub(super) async fn metrics(&self, which: Metrics) -> Answer {
        let pods = self.pods.pods();
        let text = match which {
            Metrics::Agent => agent_metrics(&self.config.node, &pods),
            Metrics::Resource => resource_metrics(self.stats.usage(&pods).await.as_ref()),
            Metrics::Containers => container_metrics(self.stats.usage(&pods).await.as_ref()),
        };
        Ok(reply::metrics(text))
    }
}

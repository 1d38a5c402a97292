//! What a decision about an autoscaler needs: the target's scale, its pods, and the figures of its metrics.

mod memory;
mod metrics;
mod scale;

pub use memory::{History, Lesson, Memory, Moment, is_within};
pub use metrics::{Reading, Sample};
pub use scale::Scale;

use crate::plan::{Decision, decide};
use futures::future::join_all;
use proa_kit::{
    Index, Key, Reader, Timestamp,
    views::{HorizontalPodAutoscalerView, PodView},
};
use proa_meta::selector::Selector;
use std::sync::{Arc, OnceLock};

/// What was read.
#[derive(Debug, Default)]
pub struct Observed {
    /// The target's scale, or why there is none.
    pub scale: Option<Result<Scale, String>>,
    /// Pods of the target.
    pub pods: Vec<Arc<PodView>>,
    /// Autoscalers that select any of these pods, itself among them; two at most.
    pub selecting: Vec<Key>,
    /// Figures by the metrics of the spec, or why there are none; empty when they do not matter.
    pub readings: Vec<Result<Reading, String>>,
    /// What is remembered.
    pub history: History,
    /// What was decided on all this.
    pub decision: OnceLock<Decision>,
}

impl Observed {
    /// What is decided on this; the same whenever it is asked.
    pub fn decision(&self, autoscaler: &HorizontalPodAutoscalerView, now: Timestamp) -> &Decision {
        self.decision.get_or_init(|| decide(autoscaler, self, now))
    }
}

/// Reads it. What cannot be read is part of what was observed.
pub async fn observe(reader: &Reader, autoscaler: &HorizontalPodAutoscalerView, memory: &Memory) -> Observed {
    let scale = scale::of_target(reader, autoscaler, memory).await;
    let mut observed = Observed { history: memory.history(autoscaler), ..Observed::default() };
    let wanted = scale.as_ref().ok().filter(|scale| crate::plan::needs_metrics(autoscaler, scale.replicas));
    if let Some(text) = wanted.map(|scale| &*scale.selector).filter(|text| !text.is_empty())
        && let Ok(selector) = Selector::parse(text)
    {
        observed.pods = pods(reader, &autoscaler.metadata.namespace, &selector);
        observed.selecting = memory.select(autoscaler, &selector, &observed.pods);
        if observed.selecting.len() < 2 {
            let ask = |metric| metrics::read(reader, autoscaler, metric, text, memory);
            observed.readings = join_all(autoscaler.spec.metrics.iter().map(ask)).await;
        }
    }
    observed.scale = Some(scale);
    observed
}

fn pods(reader: &Reader, namespace: &str, selector: &Selector) -> Vec<Arc<PodView>> {
    let mut pods = reader.cache::<PodView>().by(&Index::NAMESPACE, namespace);
    pods.retain(|pod| selector.matches(|key| pod.metadata.labels.get(key)));
    pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    pods
}

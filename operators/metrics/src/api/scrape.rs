//! Has nodes measure, when somebody asks and at most every few seconds.
//!
//! A node is asked through the API server's proxy: that knows the way and by what the node's agent is known. Two samples
//! are kept of each node that was asked lately, and nothing of others. The first question waits for a second sample.
//! A node that does not answer in time is not asked again for a while, so that only the first question waits for it.
//! Not every fifteen seconds as metrics-server: most of the time nobody asks, and an autoscaler asks that often anyhow.

use super::samples::{Figures, Sample, figures, parse};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use proa_kit::Reader;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// How long figures are shown again.
const FRESH: Duration = Duration::from_secs(3);
/// How long the first question waits between two samples: agents show a measurement again for three seconds.
const FIRST: Duration = Duration::from_millis(3100);
/// How far back the first sample may lie.
const MEMORY: Duration = Duration::from_secs(90);
/// The same.
pub(super) const MEMORY_MILLISECONDS: i64 = 90_000;
/// How long a node may take: the first question of all waits about as long anyhow.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a node is left alone that took longer.
const SILENT: Duration = Duration::from_secs(15);
/// Nodes that are asked at once.
const AT_ONCE: usize = 128;

/// What is known of a node.
#[derive(Default)]
struct Known {
    asked: Option<Instant>,
    /// It did not answer in time.
    is_silent: bool,
    latest: Option<Sample>,
    figures: Option<Arc<Figures>>,
}

/// Why a node was not measured.
enum Failure {
    /// It did not answer in time.
    Silent,
    /// It, or the API server, says why.
    Told(String),
}

/// Whoever asks for a node that is being measured waits for the same measurement, so this lock is held meanwhile.
type Shared = Arc<tokio::sync::Mutex<Known>>;

/// Asks nodes.
pub(super) struct Scraper {
    reader: Reader,
    nodes: Mutex<HashMap<Box<str>, Shared>>,
}

impl Scraper {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, nodes: Mutex::new(HashMap::new()) }
    }

    /// Figures of these nodes, as far as there are any.
    pub(super) async fn of_all(&self, nodes: Vec<Box<str>>) -> HashMap<Box<str>, Arc<Figures>> {
        let asked = nodes.into_iter().map(|node| async move {
            let figures = self.of(&node).await?;
            Some((node, figures))
        });
        stream::iter(asked).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
    }

    async fn of(&self, node: &str) -> Option<Arc<Figures>> {
        let shared = self.known(node);
        let mut known = shared.lock().await;
        let pause = if known.is_silent { SILENT } else { FRESH };
        if known.asked.is_some_and(|asked| asked.elapsed() < pause) {
            return known.figures.clone();
        }
        let is_old = known.asked.is_none_or(|asked| asked.elapsed() > MEMORY);
        let earlier = known.latest.take().filter(|_| !is_old);
        known.figures = None;
        let measured = self.measure(node, earlier).await;
        known.asked = Some(Instant::now());
        known.is_silent = matches!(measured, Err(Failure::Silent));
        match measured {
            Ok((earlier, later)) => {
                known.figures = Some(Arc::new(figures(&earlier, &later)));
                // The same measurement again tells nothing; the older one is worth more.
                known.latest = Some(if later.at() == earlier.at() { earlier } else { later });
            }
            Err(Failure::Silent) => tracing::debug!(node, "a node does not say in time what it uses"),
            Err(Failure::Told(why)) => tracing::debug!(node, why, "a node does not say what it uses"),
        }
        known.figures.clone()
    }

    fn known(&self, node: &str) -> Shared {
        let mut nodes = self.nodes.lock();
        if let Some(known) = nodes.get(node) {
            return known.clone();
        }
        // Nodes that nobody asks for any more.
        nodes.retain(|_, known| {
            known.try_lock().map_or(true, |known| known.asked.is_none_or(|asked| asked.elapsed() < MEMORY))
        });
        nodes.entry(node.into()).or_default().clone()
    }

    async fn measure(&self, node: &str, earlier: Option<Sample>) -> Result<(Sample, Sample), Failure> {
        let later = self.sample(node).await?;
        if let Some(earlier) = earlier {
            return Ok((earlier, later));
        }
        sleep(FIRST).await;
        Ok((later, self.sample(node).await?))
    }

    async fn sample(&self, node: &str) -> Result<Sample, Failure> {
        let path = format!("/api/v1/nodes/{node}/proxy/metrics/resource");
        let read = self.reader.text(&path, "text/plain");
        let read = timeout(PATIENCE, read).await.map_err(|_| Failure::Silent)?;
        read.map(|text| parse(&text)).map_err(|error| Failure::Told(error.message()))
    }
}

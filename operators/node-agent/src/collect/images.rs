//! Images that nothing uses, removed when their disk fills up: those unused for longest first.
//!
//! Upstream: pkg/kubelet/images/image_gc_manager.go.

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use proa_runtime_shim::{Image, Result, Runtime};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tokio::sync::Notify;

/// Above this share of the disk, in per cent, images are removed.
const HIGH: u64 = 85;
/// Until this share is reached.
const LOW: u64 = 80;
/// An image that came less than this long ago stays.
const YOUNG: SignedDuration = SignedDuration::from_secs(120);

/// When an image was first seen and last used.
#[derive(Clone, Copy, Debug)]
struct Record {
    seen: Timestamp,
    used: Timestamp,
}

/// Removes images.
pub(super) struct ImageCollector<R> {
    runtime: R,
    changed: Arc<Notify>,
    records: Mutex<HashMap<String, Record>>,
}

impl<R: Runtime> ImageCollector<R> {
    pub(super) fn new(runtime: R, changed: Arc<Notify>) -> Self {
        Self { runtime, changed, records: Mutex::default() }
    }
    /// Removes images if their disk is too full.
    pub(super) async fn collect_if_full(&self, now: Timestamp) {
        match self.excess().await {
            Ok(bytes) => self.collect(bytes, YOUNG, now).await,
            Err(error) => tracing::debug!(%error, "disk of images cannot be measured"),
        }
    }
    /// Removes every image that nothing uses.
    pub(super) async fn collect_all(&self, now: Timestamp) {
        self.collect(u64::MAX, SignedDuration::ZERO, now).await;
    }
    /// Bytes above the low mark, if the high one is passed.
    async fn excess(&self) -> std::result::Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let place = self.runtime.image_filesystem().await?.mountpoint;
        let space = rustix::fs::statvfs(&place)?;
        let (total, free) = (space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize);
        let used = total.saturating_sub(free);
        Ok(if used * 100 < total * HIGH { 0 } else { used.saturating_sub(total / 100 * LOW) })
    }
    async fn collect(&self, bytes: u64, age: SignedDuration, now: Timestamp) {
        match self.unused(now).await {
            Ok(unused) => self.remove(unused, bytes, age, now).await,
            Err(error) => tracing::debug!(%error, "images cannot be listed"),
        }
    }
    /// Images that no container has, those unused for longest first.
    async fn unused(&self, now: Timestamp) -> Result<Vec<(Image, Record)>> {
        let (images, containers) =
            futures::future::try_join(self.runtime.images(), self.runtime.containers()).await?;
        let used: HashSet<String> = containers.into_iter().map(|container| container.image).collect();
        let mut records = self.records.lock();
        records.retain(|id, _| images.iter().any(|image| image.id == *id));
        let mut unused = Vec::new();
        for image in images {
            let record =
                records.entry(image.id.clone()).or_insert(Record { seen: now, used: Timestamp::UNIX_EPOCH });
            if is_used(&image, &used) {
                record.used = now;
            } else if !image.pinned {
                unused.push((image, *record));
            }
        }
        unused.sort_by_key(|(_, record)| (record.used, record.seen));
        Ok(unused)
    }
    async fn remove(&self, unused: Vec<(Image, Record)>, bytes: u64, age: SignedDuration, now: Timestamp) {
        let mut freed = 0;
        for (image, _) in unused.into_iter().filter(|(_, record)| now.duration_since(record.seen) >= age) {
            if freed >= bytes {
                return;
            }
            match self.runtime.remove_image(&image.id).await {
                Ok(()) => {
                    tracing::info!(
                        image = image.id,
                        bytes = image.size,
                        "removed an image that nothing uses"
                    );
                    freed += image.size;
                    self.changed.notify_one();
                }
                Err(error) => tracing::warn!(image = image.id, %error, "image was not removed"),
            }
        }
    }
}

/// Whether a container has the image, by id or by any of its names.
fn is_used(image: &Image, used: &HashSet<String>) -> bool {
    used.contains(&image.id) || image.tags.iter().chain(&image.digests).any(|name| used.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proa_runtime_shim::fake::{Fake, Pull};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn pinned_images_stay_and_old_ones_go_first() {
        let fake = Fake::new();
        for (name, pinned) in [("pause:1", true), ("a:1", false), ("b:1", false)] {
            let image = Image { pinned, size: 10, ..Image::default() };
            fake.on_pull(name, Pull { image, ..Pull::default() });
            fake.pull_image(name, None).await.unwrap();
        }
        let names = async || -> Vec<String> {
            fake.images().await.unwrap().into_iter().flat_map(|image| image.tags).collect()
        };
        let collector = ImageCollector::new(fake.clone(), Arc::default());
        collector.collect(10, YOUNG, at(0)).await;
        assert_eq!(names().await.len(), 3);
        collector.collect(10, YOUNG, at(120)).await;
        assert_eq!(names().await.len(), 2);
        collector.collect_all(at(121)).await;
        let left = names().await;
        assert!(left.len() == 1 && left[0].contains("pause"), "{left:?}");
    }
}

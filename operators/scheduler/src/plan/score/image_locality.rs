//! Prefers nodes that have the pod's images, the more of them the better; less for an image that few nodes have, so that
//! these do not get all of its pods.
//!
//! Upstream: pkg/scheduler/framework/plugins/imagelocality/image_locality.go.

use super::MOST;
use crate::index::{
    Candidate,
    images::Held,
    nodes::{Node, Nodes, Slot},
};
use std::borrow::Cow;

const MIB: i64 = 1 << 20;
/// Images that are smaller together make no difference.
const LEAST: i64 = 23 * MIB;
/// Larger ones make no more than this, each.
const LARGEST: i64 = 1000 * MIB;

/// 0 to 100 for each node; nothing when no node is known to have any of them.
pub fn scores(pod: &Candidate, all: &Nodes, nodes: &[(Slot, &Node)]) -> Option<Vec<i64>> {
    if all.images().is_empty() {
        return None;
    }
    let spec = &pod.view.spec;
    let containers = spec.init_containers.iter().chain(&spec.containers).map(|container| &container.image);
    let volumes =
        spec.volumes.iter().filter_map(|volume| volume.image.as_ref()).map(|image| &image.reference);
    let names: Vec<Cow<'_, str>> = containers.chain(volumes).map(|name| with_tag(name)).collect();
    let held: Vec<&Held> = names.iter().filter_map(|name| all.images().get(name)).collect();
    if held.is_empty() {
        return None;
    }
    let gains: Vec<(i64, &Held)> = held.into_iter().map(|held| (gain(held, all.len()), held)).collect();
    let one = |slot: Slot| {
        let has = gains.iter().filter(|(_, held)| held.nodes.contains(&slot));
        mark(has.map(|(gain, _)| gain).sum(), names.len())
    };
    Some(nodes.iter().map(|(slot, _)| one(*slot)).collect())
}

/// The size, in proportion to the share of nodes that have it.
fn gain(held: &Held, nodes: usize) -> i64 {
    let (size, having) = (i128::from(held.size), held.nodes.len() as i128);
    i64::try_from(size * having / (nodes.max(1) as i128)).unwrap_or(i64::MAX)
}

fn mark(sum: i64, images: usize) -> i64 {
    let largest = LARGEST.saturating_mul(i64::try_from(images).unwrap_or(i64::MAX));
    MOST * (sum.clamp(LEAST, largest) - LEAST) / (largest - LEAST)
}

/// The name as nodes say it: with a tag.
fn with_tag(name: &str) -> Cow<'_, str> {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { Cow::Borrowed(name) } else { Cow::Owned(format!("{name}:latest")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_marked_between_the_thresholds() {
        for (sum, images, want) in
            [(0, 1, 0), (23 * MIB, 1, 0), (250 * MIB, 1, 23), (1000 * MIB, 1, 100), (2000 * MIB, 2, 100)]
        {
            assert_eq!(mark(sum, images), want, "{sum} {images}");
        }
    }

    #[test]
    fn a_name_without_a_tag_means_the_latest() {
        assert_eq!(with_tag("host:5000/web"), "host:5000/web:latest");
        assert_eq!(with_tag("host:5000/web:1"), "host:5000/web:1");
        assert_eq!(with_tag("web@sha256:0"), "web@sha256:0");
    }
}

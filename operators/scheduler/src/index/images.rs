//! Which nodes have which images, as they report them.
//!
//! Upstream: pkg/scheduler/backend/cache/cache.go (addNodeImageStates).

use super::nodes::Slot;
use proa_kit::views::node::Image;
use std::collections::{HashMap, HashSet};

/// An image, by one of its names.
#[derive(Debug)]
pub struct Held {
    /// Its size, as the first node said that reported it.
    pub size: i64,
    /// Nodes that have it.
    pub nodes: HashSet<Slot>,
}

/// All images that some node has, by name.
#[derive(Debug, Default)]
pub struct Images(HashMap<Box<str>, Held>);

impl Images {
    /// A node has other images than before.
    pub(super) fn change(&mut self, slot: Slot, old: &[Image], new: &[Image]) {
        if old == new {
            return;
        }
        for name in old.iter().flat_map(|image| &image.names) {
            if let Some(held) = self.0.get_mut(name) {
                held.nodes.remove(&slot);
                if held.nodes.is_empty() {
                    self.0.remove(name);
                }
            }
        }
        for image in new {
            for name in &image.names {
                let first = || Held { size: image.size_bytes, nodes: HashSet::new() };
                self.0.entry(name.clone()).or_insert_with(first).nodes.insert(slot);
            }
        }
    }
    /// An image that some node has.
    pub fn get(&self, name: &str) -> Option<&Held> {
        self.0.get(name)
    }
    /// Whether no node says what it has.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

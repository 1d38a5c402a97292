//! Labels of namespaces, which rules about other pods may select.

use proa_kit::{Change, Pairs, selector::LabelSelector, views::NamespaceView};
use std::collections::HashMap;

/// The namespaces that have labels.
#[derive(Debug, Default)]
pub struct Namespaces(HashMap<Box<str>, Pairs>);

impl Namespaces {
    /// Takes in a change; whether labels changed.
    pub(super) fn set(&mut self, change: &Change<NamespaceView>) -> bool {
        let Some(latest) = change.latest() else { return false };
        let labels = change.new.as_ref().map(|new| new.metadata.labels.clone()).unwrap_or_default();
        let before = if labels.is_empty() {
            self.0.remove(&latest.metadata.name)
        } else {
            self.0.insert(latest.metadata.name.clone(), labels.clone())
        };
        before.unwrap_or_default() != labels
    }
    /// Whether the selector matches a namespace. One that is not known has no labels.
    pub fn match_one(&self, selector: &LabelSelector, namespace: &str) -> bool {
        self.0
            .get(namespace)
            .map_or_else(|| selector.matches(&Pairs::default()), |labels| selector.matches(labels))
    }
}

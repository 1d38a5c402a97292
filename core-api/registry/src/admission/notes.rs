//! What admission leaves behind beside the object: warnings, and what one round of mutation tells the next.

use parking_lot::Mutex;
use std::{
    any::Any,
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
};

/// What admission has to say about one request, over all its tries.
#[derive(Default)]
pub struct Notes {
    warnings: Mutex<Warnings>,
    asked_others: AtomicBool,
}

/// In the order in which they came, and as what is looked at before another is added.
#[derive(Default)]
struct Warnings {
    list: Vec<String>,
    known: HashSet<String>,
}

impl Notes {
    /// Adds the text of a `Warning` header; equal ones are sent once.
    pub fn warn(&self, text: String) {
        let mut warnings = self.warnings.lock();
        if warnings.known.insert(text.clone()) {
            warnings.list.push(text);
        }
    }
    /// What has been added.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().list.clone()
    }
    /// The decision waits for someone outside of this process, so nobody else may have to wait for it.
    pub fn ask_others(&self) {
        self.asked_others.store(true, Ordering::Relaxed);
    }
    /// Whether someone outside was asked.
    pub fn asked_others(&self) -> bool {
        self.asked_others.load(Ordering::Relaxed)
    }
}

/// The rounds of one mutating admission. Who changed the object in a way that the others have to see asks for a second
/// round; there is no third. Upstream: apiserver `pkg/admission/reinvocation.go`.
#[derive(Default)]
pub struct Rounds {
    second: AtomicBool,
    wanted: AtomicBool,
    kept: Mutex<HashMap<&'static str, Box<dyn Any + Send>>>,
}

impl Rounds {
    /// Whether all plugins run for the second time.
    pub fn is_second(&self) -> bool {
        self.second.load(Ordering::Relaxed)
    }
    /// Asks for the second round.
    pub fn want_second(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }
    /// Starts the second round if it was asked for.
    pub(crate) fn next(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && !self.second.swap(true, Ordering::Relaxed)
    }
    /// Keeps something of a plugin for the next round.
    pub fn keep<T: Any + Send>(&self, plugin: &'static str, what: T) {
        self.kept.lock().insert(plugin, Box::new(what));
    }
    /// Gives back what the plugin kept.
    pub fn take<T: Any + Send>(&self, plugin: &'static str) -> Option<T> {
        self.kept.lock().remove(plugin).and_then(|kept| kept.downcast().ok()).map(|kept| *kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_second_round_once_it_is_wanted_and_no_third() {
        let rounds = Rounds::default();
        assert!(!rounds.next() && !rounds.is_second());
        rounds.keep("a", 7_u8);
        rounds.want_second();
        assert!(rounds.next() && rounds.is_second());
        assert_eq!((rounds.take::<u8>("a"), rounds.take::<u8>("a")), (Some(7), None));
        rounds.want_second();
        assert!(!rounds.next());
    }

    #[test]
    fn a_warning_is_told_once() {
        let notes = Notes::default();
        for text in ["a", "b", "a"] {
            notes.warn(text.to_owned());
        }
        assert_eq!(notes.warnings(), ["a", "b"]);
    }
}

//! Annotations for the audit log, gathered while a request is answered.
//!
//! They belong to the request and not to what any stage decides, so they travel beside it: whoever audits a request
//! answers it within [`Annotations::gather`], and whoever has something to say calls [`annotate`]. Where nobody audits,
//! that costs a look at an empty place. Upstream: apiserver `pkg/audit/context.go`, which keeps them in Go's context.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

tokio::task_local! {
    static GATHERED: Arc<Annotations>;
}

/// What has been said about one request.
#[derive(Debug, Default)]
pub struct Annotations {
    texts: Mutex<BTreeMap<String, String>>,
    /// Whether also contents of requests are recorded.
    contents: bool,
}

impl Annotations {
    /// None yet. `contents`: the log also holds what requests contain, so patches may be told.
    pub fn new(contents: bool) -> Arc<Self> {
        Arc::new(Self { contents, ..Self::default() })
    }
    /// Does the work and takes what is said meanwhile.
    pub async fn gather<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        GATHERED.scope(self, work).await
    }
    /// Adds one; what was said first under a key stays, as upstream.
    pub fn add(&self, key: impl Into<String>, value: impl Into<String>) {
        self.texts.lock().entry(key.into()).or_insert_with(|| value.into());
    }
    /// What has been said so far.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.texts.lock().clone()
    }
}

/// Annotates the present request if it is audited.
pub fn annotate(key: impl FnOnce() -> String, value: impl FnOnce() -> String) {
    let _ = GATHERED.try_with(|gathered| gathered.add(key(), value()));
}

/// Annotates the present request if its contents are audited.
pub fn annotate_contents(key: impl FnOnce() -> String, value: impl FnOnce() -> String) {
    let _ = GATHERED.try_with(|gathered| {
        if gathered.contents {
            gathered.add(key(), value());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn only_what_is_gathered_is_kept_and_the_first_word_counts() {
        let say = |value: &str| {
            annotate(|| "a/b".to_owned(), || value.to_owned());
            annotate_contents(|| "patch".to_owned(), || value.to_owned());
        };
        say("lost");
        for (contents, want) in [(false, vec!["a/b"]), (true, vec!["a/b", "patch"])] {
            let annotations = Annotations::new(contents);
            block_on(annotations.clone().gather(async {
                say("1");
                say("2");
            }));
            assert_eq!(annotations.texts().keys().collect::<Vec<_>>(), want);
            assert!(annotations.texts().values().all(|value| value == "1"));
        }
    }
}

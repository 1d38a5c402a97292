//! What is left in a terminating namespace: discovery, then one list per kind.

use crate::PODS;
use futures::{StreamExt, stream};
use proa_kit::{
    Error, Kind, Meta, Reader,
    discovery::{self, Discovery},
    views::{NamespaceView, ObjectView},
};

/// Lists at once.
const AT_ONCE: usize = 16;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Whether the namespace is going and still has to be emptied.
    pub terminating: bool,
    /// Objects by kind; pods alone as long as there are any.
    pub content: Vec<Content>,
    /// Groups whose kinds are unknown.
    pub undiscovered: Vec<Box<str>>,
    /// What went wrong with lists.
    pub failures: Vec<String>,
}

/// The objects of one kind.
#[derive(Clone, Debug)]
pub struct Content {
    /// The kind.
    pub kind: Kind,
    /// Their metadata.
    pub objects: Vec<Meta>,
}

/// Reads it.
pub async fn observe(reader: &Reader, namespace: &NamespaceView) -> Result<Observed, Error> {
    if !crate::plan::must_be_emptied(namespace) {
        return Ok(Observed::default());
    }
    let name = &namespace.metadata.name;
    let Discovery { kinds, failures } = discovery::discover(reader).await?;
    let mut observed = Observed { terminating: true, undiscovered: failures, ..Observed::default() };
    let deletable = kinds
        .into_iter()
        .filter(|served| served.kind.namespaced && served.can(&["list", "delete"]))
        .map(|served| served.kind);
    let (pods, others): (Vec<Kind>, Vec<Kind>) = deletable.partition(is_pods);
    for kinds in [pods, others] {
        list(reader, name, kinds, &mut observed).await;
        if !observed.content.is_empty() {
            break;
        }
    }
    Ok(observed)
}

fn is_pods(kind: &Kind) -> bool {
    kind.group == PODS.group && kind.plural == PODS.plural
}

async fn list(reader: &Reader, namespace: &str, kinds: Vec<Kind>, observed: &mut Observed) {
    let lists = stream::iter(kinds).map(|kind| async move {
        let listed = reader.list::<ObjectView>(&kind, namespace).await;
        (kind, listed)
    });
    let mut lists = lists.buffered(AT_ONCE);
    while let Some((kind, listed)) = lists.next().await {
        match listed {
            Ok(listed) if listed.items.is_empty() => {}
            Ok(listed) => {
                let objects = listed.items.into_iter().map(|object| object.metadata).collect();
                observed.content.push(Content { kind, objects });
            }
            // The kind's definition went meanwhile.
            Err(error) if error.is_not_found() => {}
            Err(error) => observed.failures.push(error.to_string()),
        }
    }
}

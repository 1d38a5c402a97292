//! Which kinds the API serves, now: for operators that handle every kind, of definitions too.
//!
//! One kind per group and resource, in the version that its group prefers. A group whose API server does not answer is
//! named in `failures`; the others are still there. Upstream: client-go `discovery/discovery_client.go`.

use crate::{error::Result, kind::Kind, reader::Reader, views::null_as_default};
use serde::Deserialize;
use std::collections::HashSet;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A kind that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The kind.
    pub kind: Kind,
    /// What can be done with it.
    pub verbs: Box<[Box<str>]>,
}

impl Served {
    /// Whether all of these can be done.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|own| **own == **verb))
    }
}

/// What is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Kinds, without subresources.
    pub kinds: Vec<Served>,
    /// Groups with a version, such as `metrics.k8s.io/v1beta1`, that did not answer.
    pub failures: Vec<Box<str>>,
}

/// Asks the API server.
pub async fn discover(reader: &Reader) -> Result<Discovery> {
    let mut all = Discovery::default();
    for path in ["/api", "/apis"] {
        let groups: Groups = reader.fetch(path, AGGREGATED).await?;
        groups.items.into_iter().for_each(|group| all.add(group));
    }
    Ok(all)
}

impl Discovery {
    fn add(&mut self, group: Group) {
        let name = group.metadata.name;
        let mut known = HashSet::new();
        for version in group.versions {
            if &*version.freshness == "Stale" {
                self.failures.push(format!("{name}/{}", version.version).into());
            }
            for resource in version.resources {
                if known.insert(resource.resource.clone()) {
                    self.kinds.push(served(&name, &version.version, resource));
                }
            }
        }
    }
}

fn served(group: &str, version: &str, resource: Resource) -> Served {
    let kind = Kind {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: resource.response_kind.kind.into_string().into(),
        plural: resource.resource.into_string().into(),
        namespaced: &*resource.scope == "Namespaced",
    };
    Served { kind, verbs: resource.verbs }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default, deserialize_with = "null_as_default")]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Name,
    #[serde(default, deserialize_with = "null_as_default")]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    name: Box<str>,
}

#[derive(Deserialize)]
struct Version {
    version: Box<str>,
    #[serde(default)]
    freshness: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: Box<str>,
    #[serde(default)]
    scope: Box<str>,
    #[serde(default)]
    response_kind: ResponseKind,
    #[serde(default, deserialize_with = "null_as_default")]
    verbs: Box<[Box<str>]>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseKind {
    kind: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_comes_once_in_the_preferred_version() {
        let group = r#"{"metadata":{"name":"g.io"},"versions":[
            {"version":"v2","resources":[{"resource":"as","scope":"Namespaced","responseKind":{"kind":"A"},"verbs":["list"]}]},
            {"version":"v1","freshness":"Stale","resources":[
                {"resource":"as","scope":"Namespaced","responseKind":{"kind":"A"},"verbs":["list"]},
                {"resource":"bs","scope":"Cluster","responseKind":{"kind":"B"},"verbs":null}]}]}"#;
        let mut all = Discovery::default();
        all.add(serde_json::from_str(group).unwrap());
        let kinds: Vec<String> =
            all.kinds.iter().map(|s| format!("{} {}", s.kind.path("n", "", ""), s.can(&["list"]))).collect();
        assert_eq!(kinds, ["/apis/g.io/v2/namespaces/n/as true", "/apis/g.io/v1/bs false"]);
        assert_eq!(all.failures, ["g.io/v1".into()]);
    }
}

//! What a decision about a WebServer needs: the objects of its name, and others that ask for its host.

use crate::{Settings, api::WebServerView, build};
use proa_kit::{
    Index, Key, Reader, View,
    children::{self, Found},
};
use std::sync::Arc;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its children, and what of others has their names.
    pub found: Vec<Found>,
    /// Other WebServers of the same host.
    pub rivals: Vec<Arc<WebServerView>>,
}

/// WebServers by the host that they name.
pub const HOST: Index<WebServerView> =
    Index { name: "host", values: |site, found| site.spec.host.iter().for_each(|host| found(host)) };

/// Reads it.
pub fn observe(reader: &Reader, site: &WebServerView, settings: &Settings) -> Observed {
    let meta = site.meta();
    Observed {
        found: children::observe(reader, meta, &build::KINDS, &[&meta.name]),
        rivals: rivals(reader, site, settings),
    }
}

/// Other WebServers of the same host: those that name it, and the one that has it by its own name.
pub fn rivals(reader: &Reader, site: &WebServerView, settings: &Settings) -> Vec<Arc<WebServerView>> {
    let (cache, host) = (reader.cache::<WebServerView>(), site.host(&settings.domain));
    let own_name =
        host.strip_suffix(&settings.domain).and_then(|rest| rest.strip_suffix('.')?.split_once('.'));
    let unnamed = own_name.and_then(|(name, namespace)| cache.get(&Key::new(namespace, name)));
    let mut all = cache.by(&HOST, &host);
    all.extend(unnamed.filter(|other| other.spec.host.is_none()));
    all.retain(|other| other.metadata.uid != site.metadata.uid);
    all
}

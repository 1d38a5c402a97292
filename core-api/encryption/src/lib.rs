//! Values encrypted at rest: an engine around the store's own that encrypts what is written and decrypts what is loaded.
//!
//! Which values, and with which keys, an EncryptionConfiguration says ([`Encryption::parse`]). The first provider of a
//! resource writes, all of its providers read. Keys are rotated by a new first provider and by writing each object
//! again: a value that was read with another than the first key is *stale* until then, and a write that changes
//! nothing else writes it all the same. The bytes of a value are upstream's: `k8s:enc:PROVIDER:v1:KEY:` and the
//! ciphertext; what `aesgcm` authenticates beside it is the store's key, so that values cannot change places.
//! Deliberately absent: KMS; encryption of keys, that is of kinds, namespaces and names.
//! Upstream: apiserver `pkg/server/options/encryptionconfig`, `pkg/storage/value`.

mod config;
mod provider;

pub use config::ConfigError;

use bytes::Bytes;
use parking_lot::Mutex;
use proa_meta::GroupResource;
use proa_store::{
    Backup, Change, Engine, EngineError, Key, Loaded, Meter, Object, OpenError, Revision, Stale, Value,
};
use provider::Provider;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt, io,
    path::Path,
    sync::Arc,
};

/// What all encrypted values begin with.
const ENCRYPTED: &[u8] = b"k8s:enc:";
/// Stands for every group or resource.
const ANY: &str = "*";

/// Who reads and writes the values of which resources. The default encrypts nothing.
#[derive(Default)]
pub struct Encryption(Vec<Rule>);

struct Rule {
    resource: GroupResource,
    providers: Vec<Arc<Provider>>,
}

impl Encryption {
    /// The providers of a key such as `/apps/deployments/default/web`: of its resource, else of its group, else of all.
    fn providers(&self, key: &str) -> &[Arc<Provider>] {
        let mut parts = key.split('/').skip(1);
        let (Some(group), Some(resource)) = (parts.next(), parts.next()) else { return &[] };
        let named = |group: &str, resource: &str| {
            self.0.iter().find(|rule| rule.resource.group == group && rule.resource.resource == resource)
        };
        let rule = named(group, resource).or_else(|| named(group, ANY)).or_else(|| named(ANY, ANY));
        rule.map_or(&[], |rule| &rule.providers)
    }

    /// What is kept of a value.
    fn seal(&self, key: &str, plain: &Bytes) -> Result<Bytes, String> {
        match self.providers(key).first() {
            // Claims have no value.
            Some(provider) if !plain.is_empty() => provider.seal(key, plain),
            _ => Ok(plain.clone()),
        }
    }

    /// The value, and whether it is kept in another way than it would be by now.
    fn open(&self, key: &str, kept: &Bytes) -> Result<(Bytes, bool), String> {
        let providers = self.providers(key);
        if providers.is_empty() || kept.is_empty() {
            return Provider::Identity.open(key, kept).map(|plain| (plain, false));
        }
        let mut problems = Vec::new();
        for (i, provider) in providers.iter().enumerate().filter(|(_, provider)| provider.knows(kept)) {
            match provider.open(key, kept) {
                Ok(plain) => return Ok((plain, i > 0)),
                Err(problem) => problems.push(problem),
            }
        }
        problems.dedup();
        let none = "no provider of its resource in the encryption configuration has its prefix";
        Err(if problems.is_empty() { none.to_owned() } else { problems.join("; ") })
    }
}

/// An engine whose values are encrypted at rest.
pub struct Encrypted<E> {
    engine: E,
    encryption: Encryption,
    stale: Arc<Mutex<HashSet<Key>>>,
}

impl<E: Engine> Encrypted<E> {
    /// Around an engine. With an encryption of nothing it only sees to it that nothing encrypted is taken for a value.
    pub fn new(engine: E, encryption: Encryption) -> Self {
        Self { engine, encryption, stale: Arc::default() }
    }

    /// Decrypts everything. Of a value that cannot be read, and that a later change replaced, history is forgotten up to
    /// there, and told: mostly it is what a rotation leaves behind, and a damaged one is no loss to what lives. Any other
    /// is an error that names it.
    fn decrypt(&mut self, loaded: &mut Loaded) -> Result<(), OpenError> {
        let mut stale = self.stale.lock();
        // The next change of each key, for the walk goes backwards.
        let mut next: HashMap<Key, Revision> = HashMap::new();
        let (mut gone, mut unreadable) = (loaded.compacted, Unreadable::default());
        let mut open = |key: &Key, bytes: &mut Bytes, next: Option<&Revision>| {
            match (self.encryption.open(key, bytes), next) {
                (Ok((plain, is_stale)), next) => {
                    *bytes = plain;
                    if is_stale && next.is_none() {
                        stale.insert(key.clone());
                    }
                }
                (Err(_), Some(next)) => {
                    unreadable.add(bytes);
                    gone = gone.max(*next);
                }
                (Err(what), None) => return Err(OpenError::Unreadable { key: key.clone(), what }),
            }
            Ok(())
        };
        for change in loaded.changes.iter_mut().rev() {
            if let Some(value) = &mut change.value {
                open(&change.key, &mut value.bytes, next.get(&change.key))?;
            }
            next.insert(change.key.clone(), change.revision);
        }
        for object in &mut loaded.base {
            open(&object.key, &mut object.bytes, next.get(&object.key))?;
        }
        drop(stale);
        if gone > loaded.compacted {
            tracing::warn!(%unreadable, "history is forgotten up to the last of these superseded values, which no key of the configuration reads");
            forget(loaded, gone);
            let what = "forget history that cannot be read".to_owned();
            let forgotten = self.engine.compact(gone).map_err(io::Error::other);
            forgotten.map_err(|source| OpenError::Io { what, source })?;
        }
        Ok(())
    }
}

/// Superseded values that cannot be read: how many there are of each key, by what they begin with.
#[derive(Default)]
struct Unreadable(BTreeMap<String, usize>);

impl Unreadable {
    fn add(&mut self, kept: &[u8]) {
        let end = kept.iter().enumerate().filter(|(_, byte)| **byte == b':').nth(4).map(|(at, _)| at);
        let key = end.filter(|_| kept.starts_with(ENCRYPTED)).map_or(&b"none"[..], |end| &kept[..end]);
        *self.0.entry(String::from_utf8_lossy(key).into_owned()).or_default() += 1;
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.0.iter().map(|(key, count)| format!("{count} of key {key}"));
        f.write_str(&each.collect::<Vec<_>>().join(", "))
    }
}

/// Makes the state at a revision what history begins with.
fn forget(loaded: &mut Loaded, up_to: Revision) {
    let base = std::mem::take(&mut loaded.base);
    let mut base: HashMap<Key, Object> = base.into_iter().map(|o| (o.key.clone(), o)).collect();
    let end = loaded.changes.partition_point(|change| change.revision <= up_to);
    for Change { revision, key, value } in loaded.changes.drain(..end) {
        match value {
            Some(value) => base.insert(key.clone(), Object { key, revision, bytes: value.bytes }),
            None => base.remove(&key),
        };
    }
    loaded.base = base.into_values().collect();
    loaded.compacted = up_to;
}

impl<E: Engine> Engine for Encrypted<E> {
    fn load(&mut self) -> Result<Loaded, OpenError> {
        let mut loaded = self.engine.load()?;
        let values = loaded.changes.iter().filter_map(|change| Some(&change.value.as_ref()?.bytes));
        let mut values = values.chain(loaded.base.iter().map(|object| &object.bytes));
        if !self.encryption.0.is_empty() || values.any(|bytes| bytes.starts_with(ENCRYPTED)) {
            self.decrypt(&mut loaded)?;
        }
        Ok(loaded)
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), EngineError> {
        if self.encryption.0.is_empty() {
            return self.engine.append(changes);
        }
        let sealed = changes.iter().map(|change| {
            let value = change.value.as_ref().map(|value| self.encryption.seal(&change.key, &value.bytes));
            let value = value.transpose().map_err(EngineError::Io)?.map(Value::new);
            Ok(Change { value, key: change.key.clone(), revision: change.revision })
        });
        let sealed = sealed.collect::<Result<Vec<_>, EngineError>>()?;
        self.engine.append(&sealed)?;
        let mut stale = self.stale.lock();
        if !stale.is_empty() {
            for change in changes {
                stale.remove(&change.key);
            }
        }
        Ok(())
    }

    fn recover(&mut self, next: Revision) -> Result<(), EngineError> {
        self.engine.recover(next)
    }
    fn compact(&mut self, up_to: Revision) -> Result<(), EngineError> {
        self.engine.compact(up_to)
    }
    fn shrink(&mut self) -> Result<(), EngineError> {
        self.engine.shrink()
    }
    fn backup(&mut self, to: &Path) -> Result<Backup, EngineError> {
        self.engine.backup(to)
    }
    fn meter(&self) -> Meter {
        self.engine.meter()
    }
    fn stale(&self) -> Stale {
        let stale = self.stale.clone();
        Box::new(move |key| stale.lock().contains(key))
    }
    fn close(&mut self) -> Result<(), EngineError> {
        self.engine.close()
    }
}

#[cfg(test)]
mod tests;

//! What is to be in a volume whose content the agent owns.
//!
//! Pure. Upstream: `MakePayload` of `pkg/volume/{configmap,secret}`, `pkg/volume/util/atomic_writer.go`
//! (`FileProjection`).

use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Secret};
use std::{borrow::Cow, collections::BTreeMap};

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Content.
    pub(super) data: Vec<u8>,
    /// Permissions.
    pub(super) mode: u32,
    /// Owner; root without one.
    pub(super) owner: Option<u32>,
}

/// Files by path below the volume.
pub(super) type Payload = BTreeMap<String, File>;

/// Permissions and owner of files that name none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    /// Permissions.
    pub(super) mode: Option<i32>,
    /// Owner.
    pub(super) user: Option<i64>,
}

impl Defaults {
    /// A file with these, unless it names its own.
    pub(super) fn file(self, data: Vec<u8>, mode: Option<i32>, user: Option<i64>) -> File {
        let mode = mode.or(self.mode).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644) & 0o777;
        let owner = user.or(self.user).and_then(|user| u32::try_from(user).ok());
        File { data, mode, owner }
    }
}

/// What a volume takes of an object.
pub(super) struct Selection<'a> {
    /// Name of the object.
    pub(super) name: &'a str,
    /// Which keys; all when there are none.
    pub(super) items: &'a [KeyToPath],
    /// Permissions and owner.
    pub(super) defaults: Defaults,
    /// Whether object and keys may be missing.
    pub(super) optional: bool,
}

type Data<'a> = BTreeMap<&'a str, Cow<'a, [u8]>>;

impl Selection<'_> {
    /// Files of a ConfigMap; of nothing when it is missing and may be.
    pub(super) fn of_config_map(&self, map: Option<&ConfigMap>) -> Result<Payload, String> {
        let data = map.map(|map| {
            let texts =
                map.data.iter().flatten().map(|(key, text)| (key.as_str(), Cow::Borrowed(text.as_bytes())));
            let bytes = map.binary_data.iter().flatten();
            texts.chain(bytes.map(|(key, bytes)| (key.as_str(), Cow::Borrowed(&*bytes.0)))).collect()
        });
        self.of(data, "configmap", "configmap references non-existent config key")
    }
    /// Files of a Secret.
    pub(super) fn of_secret(&self, secret: Option<&Secret>) -> Result<Payload, String> {
        let data = secret.map(|secret| {
            let bytes = secret.data.iter().flatten();
            bytes.map(|(key, bytes)| (key.as_str(), Cow::Borrowed(&*bytes.0))).collect()
        });
        self.of(data, "secret", "references non-existent secret key")
    }
    fn of(&self, data: Option<Data<'_>>, kind: &str, missing_key: &str) -> Result<Payload, String> {
        let Some(data) = data else {
            return if self.optional {
                Ok(Payload::new())
            } else {
                Err(format!("{kind} {:?} not found", self.name))
            };
        };
        if self.items.is_empty() {
            let all = data.into_iter();
            return Ok(all
                .map(|(key, data)| (key.to_owned(), self.defaults.file(data.into(), None, None)))
                .collect());
        }
        let mut files = Payload::new();
        for KeyToPath { key, mode, path, user } in self.items {
            match data.get(key.as_str()) {
                Some(data) => {
                    files.insert(path.clone(), self.defaults.file(data.to_vec(), *mode, *user));
                }
                None if self.optional => {}
                None => return Err(format!("{missing_key}: {key}")),
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map() -> ConfigMap {
        serde_json::from_value(json!({"data": {"a": "1"}, "binaryData": {"b": "Mg=="}})).unwrap()
    }

    fn selection(items: &[KeyToPath], optional: bool) -> Selection<'_> {
        Selection { name: "m", items, defaults: Defaults { mode: Some(0o400), user: None }, optional }
    }

    #[test]
    fn all_keys_or_some() {
        let all = selection(&[], false).of_config_map(Some(&map())).unwrap();
        let file = |data: &str, mode, owner| File { data: data.into(), mode, owner };
        assert_eq!(
            all,
            Payload::from([
                ("a".to_owned(), file("1", 0o400, None)),
                ("b".to_owned(), file("2", 0o400, None))
            ])
        );
        let items: Vec<KeyToPath> =
            serde_json::from_value(json!([{"key": "b", "path": "x/y", "mode": 0o600, "user": 7}])).unwrap();
        let some = selection(&items, false).of_config_map(Some(&map())).unwrap();
        assert_eq!(some, Payload::from([("x/y".to_owned(), file("2", 0o600, Some(7)))]));
    }

    #[test]
    fn what_is_missing() {
        let items = [KeyToPath { key: "k".to_owned(), path: "p".to_owned(), ..KeyToPath::default() }];
        let none = selection(&[], false);
        assert_eq!(none.of_config_map(None).unwrap_err(), "configmap \"m\" not found");
        assert_eq!(none.of_secret(None).unwrap_err(), "secret \"m\" not found");
        let some = selection(&items, false);
        assert_eq!(
            some.of_config_map(Some(&map())).unwrap_err(),
            "configmap references non-existent config key: k"
        );
        let secret = Secret::default();
        assert_eq!(some.of_secret(Some(&secret)).unwrap_err(), "references non-existent secret key: k");
        let optional = selection(&items, true);
        assert_eq!(optional.of_config_map(None).unwrap(), Payload::new());
        assert_eq!(optional.of_secret(Some(&secret)).unwrap(), Payload::new());
    }
}

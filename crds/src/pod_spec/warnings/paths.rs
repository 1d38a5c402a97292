//! Files of one volume that take each other's place: equal paths, and a file where another needs a directory.
//!
//! Upstream: `warningsForOverlappingVirtualPaths` in `pkg/api/pod/warnings.go`.

use crate::cursor::Cursor;
use std::fmt;

/// Where a file goes, and which source of a projected volume it comes from.
struct Placed<'v> {
    path: &'v str,
    source: String,
}

impl fmt::Display for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source.as_str() {
            "" => write!(f, "{:?}", self.path),
            source => write!(f, "{:?} ({source})", self.path),
        }
    }
}

/// Warnings that are told; more say no more, and there may be one for each pair of files.
const MOST: usize = 100;

/// Warnings of one volume.
pub(super) fn overlaps(volume: &Cursor<'_, '_>, found: &mut Vec<String>) {
    let name = volume.text_of("name");
    let mut tell = |what: &str, files: Vec<Placed<'_>>| {
        for (file, other) in meeting(&files, MOST.saturating_sub(found.len())) {
            let (file, other) = (&files[file], &files[other]);
            found.push(format!("volume {name:?} ({what}): overlapping paths: {file} with {other}"));
        }
    };
    for (kind, what, key) in [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")] {
        let source = volume.get(kind);
        tell(&format!("{what} {:?}", source.text_of(key)), items(&source, ""));
    }
    tell("DownwardAPI", items(&volume.get("downwardAPI"), ""));
    let (projected, mut files) = (volume.get("projected"), Vec::new());
    let mut vacant = 0;
    for source in projected.get("sources").items() {
        vacant += usize::from(source.is_empty());
        files.extend(projection(&source));
    }
    tell("Projected", files);
    found.extend((0..vacant).map(|_| format!("volume {name:?} (Projected) has no sources provided")));
}

fn placed<'v>(path: &'v str, source: &str) -> Placed<'v> {
    Placed { path: path.trim_end_matches('/'), source: source.to_owned() }
}

fn items<'v>(source: &Cursor<'v, '_>, name: &str) -> Vec<Placed<'v>> {
    source.get("items").items().map(|item| placed(item.text_of("path"), name)).collect()
}

fn projection<'v>(source: &Cursor<'v, '_>) -> Vec<Placed<'v>> {
    for (kind, what) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        if let Some(map) = source.present(kind).filter(|map| map.get("items").is_set()) {
            return items(&map, &format!("{what} {:?}", map.text_of("name")));
        }
    }
    if let Some(fields) = source.present("downwardAPI").filter(|fields| fields.get("items").is_set()) {
        return items(&fields, "DownwardAPI");
    }
    if let Some(token) = source.present("serviceAccountToken") {
        return vec![placed(token.text_of("path"), "ServiceAccountToken")];
    }
    if let Some(bundle) = source.present("clusterTrustBundle") {
        let key = if bundle.get("name").is_set() { "name" } else { "signerName" };
        return vec![placed(
            bundle.text_of("path"),
            &format!("ClusterTrustBundle {:?}", bundle.text_of(key)),
        )];
    }
    let certificate = source.get("podCertificate");
    let files = [
        ("certificateChainPath", "chain"),
        ("keyPath", "key"),
        ("credentialBundlePath", "credential bundle"),
    ];
    files.map(|(field, what)| placed(certificate.text_of(field), &format!("PodCertificate {what}"))).into()
}

/// Which files are in each other's place, the later one first; `most` such pairs.
fn meeting(files: &[Placed<'_>], most: usize) -> Vec<(usize, usize)> {
    let mut sorted: Vec<usize> = (0..files.len()).filter(|at| !files[*at].path.is_empty()).collect();
    // By directories, so that what lies in a path follows it.
    sorted.sort_by(|a, b| files[*a].path.split('/').cmp(files[*b].path.split('/')));
    let (mut pairs, mut around) = (Vec::new(), Vec::<usize>::new());
    for at in sorted {
        while around.last().is_some_and(|outer| !holds(files[*outer].path, files[at].path)) {
            around.pop();
        }
        let left = most - pairs.len();
        pairs.extend(around.iter().take(left).map(|outer| (at.max(*outer), at.min(*outer))));
        around.push(at);
    }
    pairs.sort_unstable();
    pairs
}

/// Whether the inner path is the outer one or lies in it.
fn holds(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_in_each_others_place() {
        let volume = json!({"name": "v", "projected": {"sources": [
            {"configMap": {"name": "m", "items": [{"path": "a/b"}, {"path": "ab"}]}},
            {"serviceAccountToken": {"path": "a/"}},
            {},
        ]}});
        let mut found = Vec::new();
        overlaps(&Cursor::root(&volume), &mut found);
        assert_eq!(
            found,
            [
                "volume \"v\" (Projected): overlapping paths: \"a\" (ServiceAccountToken) with \"a/b\" (ConfigMap \"m\")",
                "volume \"v\" (Projected) has no sources provided",
            ]
        );
    }

    #[test]
    fn pairs_are_found_among_many_files() {
        let files = |paths: &[&'static str]| -> Vec<Placed<'static>> {
            paths.iter().map(|path| placed(path, "")).collect()
        };
        let found = |paths: &[&'static str]| meeting(&files(paths), MOST);
        assert_eq!(
            found(&["a/b/c", "a-b", "a", "", "a/b", "a"]),
            [(2, 0), (4, 0), (4, 2), (5, 0), (5, 2), (5, 4)]
        );
        assert_eq!(found(&["a", "a/b", "a-b", "a/b-c", "a/b/c"]), [(1, 0), (3, 0), (4, 0), (4, 1)]);
        assert_eq!(found(&["a"; 30_000]).len(), MOST);
    }
}

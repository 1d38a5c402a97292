//! Images as OCI layouts, for tests: blobs by digest, a manifest, an index.

use crate::node::program;
use ring::digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Blobs by digest, and the digest of the manifest.
pub(crate) struct Layout {
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) manifest: String,
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn sha256(content: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, content);
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

fn tar(files: &[(String, Vec<u8>, u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        builder.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

impl Layout {
    /// The test program's image; `note` makes it another one.
    pub(crate) fn of_program(note: &str) -> Self {
        let mut blobs = BTreeMap::new();
        let mut add = |content: Vec<u8>, kind: &str| {
            let digest = sha256(&content);
            let descriptor = json!({ "mediaType": kind, "digest": digest, "size": content.len() });
            blobs.insert(digest, content);
            descriptor
        };
        let layer = tar(&[("program".into(), program().to_vec(), 0o755)]);
        let id = sha256(&layer);
        let layer = add(layer, "application/vnd.oci.image.layer.v1.tar");
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "author": note,
            "config": { "Entrypoint": ["/program"], "User": "1000" },
            "rootfs": { "type": "layers", "diff_ids": [id] },
        });
        let config = add(config.to_string().into_bytes(), "application/vnd.oci.image.config.v1+json");
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        let manifest = add(manifest.to_string().into_bytes(), MANIFEST);
        let manifest = manifest["digest"].as_str().unwrap().to_owned();
        Self { blobs, manifest }
    }

    /// The layout as a tar file whose index has these annotations.
    pub(crate) fn tar(&self, annotations: &Value) -> Vec<u8> {
        let size = self.blobs[&self.manifest].len();
        let mut entry = json!({ "mediaType": MANIFEST, "digest": self.manifest, "size": size });
        entry["annotations"] = annotations.clone();
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(), 0o644),
            ("index.json".to_owned(), index.to_string().into_bytes(), 0o644),
        ];
        for (digest, content) in &self.blobs {
            files.push((format!("blobs/{}", digest.replace(':', "/")), content.clone(), 0o644));
        }
        tar(&files)
    }
}

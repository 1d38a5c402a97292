//! Names of images: those that are stored, and those a file gives.

use crate::{
    Error, Result,
    containerd::{NAMESPACE, channel},
};
use containerd_client::services::v1::{Image, ListImagesRequest, images_client::ImagesClient};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
    path::Path,
};
use tonic::{Request, metadata::MetadataValue};

/// All images by name.
pub(super) async fn stored(socket: &Path) -> Result<BTreeMap<String, Image>> {
    let mut request = Request::new(ListImagesRequest { filters: vec![] });
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    let listed = ImagesClient::new(channel(socket)).list(request).await;
    let failed = |message: &str| Error::Failed { operation: "load_image", message: message.to_owned() };
    let all = listed.map_err(|status| failed(status.message()))?.into_inner().images;
    // CRI adds entries named after image ids; those are no names.
    let named = all.into_iter().filter(|image| !image.name.starts_with("sha256:"));
    // Labels are CRI's notes and may change at any time.
    Ok(named.map(|image| (image.name.clone(), Image { labels: HashMap::new(), ..image })).collect())
}

/// The index of an OCI layout, as far as names go.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

impl Descriptor {
    /// The name that containerd takes: the first of these.
    fn name(&self) -> Option<&String> {
        let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        keys.iter().find_map(|key| self.annotations.get(*key))
    }
}

/// Whether the file is an OCI layout that gives its images tags and no names.
pub(super) fn are_tags_only<R: Read>(entries: tar::Entries<'_, R>) -> bool {
    let is_index = |entry: &tar::Entry<'_, R>| {
        entry.path().is_ok_and(|path| path.strip_prefix("./").unwrap_or(&path) == Path::new("index.json"))
    };
    let Some(index) = entries.map_while(Result::ok).find(is_index) else { return false };
    let Ok(index) = serde_json::from_reader::<_, Index>(index) else { return false };
    let names: Vec<&String> = index.manifests.iter().filter_map(Descriptor::name).collect();
    !names.is_empty() && names.iter().all(|name| !name.contains(['/', ':', '@']))
}

/// The repository of images without a name, by the file they came from.
pub(super) fn repository(file: &Path) -> String {
    let file = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let without = |stem: &str, ending: &&str| stem.strip_suffix(ending).unwrap_or(stem).to_owned();
    let stem = [".gz", ".tgz", ".tar", ".oci"].iter().fold(file, |stem, ending| without(&stem, ending));
    let is_fitting = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let words: Vec<&str> = stem.split(|c| !is_fitting(c)).filter(|word| !word.is_empty()).collect();
    let stem = if words.is_empty() { "image".to_owned() } else { words.join("-") };
    format!("docker.io/library/{stem}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn file(path: &str, index: &Value) -> bool {
        let mut builder = tar::Builder::new(Vec::new());
        let content = index.to_string();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        let bytes = builder.into_inner().unwrap();
        are_tags_only(tar::Archive::new(bytes.as_slice()).entries().unwrap())
    }

    #[test]
    fn a_layout_may_have_tags_only() {
        let named = |annotations: Value| json!({ "manifests": [{ "annotations": annotations }] });
        let tag = named(json!({ "org.opencontainers.image.ref.name": "1.0" }));
        assert!(file("index.json", &tag) && file("./index.json", &tag));
        assert!(!file("manifest.json", &tag));
        assert!(!file("index.json", &named(json!({ "org.opencontainers.image.ref.name": "a.example/b:1" }))));
        // As Docker writes it.
        let both = json!({ "io.containerd.image.name": "b:1", "org.opencontainers.image.ref.name": "1" });
        assert!(!file("index.json", &named(both)));
        assert!(!file("index.json", &named(json!({}))));
        assert!(!file("index.json", &json!([])));
    }

    #[test]
    fn a_file_names_its_images() {
        let of = |file| repository(Path::new(file));
        assert_eq!(of("/tmp/My App_v2.tar.gz"), "docker.io/library/my-app-v2");
        assert_eq!(of("app.oci.tar"), "docker.io/library/app");
        assert_eq!(of("/tmp/..."), "docker.io/library/image");
    }
}

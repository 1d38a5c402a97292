//! Images of containers and of image volumes: found here or pulled, as their policy says.
//!
//! Invariants: one pull per image at a time, whoever asks; credentials are tried in the order of the pod's secrets and
//! last without any; a failure is the pod's to retry (`plan` backs off). Deliberately absent: credential provider
//! plugins, the credentials that an image on this node was pulled with.
//! Upstream: pkg/kubelet/images/image_manager.go, pkg/credentialprovider.

mod credentials;

use crate::{act::tell::Teller, build, plan::containers::Spec, sources::Sources};
use credentials::Credentials;
use k8s_openapi::api::core::v1::{ImageVolumeSource, Pod};
use parking_lot::Mutex;
use proa_runtime_shim::{Error, Image, RegistryAuth, Runtime};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Instant,
};
use tokio::sync::Notify;

/// Finds and pulls images.
pub(crate) struct Images<R> {
    runtime: R,
    sources: Sources,
    changed: Arc<Notify>,
    lanes: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// Why an image cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageError {
    /// `ErrImagePull`, `InvalidImageName`, `ErrImageNeverPull`, `ImageInspectError`.
    pub(crate) reason: &'static str,
    /// Text for people.
    pub(crate) message: String,
}

/// What an image is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// A container.
    Container(Spec<'a>),
    /// A volume.
    Volume(&'a ImageVolumeSource),
}

impl Wanted<'_> {
    /// Image as asked for.
    fn image(&self) -> &str {
        match self {
            Self::Container(container) => container.image(),
            Self::Volume(source) => source.reference.as_deref().unwrap_or_default(),
        }
    }
    fn noun(&self) -> &'static str {
        match self {
            Self::Container(_) => "Container image",
            Self::Volume(_) => "Volume image",
        }
    }
    fn pull_policy(&self) -> &str {
        match self {
            Self::Container(container) => container.pull_policy(),
            Self::Volume(source) => source.pull_policy.as_deref().unwrap_or("IfNotPresent"),
        }
    }
    fn tell(self, teller: &Teller, reason: &str, note: &str) {
        match self {
            Self::Container(container) => teller.tell(container, reason, note),
            Self::Volume(_) => teller.tell_pod(reason, note),
        }
    }
    fn warn(self, teller: &Teller, reason: &str, note: &str) {
        match self {
            Self::Container(container) => teller.warn(container, reason, note),
            Self::Volume(_) => teller.warn_pod(reason, note),
        }
    }
}

impl<R: Runtime> Images<R> {
    /// `changed` is woken when an image came.
    pub(crate) fn new(runtime: R, sources: Sources, changed: Arc<Notify>) -> Self {
        Self { runtime, sources, changed, lanes: Mutex::default() }
    }
    /// An image, pulled if need be; events tell the pod's owner.
    pub(crate) async fn ensure(
        &self,
        pod: &Pod,
        wanted: Wanted<'_>,
        teller: &Teller,
    ) -> Result<Image, ImageError> {
        let reference = tagged(wanted.image()).map_err(|why| {
            let message = format!("Failed to apply default image tag \"{}\": {why}", wanted.image());
            wanted.warn(teller, "InspectFailed", &message);
            ImageError { reason: "InvalidImageName", message }
        })?;
        let lane = self.lane(&reference);
        let _turn = lane.lock().await;
        let here = self.inspect(&reference, wanted, teller).await?;
        match (wanted.pull_policy(), here) {
            ("Always", _) | ("IfNotPresent", None) => self.pull(pod, wanted, &reference, teller).await,
            (_, Some(image)) => {
                let (noun, name) = (wanted.noun(), wanted.image());
                let note =
                    format!("{noun} \"{name}\" already present on machine and can be accessed by the pod");
                wanted.tell(teller, "Pulled", &note);
                Ok(image)
            }
            (_, None) => {
                let (noun, name) = (wanted.noun(), wanted.image());
                let message = format!("{noun} \"{name}\" is not present with pull policy of Never");
                wanted.warn(teller, "ErrImageNeverPull", &message);
                Err(ImageError { reason: "ErrImageNeverPull", message })
            }
        }
    }
    async fn inspect(
        &self,
        reference: &str,
        wanted: Wanted<'_>,
        teller: &Teller,
    ) -> Result<Option<Image>, ImageError> {
        self.runtime.image(reference).await.map_err(|error| match error {
            Error::InvalidImageName { .. } => invalid(wanted, teller, &error),
            error => {
                let message = format!("Failed to inspect image \"{}\": {error}", wanted.image());
                wanted.warn(teller, "InspectFailed", &message);
                ImageError { reason: "ImageInspectError", message }
            }
        })
    }
    async fn pull(
        &self,
        pod: &Pod,
        wanted: Wanted<'_>,
        reference: &str,
        teller: &Teller,
    ) -> Result<Image, ImageError> {
        let name = wanted.image();
        wanted.tell(teller, "Pulling", &format!("Pulling image \"{name}\""));
        let since = Instant::now();
        let credentials = Credentials::of(pod, build::namespace(pod), &self.sources, teller).await;
        match self.pull_with(reference, credentials.matching(reference)).await {
            Ok(image) => {
                self.changed.notify_one();
                let took = go_duration(since.elapsed());
                let note = format!(
                    "Successfully pulled image \"{name}\" in {took} ({took} including waiting). Image size: {} bytes.",
                    image.size
                );
                wanted.tell(teller, "Pulled", &note);
                Ok(image)
            }
            Err(error @ Error::InvalidImageName { .. }) => Err(invalid(wanted, teller, &error)),
            Err(error) => {
                let message = match error {
                    // The event says what was tried; the runtime's own words are enough.
                    Error::Pull { why, .. } => why,
                    other => other.to_string(),
                };
                wanted.warn(teller, "Failed", &format!("Failed to pull image \"{name}\": {message}"));
                Err(ImageError { reason: "ErrImagePull", message })
            }
        }
    }
    /// Tries every credential, or none at all.
    async fn pull_with(&self, reference: &str, credentials: Vec<RegistryAuth>) -> Result<Image, Error> {
        let mut failure = None;
        let tries = credentials.iter().map(Some).chain(credentials.is_empty().then_some(None));
        for auth in tries {
            match self.runtime.pull_image(reference, auth).await {
                Ok(id) => return self.pulled(reference, id).await,
                Err(error) => failure = Some(error),
            }
        }
        let why = "no way to pull it was tried".to_owned();
        Err(failure.unwrap_or(Error::Pull { image: reference.to_owned(), why }))
    }
    async fn pulled(&self, reference: &str, id: String) -> Result<Image, Error> {
        let found = self.runtime.image(&id).await?;
        found.ok_or_else(|| Error::NotFound { what: format!("image {reference} after its pull") })
    }
    fn lane(&self, reference: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(reference).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::new(tokio::sync::Mutex::new(()));
        lanes.insert(reference.to_owned(), Arc::downgrade(&lane));
        lane
    }
}

fn invalid(wanted: Wanted<'_>, teller: &Teller, error: &Error) -> ImageError {
    let message = format!("Failed to apply default image tag \"{}\": {error}", wanted.image());
    wanted.warn(teller, "InspectFailed", &message);
    ImageError { reason: "InvalidImageName", message }
}

/// The reference with `:latest` if it has neither tag nor digest. Only what must be wrong is refused here; the runtime
/// has the last word on names.
fn tagged(image: &str) -> Result<String, String> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    let invalid = |why: &str| Err(format!("couldn't parse image name \"{image}\": {why}"));
    if path.is_empty() || path.ends_with('/') || path.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return invalid("invalid reference format");
    }
    let repository = match path.split_once('/') {
        Some((first, rest)) if is_host(first) => rest,
        _ => path,
    };
    if repository.chars().any(|c| c.is_ascii_uppercase()) {
        return invalid("invalid reference format: repository name must be lowercase");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    let is_tag =
        |tag: &str| !tag.is_empty() && tag.len() <= 128 && tag.chars().all(|c| is_word(c) && c != '/');
    if !repository.chars().all(is_word) || tag.is_some_and(|tag| !is_tag(tag)) {
        return invalid("invalid reference format");
    }
    let is_complete = tag.is_some() || digest.is_some();
    Ok(if is_complete { image.to_owned() } else { format!("{image}:latest") })
}

/// Whether the first part of a name is a registry's.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(|c| c.is_ascii_uppercase())
}

/// A duration as Go prints it, to the millisecond.
fn go_duration(took: std::time::Duration) -> String {
    let (seconds, millis) = (took.as_secs(), took.subsec_millis());
    match (seconds / 60, seconds % 60) {
        (0, 0) => format!("{millis}ms"),
        (0, seconds) => format!("{seconds}{}s", fraction(millis)),
        (minutes, seconds) => format!("{minutes}m{seconds}{}s", fraction(millis)),
    }
}

fn fraction(millis: u32) -> String {
    let text = format!(".{millis:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_tag_is_added_where_there_is_none() {
        for (image, want) in [
            ("app", "app:latest"),
            ("app:1", "app:1"),
            ("registry:5000/app", "registry:5000/app:latest"),
            ("registry:5000/team/app:1.2", "registry:5000/team/app:1.2"),
            ("app@sha256:abc", "app@sha256:abc"),
            ("Registry.example/app", "Registry.example/app:latest"),
        ] {
            assert_eq!(tagged(image).as_deref(), Ok(want));
        }
        for image in ["", "a b", "INVALID/App", "app:", "team/", "app:a/b:c:"] {
            assert!(tagged(image).unwrap_err().starts_with("couldn't parse image name"), "{image}");
        }
    }

    #[test]
    fn durations_read_as_in_go() {
        for (millis, want) in [(7, "7ms"), (1000, "1s"), (1234, "1.234s"), (61_500, "1m1.5s")] {
            assert_eq!(go_duration(Duration::from_millis(millis)), want);
        }
    }
}

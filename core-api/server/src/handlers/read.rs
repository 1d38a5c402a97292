//! `get`, `list` and `watch`.

use super::resource::Call;
use crate::{
    api::Response,
    metrics::{KindLabels, OpenWatch},
    negotiate,
    options::{list_options, resource_version, watch_options},
    websocket,
};
use futures::{StreamExt, stream};
use http::StatusCode;
use proa_meta::{ApiError, ApiResult, Reason};
use proa_registry::request::{GetOptions, WatchEvent, WatchStream};
use std::{sync::Arc, time::Duration};

impl Call<'_> {
    pub(super) async fn get(self) -> ApiResult<Response> {
        let form = negotiate::objects(&self.request.headers, self.request.uri.query(), self.has_protobuf())?;
        let encoder = self.encoder(form)?;
        if self.query.flag("export") == Some(true) {
            const WHY: &str = "the export parameter, deprecated since v1.14, is no longer supported";
            return Err(ApiError::bad_request(WHY));
        }
        let revision = resource_version(self.query)?.filter(|v| v.0 != 0);
        let options = GetOptions { resource_version: revision, metadata_only: form.shape.is_metadata() };
        let object = self.server.config.registry.get(&self.target(), options).await?;
        self.shown(&encoder, StatusCode::OK, &object).await
    }

    pub(super) async fn list(self) -> ApiResult<Response> {
        let form = negotiate::objects(&self.request.headers, self.request.uri.query(), self.has_protobuf())?;
        let encoder = self.encoder(form)?;
        let mut options = list_options(self.query, &self.info, &self.kind.def)?;
        options.metadata_only = form.shape.is_metadata();
        let list = self.server.config.registry.list(&self.target(), &options).await?;
        self.listed(&encoder, list).await
    }

    pub(super) async fn watch(self) -> ApiResult<Response> {
        let over_websocket = websocket::is_asked(&self.request.headers);
        if over_websocket {
            self.request.require_upgrade()?;
        }
        let form = negotiate::watch(&self.request.headers, self.request.uri.query(), self.has_protobuf())?;
        let encoder = self.encoder(form)?;
        let registry = &self.server.config.registry;
        let longest = self.server.config.limits.min_watch;
        let mut options = watch_options(
            self.query,
            &self.info,
            &self.kind.def,
            || registry.revision(),
            || once_to_twice(longest),
        )?;
        options.metadata_only = form.shape.is_metadata();
        let events = match registry.watch(&self.target(), options).await {
            Err(error) if error.reason() == Reason::Expired => ended(error),
            answer => answer?,
        };
        let gvk = &self.kind.def.gvk;
        let labels =
            KindLabels { group: gvk.group.clone(), version: gvk.version.clone(), kind: gvk.kind.clone() };
        let (open, sent) = self.server.metrics.watch(&labels);
        let open = OpenWatch::new(open);
        let count = move |events: usize| {
            let _ = &open;
            sent.inc_by(events as u64);
        };
        // The stream must not keep a stopped server's objects alive.
        let clock = Arc::downgrade(registry);
        let now = move || clock.upgrade().map(|registry| registry.now());
        let answer = encoder.watch(events, now, count);
        if over_websocket { websocket::watch(&self.request.headers, answer) } else { Ok(answer) }
    }
}

/// A watch from a revision that is gone begins, and ends with an ERROR event, as upstream.
fn ended(error: ApiError) -> WatchStream {
    stream::iter([vec![WatchEvent::Error(error)]]).boxed()
}

/// Seconds between once and twice the given time, so that watches do not all end together.
fn once_to_twice(least: Duration) -> u64 {
    let least = least.as_secs().max(1);
    let random = uuid::Uuid::new_v4().as_u64_pair().1;
    least + random % least
}

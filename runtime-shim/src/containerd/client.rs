//! The channel, and how long calls may take.

use super::{Containerd, errors};
use crate::{Error, Result, Version};
use hyper_util::rt::TokioIo;
use k8s_cri::v1::{
    StatusRequest, VersionRequest, image_service_client::ImageServiceClient,
    runtime_service_client::RuntimeServiceClient,
};
use std::{future::Future, path::Path, time::Duration};
use tokio::net::UnixStream;
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint, Uri},
};

/// Calls that change or read one thing; upstream's `runtimeRequestTimeout`.
pub(super) const REQUEST: Duration = Duration::from_secs(120);
/// Lists grow with the pods of a node and their annotations; upstream's `maxMsgSize`.
const MAX_MESSAGE: usize = 16 << 20;
/// How often a stop is tried that meets the end of what it stops.
const STOP_TRIES: u32 = 5;

/// A channel to the containerd on `socket`; it connects when it is first used, and again after every loss.
pub(crate) fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The address is not used, but gRPC wants an authority.
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect)
}

impl Containerd {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            images: ImageServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            channel,
        }
    }
}

/// Waits for a call's answer, `within` at most.
pub(super) async fn call<T>(
    operation: &'static str,
    within: Duration,
    future: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T> {
    match tokio::time::timeout(within, future).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(errors::from_status(operation, within, &status)),
        Err(_) => Err(Error::Timeout { operation, within }),
    }
}

/// Makes the loss of something that was to go away no error.
pub(super) fn or_gone<T>(result: Result<T>) -> Result<()> {
    match result {
        Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Stops something that may be ending by itself: then its connection to its shim goes away under the call, and the next
/// one finds it ended.
pub(super) async fn insist<T, F: Future<Output = Result<T>>>(attempt: impl Fn() -> F) -> Result<()> {
    for _ in 1..STOP_TRIES {
        match attempt().await {
            Err(Error::Failed { message, .. }) if message.contains("ttrpc: closed") => {}
            result => return or_gone(result),
        }
    }
    or_gone(attempt().await)
}

pub(super) async fn version(containerd: &Containerd) -> Result<Version> {
    let request = VersionRequest { version: "v1".to_owned() };
    let said = call("version", REQUEST, containerd.runtime.clone().version(request)).await?;
    Ok(Version { name: said.runtime_name, version: said.runtime_version })
}

/// What the runtime says of the network of pods, unless it is ready.
pub(super) async fn network_fault(containerd: &Containerd) -> Result<Option<String>> {
    let request = StatusRequest { verbose: false };
    let said = call("network_fault", REQUEST, containerd.runtime.clone().status(request)).await?;
    let conditions = said.status.map(|status| status.conditions).unwrap_or_default();
    let fault =
        conditions.into_iter().find(|condition| condition.r#type == "NetworkReady" && !condition.status);
    Ok(fault.map(|fault| format!("NetworkReady=false reason:{} message:{}", fault.reason, fault.message)))
}

//! Questions that this server asks others in its own name.

use super::{Aggregator, identity, table::Backend};
use crate::{
    dial::{Answer, Target, authority},
    forward,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use proa_meta::{User, identity::MASTERS};
use std::time::Duration;

/// Who asks.
const USER: &str = "system:kube-aggregator";
/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const LARGEST: usize = 16 << 20;

/// An answer that has been read.
pub(super) struct Read {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

impl Aggregator {
    /// Where a server is reached.
    pub(super) fn target(&self, backend: &Backend) -> Result<Target, String> {
        let place = &backend.spec.place;
        let found = self.relay.served(&place.namespace, &place.name, place.port);
        let (host, port) = found.map_err(|error| error.message().to_owned())?;
        let name = Some(format!("{}.{}.svc", place.name, place.namespace));
        Ok(Target { tls: Some(backend.tls.clone()?), host, port, name })
    }

    /// Asks for a path. The answer's body is still to be read.
    pub(super) async fn get(&self, target: Target, path: &str, accept: &str) -> Result<Answer, String> {
        let mut headers = HeaderMap::new();
        // Members of this group have every right everywhere.
        identity::add(&mut headers, &User::new(USER, &[MASTERS])).map_err(|error| error.to_string())?;
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).map_err(|error| error.to_string())?);
        headers.insert(header::USER_AGENT, HeaderValue::from_static("kube-apiserver"));
        let request = forward::outgoing(&target, path, Method::GET, headers, Bytes::new());
        let request = request.map_err(|error| error.message().to_owned())?;
        self.relay.dialer.send(target, request).await.map_err(|error| error.to_string())
    }

    /// Asks for a path and reads the answer.
    pub(super) async fn read(&self, backend: &Backend, path: &str, accept: &str) -> Result<Read, String> {
        let asked = async {
            let target = self.target(backend)?;
            let Answer { response, driver } = self.get(target, path, accept).await?;
            let (parts, mut incoming) = response.into_parts();
            let mut body = BytesMut::new();
            while let Some(frame) = incoming.frame().await {
                let frame = frame.map_err(|error| error.to_string())?;
                body.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
                if body.len() > LARGEST {
                    return Err(format!("the answer to {path} has more than {LARGEST} bytes"));
                }
            }
            drop(driver);
            let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let content_type = content_type.unwrap_or_default().to_owned();
            Ok(Read { status: parts.status, content_type, body: body.freeze() })
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(read) => read,
            Err(_) => Err("request timed out".to_owned()),
        }
    }
}

/// The address of a path, as messages show it.
pub(super) fn url(target: &Target, path: &str) -> String {
    format!("https://{}{path}", authority(&target.host, target.port))
}

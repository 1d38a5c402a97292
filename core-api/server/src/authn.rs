//! Who is asking.
//!
//! Owns the order of authenticators and what their answers mean: the first that knows the caller decides; when one
//! refused its credentials and none knew the caller, the answer is 401; without credentials the caller is anonymous.
//! Upstream: apiserver `pkg/endpoints/filters/authentication.go`, `pkg/authentication/request/union`.

mod request_header;
mod token;
mod x509;

pub use request_header::RequestHeaders;
pub use token::{Bearer, TokenVerifier};
pub use x509::ClientCertificate;
pub(crate) use x509::{common_name, end};

use crate::{
    api::{Caller, Request, Server},
    request_info::RequestInfo,
};
use futures::future::BoxFuture;
use http::header;
use jiff::Timestamp;
use proa_meta::{ApiError, ApiResult, User};
use std::sync::Arc;

/// Finds out who a request comes from.
pub trait Authenticator: Send + Sync {
    /// The user; `None` when the request carries no credentials of this sort; an error when they are wrong.
    fn authenticate<'a>(
        &'a self,
        request: &'a Request,
        now: Timestamp,
    ) -> BoxFuture<'a, ApiResult<Option<Arc<User>>>>;
}

/// Who need not say who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Everybody.
    Everywhere,
    /// Who asks for one of these paths.
    Paths(Vec<String>),
    /// Nobody.
    Nowhere,
}

impl Anonymous {
    fn may_ask(&self, path: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Paths(paths) => paths.iter().any(|one| one == path),
            Self::Nowhere => false,
        }
    }
}

/// The user of a request. What proved it is taken out: nobody further on needs it.
pub(crate) async fn identify(
    server: &Server,
    request: &mut Request,
    info: &RequestInfo,
) -> ApiResult<Arc<User>> {
    if let Caller::InProcess(user) = &request.caller {
        return Ok(Arc::clone(user));
    }
    let user = ask(server, request, &info.path).await?;
    request.headers.remove(header::AUTHORIZATION);
    RequestHeaders::remove(server.config.request_headers.as_deref(), &mut request.headers);
    Ok(user)
}

async fn ask(server: &Server, request: &Request, path: &str) -> ApiResult<Arc<User>> {
    let (mut refused, now) = (None, server.config.registry.now());
    for authenticator in &server.config.authenticators {
        match authenticator.authenticate(request, now).await {
            Ok(Some(user)) => return Ok(user),
            Ok(None) => {}
            Err(why) => refused = Some(why),
        }
    }
    match refused {
        Some(why) => {
            tracing::warn!(error = %why, "credentials refused");
            Err(ApiError::unauthorized())
        }
        None if server.config.anonymous.may_ask(path) => Ok(Arc::new(User::anonymous())),
        None => Err(ApiError::unauthorized()),
    }
}

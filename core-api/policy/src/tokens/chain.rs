//! All sorts of bearer tokens: who is asked in which order.
//!
//! Invariants: the first that knows a token decides, so a service account's token waits for nobody else; when none
//! knows it, the reasons of those who refused it are told together. Upstream: apiserver
//! `pkg/authentication/token/union`, `pkg/authentication/authenticator/audagnostic.go`.

use super::{TokenError, TokenVerifier, Verified};
use futures::future::{BoxFuture, ready};
use proa_meta::User;
use std::sync::Arc;

/// What is known of a token; `None` when it is not of this sort, an error when it is and is not valid.
pub type Known = Result<Option<Verified>, TokenError>;

/// Knows one sort of tokens.
pub trait Verify: Send + Sync {
    /// Whom the token stands for, when it is meant for one of the audiences.
    fn verify<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Known>;
}

/// All sorts of tokens.
pub struct Tokens {
    sorts: Vec<Arc<dyn Verify>>,
    audiences: Vec<String>,
}

impl Tokens {
    /// Asks in order. `audiences` mean the API server itself.
    pub fn new(sorts: Vec<Arc<dyn Verify>>, audiences: Vec<String>) -> Arc<Self> {
        Arc::new(Self { sorts, audiences })
    }

    /// The audiences that mean the API server.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whom a token stands for.
    ///
    /// # Errors
    /// Nobody knows it, or it is not valid.
    pub async fn verify(&self, token: &str, audiences: &[String]) -> Result<Verified, TokenError> {
        let mut refusals: Vec<String> = Vec::new();
        for sort in &self.sorts {
            match sort.verify(token, audiences).await {
                Ok(Some(verified)) => {
                    return Ok(Verified { user: verified.user.authenticated(), ..verified });
                }
                Ok(None) => {}
                Err(why) => refusals.push(why.to_string()),
            }
        }
        Err(match refusals.as_slice() {
            [] => TokenError::Foreign,
            [one] => TokenError::Invalid(one.clone()),
            many => TokenError::Invalid(format!("[{}]", many.join(", "))),
        })
    }
}

impl Verify for TokenVerifier {
    fn verify<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Known> {
        Box::pin(ready(match self.verify_for(token, audiences) {
            Ok(verified) => Ok(Some(verified)),
            Err(TokenError::Foreign) => Ok(None),
            Err(why) => Err(why),
        }))
    }
}

/// A user whose token names no audiences: it is meant for the API server, and worth nothing to those who ask about
/// others.
pub(crate) fn for_the_server(user: User, own: &[String], asked: &[String]) -> Option<Verified> {
    let audiences: Vec<_> = asked.iter().filter(|audience| own.contains(audience)).cloned().collect();
    (!audiences.is_empty() || asked.is_empty()).then_some(Verified { user, audiences })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use proa_meta::identity::AUTHENTICATED;

    struct Fixed(Known);

    impl Verify for Fixed {
        fn verify<'a>(&'a self, _: &'a str, _: &'a [String]) -> BoxFuture<'a, Known> {
            Box::pin(ready(self.0.clone()))
        }
    }

    #[test]
    fn the_first_that_knows_decides_and_refusals_are_told_together() {
        let ann = || Ok(Some(Verified { user: User::new("ann", &[]), audiences: Vec::new() }));
        let no = |why: &str| Err(TokenError::Invalid(why.to_owned()));
        for (want, sorts) in [
            (Ok("ann"), vec![Ok(None), no("a"), ann(), no("b")]),
            (Err("invalid bearer token"), vec![Ok(None)]),
            (Err("a"), vec![no("a"), Ok(None)]),
            (Err("[a, b]"), vec![no("a"), no("b")]),
        ] {
            let sorts = sorts.into_iter().map(|known| Arc::new(Fixed(known)) as Arc<dyn Verify>).collect();
            let found = block_on(Tokens::new(sorts, Vec::new()).verify("t", &[]));
            let found = found.map(|v| (v.user.name.clone(), v.user.groups)).map_err(|why| why.to_string());
            let want = want.map(|name| (name.to_owned(), vec![AUTHENTICATED.to_owned()]));
            assert_eq!(found, want.map_err(str::to_owned));
        }
    }

    #[test]
    fn tokens_without_audiences_are_for_the_server_alone() {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let found = |asked: &str| for_the_server(User::default(), &list("api"), &list(asked));
        assert_eq!(found("vault api").map(|v| v.audiences), Some(list("api")));
        assert_eq!(found("vault"), None);
    }
}

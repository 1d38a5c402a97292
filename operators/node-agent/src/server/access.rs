//! Who may ask what: each path is a subresource of the node, and the API decides.
//!
//! Upstream: `pkg/kubelet/server/auth.go`, `cmd/kubelet/app/auth.go`.

use super::{cache::Cache, reply::Refusal};
use http::{Method, StatusCode};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use proa_meta::{User, identity::MASTERS};
use std::time::Duration;

/// How long a permission is believed (`authorization.webhook.cacheAuthorizedTTL`).
const ALLOWED: Duration = Duration::from_secs(300);
/// How long a refusal is (`cacheUnauthorizedTTL`).
const DENIED: Duration = Duration::from_secs(30);

/// Asks the API who may do what.
pub(super) struct Authorizer {
    reviews: Api<SubjectAccessReview>,
    node: String,
    known: Cache<String, bool>,
}

impl Authorizer {
    pub(super) fn new(client: Client, node: String) -> Self {
        Self { reviews: Api::all(client), node, known: Cache::new() }
    }

    /// Refuses what `user` may not do. One permission of those that open a path suffices.
    pub(super) async fn check(&self, user: &User, method: &Method, path: &str) -> Result<(), Refusal> {
        if user.in_group(MASTERS) {
            return Ok(());
        }
        let (verb, subresources) = (verb(method), subresources(path));
        for subresource in &subresources {
            match self.is_allowed(user, verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(user = user.name, verb, subresource, %error, "cannot have an access reviewed");
                    return Err(undecided(user, verb, subresource));
                }
            }
        }
        Err(forbidden(user, verb, &subresources))
    }

    async fn is_allowed(&self, user: &User, verb: &str, subresource: &str) -> kube::Result<bool> {
        let spec = self.question(user, verb, subresource);
        let key = serde_json::to_string(&spec).map_err(kube::Error::SerdeError)?;
        if let Some(known) = self.known.get(&key) {
            return Ok(known);
        }
        let review = SubjectAccessReview { metadata: ObjectMeta::default(), spec, status: None };
        let answer = self.reviews.create(&PostParams::default(), &review).await?;
        let allowed = answer.status.is_some_and(|s| s.allowed);
        self.known.put(key, allowed, if allowed { ALLOWED } else { DENIED });
        Ok(allowed)
    }

    fn question(&self, user: &User, verb: &str, subresource: &str) -> SubjectAccessReviewSpec {
        SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                version: Some("v1".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(self.node.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        }
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// Subresources of the node that open a path.
fn subresources(path: &str) -> Vec<&'static str> {
    let root = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match root {
        "stats" => vec!["stats"],
        "metrics" => vec!["metrics"],
        "logs" => vec!["log"],
        "pods" => vec!["pods", "proxy"],
        "healthz" => vec!["healthz", "proxy"],
        "configz" => vec!["configz", "proxy"],
        _ => vec!["proxy"],
    }
}

fn undecided(user: &User, verb: &str, subresource: &str) -> Refusal {
    let name = &user.name;
    let text =
        format!("Authorization error (user={name}, verb={verb}, resource=nodes, subresource={subresource})");
    Refusal::internal(text)
}

fn forbidden(user: &User, verb: &str, subresources: &[&str]) -> Refusal {
    let (name, all) = (&user.name, subresources.join(" "));
    let text = format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{all}])\n");
    Refusal::new(StatusCode::FORBIDDEN, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_subresources_of_the_node() {
        for (path, expected) in [
            ("/stats/summary", &["stats"][..]),
            ("/metrics", &["metrics"]),
            ("/metrics/cadvisor", &["metrics"]),
            ("/logs/a", &["log"]),
            ("/pods", &["pods", "proxy"]),
            ("/healthz/ping", &["healthz", "proxy"]),
            ("/configz", &["configz", "proxy"]),
            ("/exec/a/b/c", &["proxy"]),
            ("/metricsx", &["proxy"]),
        ] {
            assert_eq!(subresources(path), expected, "{path}");
        }
    }
}

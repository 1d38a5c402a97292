//! The certificates operator: signs what was approved, approves what nodes ask for themselves, and clears up.
//!
//! Watches: `CertificateSigningRequests`, `PodCertificateRequests`. Writes: certificates and the condition `Failed` of requests for
//! the signers of `kubernetes.io` that hand out client certificates and serving certificates of nodes; approvals of node
//! clients, where the one who asks may do so; deletions of what is over. Guarantees: the authority's key never leaves
//! the process; a request whose own signature is wrong is not signed; a certificate does not outlive its authority.
//! Without an authority ([`run`]) it approves and clears up only. Deliberately absent: the signer
//! `kubernetes.io/legacy-unknown`, which the API refuses in its only version; the bundle `kube-root-ca.crt`, which the
//! service-account operator keeps. A certificate signed in one pass that was not written is simply signed anew.
//! Upstream: `pkg/controller/certificates/{signer,approver,cleaner}`, `pkg/controller/podcertificaterequest`.

pub mod build;
pub mod observe;
pub mod plan;

use build::Authority;
use observe::{Observed, PodRequestView, REVIEWS, RequestView};
use proa_kit::{
    Client, Error, Operator, Plan, Reader, RunConfig, Timestamp, Typed, Watch, Write, Writer,
    operator::operator_rules,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers signing requests.
#[derive(Debug, Default)]
struct Requests {
    authority: Option<Authority>,
    /// Asks whether a user may have a request approved.
    reviewer: Option<Writer>,
}

impl Operator for Requests {
    const NAME: &'static str = "certificate-controller";
    type Object = RequestView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::primary::<RequestView>().into()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&RequestView::KIND, &["delete"]),
            Write::sub(&RequestView::KIND, "status", &["patch"]),
            Write::sub(&RequestView::KIND, "approval", &["patch"]),
            Write::to(&REVIEWS, &["create"]),
        ]
    }
    async fn observe(&self, _: &Reader, request: &Arc<RequestView>) -> Result<Observed, Error> {
        observe::observe(self.reviewer.as_ref(), request).await
    }
    fn plan(&self, request: &RequestView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(request, observed, self.authority.as_ref(), now)
    }
}

/// Clears up the requests of pods, which nobody reads once they are answered.
#[derive(Clone, Copy, Debug, Default)]
struct PodRequests;

impl Operator for PodRequests {
    const NAME: &'static str = "podcertificaterequestcleaner";
    type Object = PodRequestView;
    type Observed = ();

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::primary::<PodRequestView>().into()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::to(&PodRequestView::KIND, &["delete"])]
    }
    async fn observe(&self, _: &Reader, _: &Arc<PodRequestView>) -> Result<(), Error> {
        Ok(())
    }
    fn plan(&self, request: &PodRequestView, (): &(), now: Timestamp) -> Plan {
        plan::clean::pod(request, now)
    }
}

/// RBAC rules that follow from what it watches and writes, and the signers it speaks for.
pub fn rules() -> Value {
    let signers = |verb: &str, names: &[&str]| json!({"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": names, "verbs": [verb]});
    let own = [operator_rules(&Requests::default()), operator_rules(&PodRequests)];
    let own = own.iter().filter_map(Value::as_array).flatten().cloned();
    let mut rules: Vec<Value> = own.collect();
    rules.sort_by_cached_key(ToString::to_string);
    rules.dedup();
    rules.extend([signers("approve", &[plan::NODE_CLIENT]), signers("sign", &plan::SIGNERS)]);
    Value::Array(rules)
}

/// Runs it until shutdown. `authority`: certificate and key, as PEM.
pub async fn run(client: Client, config: RunConfig, authority: Option<(String, String)>) {
    let authority = authority.and_then(|(certificate, key)| {
        let loaded = Authority::from_pem(&certificate, &key);
        loaded
            .inspect_err(|error| tracing::error!(%error, "the authority cannot be used; nothing is signed"))
            .ok()
    });
    let (identity, clock) = (config.identity.clone(), config.clock.clone());
    let writes = Requests::default().writes();
    let reviewer = Writer::start(client.clone(), Requests::NAME, writes, &identity, clock);
    let requests = Requests { authority, reviewer: Some(reviewer) };
    futures::join!(
        proa_kit::run(requests, client.clone(), config.clone()),
        proa_kit::run(PodRequests, client, config),
    );
}

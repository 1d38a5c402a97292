//! Certificates of pods: a key that is made here, and a chain that a signer makes for it.
//!
//! Owns: a task per source of a volume, while its pod is registered: it asks, waits, and asks anew when the signer says
//! so; the pod is marked at each answer. Invariants: keys are nowhere but here and in the pod's volume; a pair that
//! could not be renewed is handed out on; a refusal is final. Deliberately absent: RSA and P-521 keys (`supported`).
//! Upstream: `pkg/kubelet/podcertificate`.

use super::{PATIENCE, SourceError, marks::Marks};
use crate::build::{name, namespace, uid};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{
        certificates::v1::{PodCertificateRequest, PodCertificateRequestSpec},
        core::v1::{Node, Pod, PodCertificateProjection, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Api, Client, api::PostParams, runtime::watcher::watch_object};
use parking_lot::Mutex;
use proa_kit::clock::Clock;
use proa_meta::pem;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tracing::warn;

/// A request without an answer is given up after this.
const ABANDON: Duration = Duration::from_secs(600);
/// When to ask again after a request failed: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Renewals of pods that began together are spread over so many seconds.
const SPREAD: u64 = 300;

/// A key and the certificates for it, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The key, as PKCS#8.
    pub(crate) key: String,
    /// The certificate first, then those of its signers.
    pub(crate) chain: String,
}

/// Pod, volume, and index of the source in it.
type Place = (String, String, usize);

/// What became of a request so far.
#[derive(Clone)]
enum Answer {
    None,
    Issued(Credentials),
    Refused(String),
}

struct Held {
    answer: watch::Receiver<Answer>,
    task: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// See the module's text.
pub(super) struct Certificates {
    client: Client,
    clock: Arc<dyn Clock>,
    marks: Marks,
    held: Mutex<HashMap<Place, Held>>,
}

impl Certificates {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, marks: Marks) -> Self {
        Self { client, clock, marks, held: Mutex::default() }
    }

    /// Asks for what the pod's volumes need, once.
    pub(super) fn register(&self, pod: &Pod) {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for volume in volumes {
            let sources = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
            for (index, source) in sources.enumerate() {
                let Some(source) = &source.pod_certificate else { continue };
                let place = (uid(pod).to_owned(), volume.name.clone(), index);
                self.held.lock().entry(place).or_insert_with(|| self.start(pod, source));
            }
        }
    }

    /// The pod is gone.
    pub(super) fn forget(&self, pod_uid: &str) {
        self.held.lock().retain(|(pod, _, _), _| pod != pod_uid);
    }

    /// What there is for a source of a volume.
    pub(super) async fn credentials(
        &self,
        pod: &Pod,
        volume: &str,
        index: usize,
    ) -> Result<Credentials, SourceError> {
        let kind = "podcertificaterequest";
        let place = (uid(pod).to_owned(), volume.to_owned(), index);
        let answer = self.held.lock().get(&place).map(|held| held.answer.clone());
        // Without a task the pod was released meanwhile.
        let Some(mut answer) = answer else { return Err(SourceError::Timeout { kind }) };
        let settled = answer.wait_for(|answer| !matches!(answer, Answer::None));
        let answer = match tokio::time::timeout(PATIENCE, settled).await {
            Ok(Ok(answer)) => answer.clone(),
            Ok(Err(_)) => return Err(SourceError::Timeout { kind }),
            Err(_) => Answer::None,
        };
        match answer {
            Answer::Issued(credentials) => Ok(credentials),
            Answer::Refused(why) => Err(SourceError::Refused(why)),
            Answer::None => Err(SourceError::Refused("credential bundle is not issued yet".to_owned())),
        }
    }

    fn start(&self, pod: &Pod, source: &PodCertificateProjection) -> Held {
        let (told, answer) = watch::channel(Answer::None);
        let order = Order { client: self.client.clone(), pod: pod.clone(), source: source.clone() };
        let (clock, marks) = (self.clock.clone(), self.marks.clone());
        let task = async move {
            let mut wait = RETRY.0;
            loop {
                match order.ask().await {
                    Ok(Outcome::Issued { credentials, renew }) => {
                        told.send_replace(Answer::Issued(credentials));
                        marks.add([uid(&order.pod).to_owned()]);
                        wait = RETRY.0;
                        let spread = Duration::from_secs(RandomState::new().hash_one(0) % SPREAD);
                        let left = renew.duration_since(clock.now()).try_into().unwrap_or_default();
                        tokio::time::sleep(spread.saturating_add(left)).await;
                    }
                    Ok(Outcome::Refused(why)) => {
                        // A pair that was issued before is good until it runs out.
                        told.send_if_modified(|answer| {
                            let is_first = !matches!(answer, Answer::Issued(_));
                            if is_first {
                                *answer = Answer::Refused(why);
                            }
                            is_first
                        });
                        marks.add([uid(&order.pod).to_owned()]);
                        return;
                    }
                    Err(error) => {
                        warn!(pod = name(&order.pod), error, "cannot get a certificate; will ask again");
                        tokio::time::sleep(wait).await;
                        wait = RETRY.1.min(wait * 2);
                    }
                }
            }
        };
        Held { answer, task: tokio::spawn(task) }
    }
}

/// How a request ended.
enum Outcome {
    Issued { credentials: Credentials, renew: Timestamp },
    Refused(String),
}

/// What is asked for, and for whom.
struct Order {
    client: Client,
    pod: Pod,
    source: PodCertificateProjection,
}

impl Order {
    async fn ask(&self) -> Result<Outcome, String> {
        let (key, request) = pair(&self.source.key_type)?;
        let requests = Api::<PodCertificateRequest>::namespaced(self.client.clone(), namespace(&self.pod));
        let request = self.request(request).await.map_err(|error| error.to_string())?;
        let created = requests.create(&PostParams::default(), &request).await;
        let created = created.map_err(|error| error.to_string())?;
        let name = created.metadata.name.unwrap_or_default();
        match tokio::time::timeout(ABANDON, answer(requests, &name, &key)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("nobody answered PodCertificateRequest {name:?}")),
        }
    }

    async fn request(&self, request: Vec<u8>) -> Result<PodCertificateRequest, kube::Error> {
        let Self { client, pod, source } = self;
        let spec = pod.spec.as_ref();
        let account = spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
        let node = spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace(pod));
        let account_uid = accounts.get(&account).await?.metadata.uid.unwrap_or_default();
        let nodes = Api::<Node>::all(client.clone());
        let node_uid = nodes.get(&node).await?.metadata.uid.unwrap_or_default();
        let (pod_name, pod_uid) = (name(pod).to_owned(), uid(pod).to_owned());
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod_name.clone(),
            uid: pod_uid.clone(),
            ..OwnerReference::default()
        };
        Ok(PodCertificateRequest {
            metadata: ObjectMeta {
                generate_name: Some("req-".to_owned()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            spec: PodCertificateRequestSpec {
                max_expiration_seconds: source.max_expiration_seconds,
                node_name: node,
                node_uid,
                pod_name,
                pod_uid,
                service_account_name: account,
                service_account_uid: account_uid,
                signer_name: source.signer_name.clone(),
                stub_pkc_s10_request: ByteString(request),
                unverified_user_annotations: source.user_annotations.clone(),
            },
            status: None,
        })
    }
}

/// Waits until a signer has said something final.
async fn answer(requests: Api<PodCertificateRequest>, name: &str, key: &KeyPair) -> Result<Outcome, String> {
    let mut changes = pin!(watch_object(requests, name));
    let mut seen = false;
    while let Some(change) = changes.next().await {
        match change {
            Ok(Some(request)) => {
                seen = true;
                if let Some(outcome) = outcome(&request, key) {
                    return Ok(outcome);
                }
            }
            Ok(None) if seen => return Err(format!("PodCertificateRequest {name:?} was deleted")),
            Ok(None) => {}
            Err(error) => {
                warn!(%error, name, "cannot watch a PodCertificateRequest; will try again");
                tokio::time::sleep(RETRY.0).await;
            }
        }
    }
    Err(format!("PodCertificateRequest {name:?} cannot be watched"))
}

fn outcome(request: &PodCertificateRequest, key: &KeyPair) -> Option<Outcome> {
    let status = request.status.as_ref()?;
    for condition in status.conditions.iter().flatten() {
        let verb = match condition.type_.as_str() {
            "Denied" => "denied",
            "Failed" => "failed",
            "Issued" => {
                let chain = pem::blocks(status.certificate_chain.as_deref().unwrap_or_default());
                let chain = chain.iter().map(|block| pem::encode("CERTIFICATE", &block.bytes)).collect();
                let credentials =
                    Credentials { key: pem::encode("PRIVATE KEY", key.serialized_der()), chain };
                return Some(Outcome::Issued { credentials, renew: status.begin_refresh_at.as_ref()?.0 });
            }
            _ => continue,
        };
        let (reason, message) = (&condition.reason, &condition.message);
        return Some(Outcome::Refused(format!(
            "PodCertificateRequest was permanently {verb}: reason={reason:?} message={message:?}"
        )));
    }
    None
}

/// A new key, and an empty PKCS#10 request signed with it.
fn pair(kind: &str) -> Result<(KeyPair, Vec<u8>), String> {
    let algorithm = match kind {
        "ECDSAP256" => &rcgen::PKCS_ECDSA_P256_SHA256,
        "ECDSAP384" => &rcgen::PKCS_ECDSA_P384_SHA384,
        "ED25519" => &rcgen::PKCS_ED25519,
        other => return Err(format!("this node makes no keys of type {other:?}")),
    };
    let make = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate_for(algorithm)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?.der().to_vec();
        Ok((key, request))
    };
    make().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::PublicKeyData as _;
    use serde_json::{Value, json};
    use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

    #[test]
    fn requests_are_empty_and_signed_with_their_key() {
        for kind in ["ECDSAP256", "ECDSAP384", "ED25519"] {
            let (key, request) = pair(kind).unwrap();
            let (_, request) = X509CertificationRequest::from_der(&request).unwrap();
            request.verify_signature().unwrap();
            let info = &request.certification_request_info;
            assert_eq!(info.subject_pki.raw, key.subject_public_key_info());
            assert_eq!(info.subject.iter().count(), 0);
            assert!(info.attributes().is_empty());
        }
        assert!(pair("RSA4096").is_err());
    }

    fn of(status: &Value, key: &KeyPair) -> Option<Outcome> {
        outcome(&serde_json::from_value(json!({"metadata": {}, "spec": {}, "status": status})).unwrap(), key)
    }

    #[test]
    fn answers_of_signers() {
        let (key, _) = pair("ED25519").unwrap();
        assert!(of(&json!({}), &key).is_none());
        let condition = |kind: &str| {
            json!([{"type": kind, "status": "True", "reason": "R", "message": "M",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}])
        };
        let Some(Outcome::Refused(why)) = of(&json!({"conditions": condition("Denied")}), &key) else {
            panic!()
        };
        assert_eq!(why, "PodCertificateRequest was permanently denied: reason=\"R\" message=\"M\"");
        let chain = format!("comment\n{}", pem::encode("CERTIFICATE", b"leaf"));
        let status = json!({"conditions": condition("Issued"), "certificateChain": chain,
            "beginRefreshAt": "2026-01-01T01:00:00Z"});
        let Some(Outcome::Issued { credentials, renew }) = of(&status, &key) else { panic!() };
        assert_eq!(credentials.chain, pem::encode("CERTIFICATE", b"leaf"));
        assert!(credentials.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(renew, "2026-01-01T01:00:00Z".parse().unwrap());
    }
}

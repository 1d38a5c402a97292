//! A node asks for certificates only of pods that run on it, of signers that the pods ask for.
//!
//! Deliberately absent: the permission `request-serviceaccounts-podcertificate-signer`.

use super::{MIRROR_POD, Refusal, items, refuse};
use crate::objects;
use proa_registry::{AdmissionRequest, Operation};
use serde_json::Value;

pub(super) fn check(request: &AdmissionRequest<'_>, node: &str, object: &Value) -> Result<(), Refusal> {
    if request.operation != Operation::Create {
        return refuse(format!("unexpected operation {:?}", super::text_of(request.operation)));
    }
    let text = |field: &str| object["spec"][field].as_str().unwrap_or_default();
    if text("nodeName") != node {
        return refuse(format!(
            "PodCertificateRequest.Spec.NodeName={:?}, which is not the requesting node {node:?}",
            text("nodeName")
        ));
    }
    let found = objects::get_meta(request.registry, &objects::NODES, "", node)?;
    if found.uid != text("nodeUID") {
        return refuse(format!(
            "PodCertificateRequest names node UID {:?}, not {:?}",
            text("nodeUID"),
            found.uid
        ));
    }
    let pod: Value = objects::get(request.registry, &objects::PODS, request.namespace, text("podName"))?;
    let account = text("serviceAccountName");
    check_pod(&object["spec"], &pod, node)?;
    let found = objects::get_meta(request.registry, &objects::SERVICE_ACCOUNTS, request.namespace, account)?;
    if found.uid == text("serviceAccountUID") {
        return Ok(());
    }
    let named = text("serviceAccountUID");
    refuse(format!("PodCertificateRequest names service account UID {named:?}, not {:?}", found.uid))
}

fn check_pod(request: &Value, pod: &Value, node: &str) -> Result<(), String> {
    let name = &request["podName"];
    if pod["metadata"]["uid"] != request["podUID"] {
        let (named, is) = (&request["podUID"], &pod["metadata"]["uid"]);
        return Err(format!(
            "PodCertificateRequest for pod {name} contains pod UID ({named}) which differs from running pod {is}"
        ));
    }
    if pod["spec"]["nodeName"] != node {
        return Err(format!("pod {name} is not running on node {node:?} named in the PodCertificateRequest"));
    }
    if pod["metadata"]["annotations"].get(MIRROR_POD).is_some() {
        return Err(format!("pod {name} is a mirror pod"));
    }
    if pod["spec"]["serviceAccountName"] != request["serviceAccountName"] {
        let (named, is) = (&request["serviceAccountName"], &pod["spec"]["serviceAccountName"]);
        return Err(format!(
            "PodCertificateRequest for pod {name} contains serviceAccountName ({named}) that differs from running \
             pod ({is})"
        ));
    }
    let signer = &request["signerName"];
    let asks = |source: &Value| &source["podCertificate"]["signerName"] == signer;
    if items(&pod["spec"]["volumes"]).any(|volume| items(&volume["projected"]["sources"]).any(asks)) {
        return Ok(());
    }
    Err(format!("pod {name} does not mount a podCertificate projected volume for signer {signer}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn certificates_are_asked_for_what_a_pod_mounts() {
        let pod = json!({"metadata": {"uid": "u"}, "spec": {"nodeName": "n1", "serviceAccountName": "a",
            "volumes": [{"projected": {"sources": [{"podCertificate": {"signerName": "x.y/s"}}]}}]}});
        let good = json!({"podName": "p", "podUID": "u", "serviceAccountName": "a", "signerName": "x.y/s"});
        assert_eq!(check_pod(&good, &pod, "n1"), Ok(()));
        assert!(check_pod(&good, &pod, "n2").unwrap_err().contains("is not running on node"));
        for (field, why) in [
            ("podUID", "differs from running pod"),
            ("serviceAccountName", "contains serviceAccountName"),
            ("signerName", "does not mount"),
        ] {
            let mut bad = good.clone();
            bad[field] = json!("other");
            assert!(check_pod(&bad, &pod, "n1").unwrap_err().contains(why));
        }
    }
}

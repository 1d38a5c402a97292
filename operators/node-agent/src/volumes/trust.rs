//! Trust anchors from ClusterTrustBundles, each once.
//!
//! Pure. Order is by content, so that it says nothing of the bundles. Upstream: `pkg/kubelet/clustertrustbundle`.

use k8s_openapi::{
    api::{certificates::v1::ClusterTrustBundle, core::v1::ClusterTrustBundleProjection},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use proa_meta::{pem, selector};
use std::{collections::BTreeSet, sync::Arc};

/// The anchors that a volume asks for, as PEM; nothing when there are none and that is allowed.
pub(super) fn anchors(
    source: &ClusterTrustBundleProjection,
    bundles: &[Arc<ClusterTrustBundle>],
) -> Result<Vec<u8>, String> {
    let chosen: Vec<&ClusterTrustBundle> = match (&source.name, &source.signer_name) {
        (Some(name), _) => {
            bundles.iter().map(|b| &**b).filter(|b| b.metadata.name.as_ref() == Some(name)).collect()
        }
        (None, Some(signer)) => {
            let matching = bundles.iter().filter(|bundle| bundle.spec.signer_name.as_ref() == Some(signer));
            let selector = compiled(source.label_selector.as_ref())?;
            matching.map(|b| &**b).filter(|b| selector.as_ref().is_some_and(|s| is_match(s, b))).collect()
        }
        (None, None) => {
            return Err(
                "ClusterTrustBundle projection requires either name or signerName to be set".to_owned()
            );
        }
    };
    if chosen.is_empty() && source.optional != Some(true) {
        return Err(match &source.name {
            Some(name) => format!(
                "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found"
            ),
            None => "combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned(),
        });
    }
    let anchors: BTreeSet<Vec<u8>> = chosen
        .iter()
        .flat_map(|bundle| pem::blocks(&bundle.spec.trust_bundle))
        .map(|block| block.bytes)
        .collect();
    Ok(anchors.iter().map(|anchor| pem::encode("CERTIFICATE", anchor)).collect::<String>().into_bytes())
}

/// No selector selects nothing, an empty one everything.
fn compiled(selector: Option<&LabelSelector>) -> Result<Option<selector::Selector>, String> {
    let Some(selector) = selector else { return Ok(None) };
    let json = serde_json::to_value(selector).map_err(|error| error.to_string())?;
    let compiled = selector::LabelSelector::compile_json(Some(&json));
    compiled.map(Some).map_err(|error| format!("while parsing label selector: {error}"))
}

fn is_match(selector: &selector::Selector, bundle: &ClusterTrustBundle) -> bool {
    let labels = bundle.metadata.labels.as_ref();
    selector.matches(|key| labels?.get(key).map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bundle(name: &str, signer: &Value, labels: &Value, anchors: &[&[u8]]) -> Arc<ClusterTrustBundle> {
        let text: String = anchors.iter().map(|anchor| pem::encode("CERTIFICATE", anchor)).collect();
        let object = json!({"metadata": {"name": name, "labels": labels},
            "spec": {"signerName": signer, "trustBundle": format!("# comment\n{text}")}});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn of(source: Value) -> Result<Vec<Vec<u8>>, String> {
        let bundles = [
            bundle("plain", &Value::Null, &json!({}), &[b"p"]),
            bundle("x.y:s:a", &json!("x.y/s"), &json!({"live": "yes"}), &[b"b", b"a"]),
            bundle("x.y:s:b", &json!("x.y/s"), &json!({"live": "no"}), &[b"a", b"c"]),
            bundle("x.y:t:a", &json!("x.y/t"), &json!({"live": "yes"}), &[b"d"]),
        ];
        let text = anchors(&serde_json::from_value(source).unwrap(), &bundles)?;
        let text = String::from_utf8(text).unwrap();
        Ok(pem::blocks(&text).into_iter().map(|block| block.bytes).collect())
    }

    #[test]
    fn by_name_and_by_signer() {
        let found = |source| of(source).map(|all| all.concat()).unwrap();
        assert_eq!(found(json!({"path": "p", "name": "plain"})), b"p");
        assert_eq!(found(json!({"path": "p", "signerName": "x.y/s", "labelSelector": {}})), b"abc");
        let live = json!({"matchLabels": {"live": "yes"}});
        assert_eq!(found(json!({"path": "p", "signerName": "x.y/s", "labelSelector": live})), b"ab");
        assert_eq!(found(json!({"path": "p", "signerName": "x.y/s", "optional": true})), b"");
        assert_eq!(found(json!({"path": "p", "name": "none", "optional": true})), b"");
    }

    #[test]
    fn what_is_not_there_must_be_optional() {
        let why = of(json!({"path": "p", "name": "none", "optional": false})).unwrap_err();
        assert!(why.ends_with("clustertrustbundle.certificates.k8s.io \"none\" not found"), "{why}");
        let why = of(json!({"path": "p", "signerName": "x.y/s"})).unwrap_err();
        assert_eq!(why, "combination of signerName and labelSelector matched zero ClusterTrustBundles");
    }
}

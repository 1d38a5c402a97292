//! What a pod looks like after the plugin.

use super::*;

fn account(value: &Value) -> AccountView {
    AccountView::deserialize(value).unwrap()
}

fn completed(spec: &Value, account_value: &Value) -> Value {
    let mut pod = json!({ "spec": spec });
    complete(&mut pod, "default", &account(account_value), "kube-api-access-abcde");
    pod["spec"].take()
}

#[test]
fn a_plain_pod_gets_account_volume_and_mounts() {
    let spec =
        json!({"containers": [{"name": "web"}], "initContainers": [{"name": "init", "volumeMounts": []}]});
    let mount = json!({"name": "kube-api-access-abcde", "readOnly": true,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    assert_eq!(
        completed(&spec, &json!({"imagePullSecrets": [{"name": "registry"}]})),
        json!({
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "imagePullSecrets": [{"name": "registry"}],
            "containers": [{"name": "web", "volumeMounts": [mount]}],
            "initContainers": [{"name": "init", "volumeMounts": [mount]}],
            "volumes": [{"name": "kube-api-access-abcde", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
            ]}}],
        })
    );
}

#[test]
fn the_pods_wish_about_mounting_wins_over_the_accounts() {
    for (want, pod, account) in [
        (true, json!({}), json!({})),
        (false, json!({}), json!({"automountServiceAccountToken": false})),
        (true, json!({"automountServiceAccountToken": true}), json!({"automountServiceAccountToken": false})),
        (false, json!({"automountServiceAccountToken": false}), json!({})),
    ] {
        let mut spec = pod;
        spec["containers"] = json!([{"name": "web"}]);
        assert_eq!(completed(&spec, &account).get("volumes").is_some(), want, "{spec} {account}");
    }
}

#[test]
fn own_mounts_volumes_and_pull_secrets_are_kept() {
    let own = json!({"name": "mine", "mountPath": TOKEN_PATH});
    let spec = json!({"containers": [{"volumeMounts": [own]}], "imagePullSecrets": [{"name": "a"}]});
    let done = completed(&spec, &json!({"imagePullSecrets": [{"name": "b"}]}));
    assert_eq!(done["containers"][0]["volumeMounts"], json!([own]));
    assert_eq!((done.get("volumes"), &done["imagePullSecrets"]), (None, &json!([{"name": "a"}])));

    let spec = json!({"containers": [{}], "volumes": [{"name": "kube-api-access-mine"}]});
    let done = completed(&spec, &json!({}));
    assert_eq!(done["containers"][0]["volumeMounts"][0]["name"], "kube-api-access-mine");
    assert_eq!(done["volumes"].as_array().map(Vec::len), Some(1));
}

#[test]
fn volume_names_are_generated_names() {
    let name = volume_name();
    assert_eq!(name.len(), VOLUME_PREFIX.len() + 5);
    assert_ne!(name, volume_name());
    assert!(proa_meta::names::is_dns1123_label(&name).is_empty(), "{name}");
}

#[test]
fn mirror_pods_use_neither_accounts_nor_secrets() {
    for (want, spec) in [
        (Ok(()), json!({"containers": [{}]})),
        (Err("a mirror pod may not reference service accounts"), json!({"serviceAccountName": "a"})),
        (
            Err("a mirror pod may not reference secrets"),
            json!({"volumes": [{"secret": {"secretName": "s"}}]}),
        ),
        (
            Err("a mirror pod may not use ServiceAccountToken volume projections"),
            json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
        ),
    ] {
        assert_eq!(check_mirror(&spec), want, "{spec}");
    }
}

#[test]
fn accounts_may_limit_the_secrets_of_their_pods() {
    let account = account(&json!({
        "metadata": {"name": "strict", "annotations": {ENFORCE_MOUNTABLE_SECRETS: "true"}},
        "secrets": [{"name": "known"}], "imagePullSecrets": [{"name": "pull"}],
    }));
    assert!(account.enforces_mountable_secrets());
    let check = |spec: Value| check_mountable(&spec, &account).err().unwrap_or_default();
    assert_eq!(check(json!({"volumes": [{"secret": {"secretName": "known"}}]})), "");
    assert_eq!(
        check(json!({"volumes": [{"secret": {"secretName": "other"}}]})),
        "volume with secret.secretName=\"other\" is not allowed because service account strict does not reference \
         that secret"
    );
    assert_eq!(
        check(json!({"containers": [{"name": "web",
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "other"}}}]}]})),
        "container web with envVar A referencing secret.secretName=\"other\" is not allowed because service account \
         strict does not reference that secret"
    );
    assert_eq!(
        check(json!({"imagePullSecrets": [{"name": "other"}]})),
        "imagePullSecrets[0].name=\"other\" is not allowed because service account strict does not reference that \
         imagePullSecret"
    );
}

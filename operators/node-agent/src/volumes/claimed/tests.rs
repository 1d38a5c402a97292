//! Pure parts, and the group of real files.

use super::*;
use serde_json::{Value, json};

fn decode<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_claim_must_be_bound_and_stay() {
    let claim = |deleted: Value, phase: &str, volume: Value| -> PersistentVolumeClaim {
        decode(json!({"metadata": {"deletionTimestamp": deleted}, "spec": {"volumeName": volume},
            "status": {"phase": phase}}))
    };
    let of = |claim: PersistentVolumeClaim| bound_to(&claim).map(str::to_owned);
    assert_eq!(of(claim(Value::Null, "Bound", json!("v"))), Ok("v".to_owned()));
    assert_eq!(of(claim(Value::Null, "Pending", json!("v"))), Err("PVC is not bound"));
    assert_eq!(of(claim(Value::Null, "Bound", Value::Null)), Err("PVC has empty pvc.Spec.VolumeName"));
    assert_eq!(of(claim(json!("2026-01-01T00:00:00Z"), "Bound", json!("v"))), Err("PVC is being deleted"));
}

#[test]
fn a_volume_must_be_the_claims_and_of_this_node() {
    let claim: PersistentVolumeClaim = decode(json!({"metadata": {"uid": "u"}}));
    let volume = |reference: Value| -> PersistentVolume {
        decode(json!({"metadata": {"name": "v"}, "spec": {"claimRef": reference, "local": {"path": "/d"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "host", "operator": "In", "values": ["a"]}]}]}}}}))
    };
    assert_eq!(check(&volume(json!({"uid": "u"})), &claim), Ok(()));
    let other = check(&volume(json!({"uid": "x"})), &claim).unwrap_err();
    assert_eq!(other, "found PV object v but its pv.Spec.ClaimRef.UID x does not point to claim.UID u");
    assert!(check(&volume(Value::Null), &claim).is_err());
    let node = |host: &str| decode(json!({"metadata": {"name": "n", "labels": {"host": host}}}));
    let volume = volume(Value::Null);
    assert!(is_reached(&volume, &node("a")) && !is_reached(&volume, &node("b")));
    assert_eq!(source(&volume), Ok(Claimed::Local("/d".into())));
    let other: PersistentVolume =
        decode(json!({"metadata": {"name": "v"}, "spec": {"nfs": {"server": "s", "path": "/"}}}));
    assert!(source(&other).unwrap_err().contains("local and hostPath only"));
}

#[test]
fn files_are_given_to_the_group_once() {
    let root = tempfile::tempdir().unwrap();
    let (path, mark) = (root.path().join("data"), root.path().join("pod/mark"));
    let local = Claimed::Local(path.clone());
    let group = Group { id: 4321, access: Access::ReadWrite, on_mismatch: false };
    let missing = set_up(&local, &mark, Some(group)).unwrap_err();
    assert!(missing.to_string().ends_with("data\" does not exist"), "{missing}");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("f"), "").unwrap();
    assert_eq!(set_up(&local, &mark, Some(group)).unwrap(), path);
    let owner = |name: &str| fs::metadata(path.join(name)).unwrap().gid();
    assert_eq!((owner(""), owner("f")), (4321, 4321));
    // What the pod does afterwards stays.
    ownership::chown(&path.join("f"), None, Some(99)).unwrap();
    set_up(&local, &mark, Some(group)).unwrap();
    assert_eq!(owner("f"), 99);
    // Another pod with the same group looks at the top directory only, if it says so.
    set_up(&local, &root.path().join("second"), Some(Group { on_mismatch: true, ..group })).unwrap();
    assert_eq!(owner("f"), 99);
    set_up(&local, &root.path().join("third"), Some(group)).unwrap();
    assert_eq!(owner("f"), 4321);
}

#[test]
fn names_of_claims() {
    let pod: Pod = decode(json!({"metadata": {"name": "p"}}));
    let volume = |source: Value| -> Volume { decode(source) };
    let claim = volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}}));
    assert_eq!(claim_name(&pod, &claim), Some(("c".to_owned(), false)));
    assert!(is_read_only(&claim) && Group::of(&pod, &claim, Some(1)).is_none());
    let own = volume(json!({"name": "v", "ephemeral": {}}));
    assert_eq!(claim_name(&pod, &own), Some(("p-v".to_owned(), true)));
    assert_eq!(claim_name(&pod, &volume(json!({"name": "v", "emptyDir": {}}))), None);
}

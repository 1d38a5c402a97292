//! Makes the descriptions of the API's types and fields from k8s-openapi's schemas: texts are never committed.
//!
//! Writes two files to `OUT_DIR`: `descriptions.bin`, deflated chunks of records, and `descriptions.idx`, one line per
//! chunk: name of its first type, offset, length. A record is a type's name, its text, and name and text of each
//! field, separated by 0x1f and ended by 0x1e; records are sorted by name.

use flate2::{Compression, write::DeflateEncoder};
use k8s_openapi::schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;
use std::{collections::BTreeMap, env, fmt::Write as _, fs, io::Write as _, path::PathBuf};

/// Text per chunk: what must be inflated to read one type.
const CHUNK: usize = 32 * 1024;

/// Registers every type below the listed kinds.
macro_rules! roots {
    ($generator:ident; $($first:ident $(:: $module:ident)*: $($kind:ty),+;)*) => {
        $({
            #[allow(unused_imports, reason = "some modules have more types than are named")]
            use k8s_openapi::$first $(::$module)*::*;
            $($generator.subschema_for::<$kind>();)+
        })*
    };
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut generator = SchemaGenerator::new(SchemaSettings::openapi3());
    register(&mut generator);
    let records: BTreeMap<String, String> = generator
        .take_definitions(true)
        .iter()
        .map(|(name, schema)| (name.clone(), record(name, schema)))
        .collect();
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (data, index) = chunks(&records);
    fs::write(out.join("descriptions.bin"), data).expect("OUT_DIR can be written to");
    fs::write(out.join("descriptions.idx"), index).expect("OUT_DIR can be written to");
}

fn register(generator: &mut SchemaGenerator) {
    roots! { generator;
        api::admissionregistration::v1: MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration;
        api::admissionregistration::v1alpha1: MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding;
        api::admissionregistration::v1beta1: MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding;
        api::apiserverinternal::v1alpha1: StorageVersion;
        api::apps::v1: ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet;
        api::authentication::v1: SelfSubjectReview, TokenRequest, TokenReview;
        api::authorization::v1: LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview;
        api::autoscaling::v1: HorizontalPodAutoscaler, Scale;
        api::autoscaling::v2: HorizontalPodAutoscaler;
        api::batch::v1: CronJob, Job;
        api::certificates::v1: CertificateSigningRequest, ClusterTrustBundle, PodCertificateRequest;
        api::certificates::v1beta1: ClusterTrustBundle, PodCertificateRequest;
        api::coordination::v1: Lease;
        api::coordination::v1alpha2: LeaseCandidate;
        api::coordination::v1beta1: LeaseCandidate;
        api::core::v1: Binding, ComponentStatus, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret, Service, ServiceAccount;
        api::discovery::v1: EndpointSlice;
        api::events::v1: Event;
        api::flowcontrol::v1: FlowSchema, PriorityLevelConfiguration;
        api::lifecycle::v1alpha1: Eviction, EvictionRequest;
        api::networking::v1: IPAddress, Ingress, IngressClass, NetworkPolicy, ServiceCIDR;
        api::node::v1: RuntimeClass;
        api::policy::v1: Eviction, PodDisruptionBudget;
        api::rbac::v1: ClusterRole, ClusterRoleBinding, Role, RoleBinding;
        api::resource::v1: DeviceClass, DeviceTaintRule, ResourceClaim, ResourceClaimTemplate, ResourceSlice;
        api::resource::v1alpha3: DeviceTaintRule, ResourcePoolStatusRequest;
        api::resource::v1beta1: DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice;
        api::resource::v1beta2: DeviceClass, DeviceTaintRule, ResourceClaim, ResourceClaimTemplate, ResourceSlice;
        api::scheduling::v1: PriorityClass;
        api::scheduling::v1alpha3: CompositePodGroup, PodGroup, Workload;
        api::scheduling::v1beta1: PodGroup, Workload;
        api::storage::v1: CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass;
        api::storagemigration::v1: StorageVersionMigration;
        api::storagemigration::v1beta1: StorageVersionMigration;
        apiextensions_apiserver::pkg::apis::apiextensions::v1: CustomResourceDefinition;
        apimachinery::pkg::apis::meta::v1: APIGroup, APIGroupList, APIResourceList, APIVersions, Condition, DeleteOptions, ListMeta, Patch, Status, WatchEvent<()>;
        kube_aggregator::pkg::apis::apiregistration::v1: APIService;
    }
}

fn record(name: &str, schema: &Value) -> String {
    let text = |node: &Value| node.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut record = format!("{name}\x1f{}", text(schema));
    for (field, node) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let _ = write!(record, "\x1f{field}\x1f{}", text(node));
    }
    record.push('\x1e');
    record
}

fn chunks(records: &BTreeMap<String, String>) -> (Vec<u8>, String) {
    let (mut data, mut index) = (Vec::new(), String::new());
    let mut pending: Option<(&str, String)> = None;
    for (name, record) in records {
        let (_, text) = pending.get_or_insert_with(|| (name, String::new()));
        text.push_str(record);
        if text.len() >= CHUNK {
            flush(&mut data, &mut index, pending.take());
        }
    }
    flush(&mut data, &mut index, pending);
    (data, index)
}

fn flush(data: &mut Vec<u8>, index: &mut String, chunk: Option<(&str, String)>) {
    let Some((first, text)) = chunk else { return };
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes()).expect("memory can be written to");
    let bytes = encoder.finish().expect("memory can be written to");
    let _ = writeln!(index, "{first}\t{}\t{}", data.len(), bytes.len());
    data.extend(bytes);
}

//! Views: small structs of the fields that operators read, one file per kind.
//!
//! A watch decodes into a view, not into k8s-openapi types: ~1 KB a pod instead of 40 KB. managedFields are never
//! decoded; annotations only where the view says so (`meta::annotated`). A pod template is kept as a shared JSON value
//! where pods are built from it. An operator that needs other fields declares a view of its own.
//! Deliberately absent: writing. Written objects are built as JSON by the operator.

pub mod config_map;
pub mod controller_revision;
pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod endpoint_slice;
pub mod horizontal_pod_autoscaler;
pub mod ingress_class;
pub mod job;
pub mod lease;
pub mod meta;
pub mod namespace;
pub mod node;
pub mod object;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
pub mod pod_disruption_budget;
pub mod pod_spec;
pub mod replica_set;
pub mod replication_controller;
pub mod service;
pub mod service_account;
pub mod stateful_set;
pub mod storage_class;

pub use config_map::ConfigMapView;
pub use controller_revision::ControllerRevisionView;
pub use cron_job::CronJobView;
pub use daemon_set::DaemonSetView;
pub use deployment::DeploymentView;
pub use endpoint_slice::EndpointSliceView;
pub use horizontal_pod_autoscaler::HorizontalPodAutoscalerView;
pub use ingress_class::IngressClassView;
pub use job::JobView;
pub use lease::LeaseView;
pub use meta::{Meta, Owner, Pairs};
pub use namespace::NamespaceView;
pub use node::NodeView;
pub use object::{ObjectView, WholeView};
pub use persistent_volume::PersistentVolumeView;
pub use persistent_volume_claim::PersistentVolumeClaimView;
pub use pod::PodView;
pub use pod_disruption_budget::PodDisruptionBudgetView;
pub use replica_set::ReplicaSetView;
pub use replication_controller::ReplicationControllerView;
pub use service::ServiceView;
pub use service_account::ServiceAccountView;
pub use stateful_set::StatefulSetView;
pub use storage_class::StorageClassView;

use crate::kind::{Key, Kind, ObjectRef};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::fmt::Debug;

/// A view, or why a text is none.
pub type Decoded<V> = serde_json::Result<V>;

/// Reads a view from JSON.
///
/// # Errors
/// A field does not fit.
pub fn decode<V: DeserializeOwned>(text: &str) -> Decoded<V> {
    serde_json::from_str(text)
}

/// A decoded object, or the part of it that matters.
pub trait View: DeserializeOwned + Debug + Send + Sync + 'static {
    /// Ask the server for metadata only.
    const METADATA_ONLY: bool = false;
    /// Reads one from JSON. `view!` makes it a function of the crate that has the view, so that it is not made again in every
    /// crate that watches one.
    ///
    /// # Errors
    /// A field does not fit.
    fn decode(text: &str) -> Decoded<Self> {
        decode(text)
    }
    /// Its metadata.
    fn meta(&self) -> &Meta;
    /// Its key in caches and queues.
    fn key(&self) -> Key {
        Key::new(&self.meta().namespace, &self.meta().name)
    }
    /// A reference that pins the uid; the kind is given, since a view may serve several.
    fn reference_as(&self, kind: Kind) -> ObjectRef {
        ObjectRef::new(kind, &self.meta().namespace, &self.meta().name).with_uid(&self.meta().uid)
    }
}

/// A view of one kind.
pub trait Typed: View {
    /// The kind it views.
    const KIND: Kind;
    /// A reference that pins the uid.
    fn reference(&self) -> ObjectRef {
        self.reference_as(Self::KIND)
    }
}

/// Implements `View` and `Typed` for a struct with a `metadata` field.
#[macro_export]
macro_rules! view {
    ($view:ty, $kind:expr) => {
        impl $crate::views::View for $view {
            fn decode(text: &str) -> $crate::views::Decoded<Self> {
                $crate::views::decode(text)
            }
            fn meta(&self) -> &$crate::views::Meta {
                &self.metadata
            }
        }
        impl $crate::views::Typed for $view {
            const KIND: $crate::kind::Kind = $kind;
        }
    };
}

/// `null` and an absent field both mean the default: Go writes empty lists and maps as `null`.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

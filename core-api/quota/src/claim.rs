//! What a persistent volume claim costs: itself and its storage, also in its class.
//!
//! Upstream: `pkg/quota/v1/evaluator/core/persistent_volume_claims.go`.

use crate::{
    amounts::Amounts,
    names::{CLAIMS, OF_STORAGE_CLASS},
};
use proa_meta::quantity::{Format, Quantity};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Annotation that named the class before there was a field for it.
pub const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const STORAGE: &str = "requests.storage";

/// A claim, as far as it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priced {
    class: String,
    storage: Option<Quantity>,
    /// Volume attributes classes that it has or wants.
    pub attributes_classes: BTreeSet<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Claim {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

/// `spec` of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    resources: crate::pod::Resources,
    storage_class_name: Option<String>,
    volume_attributes_class_name: Option<String>,
}

/// `status` of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    allocated_resources: Amounts,
    current_volume_attributes_class_name: Option<String>,
    modify_volume_status: Modification,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Modification {
    target_volume_attributes_class_name: String,
}

/// Reads a claim.
///
/// # Errors
/// It is not one.
pub fn read<'de, D: serde::Deserializer<'de>>(claim: D) -> Result<Priced, D::Error> {
    let claim = Claim::deserialize(claim)?;
    let old_class = claim.metadata.annotations.get(OLD_CLASS).map(String::as_str);
    Ok(Priced::of(old_class, &claim.spec, &claim.status))
}

fn whole(quantity: Quantity) -> Quantity {
    if quantity.is_integer() { quantity } else { Quantity::new(quantity.value(), quantity.format()) }
}

impl Priced {
    /// Prices a claim; `old_class` is what the annotation says.
    pub fn of(old_class: Option<&str>, spec: &Spec, status: &Status) -> Self {
        let class = old_class.or(spec.storage_class_name.as_deref()).unwrap_or_default().to_owned();
        let asked = spec.resources.requests.get("storage").copied();
        let allocated = status.allocated_resources.get("storage").copied();
        // Bytes are whole.
        let storage = asked.map(|asked| whole(allocated.map_or(asked, |allocated| allocated.max(asked))));
        let target = &status.modify_volume_status.target_volume_attributes_class_name;
        let classes = [&spec.volume_attributes_class_name, &status.current_volume_attributes_class_name]
            .into_iter()
            .flatten();
        let all = classes.chain([target]).filter(|class| !class.is_empty());
        Self { class, storage, attributes_classes: all.cloned().collect() }
    }
    /// What it costs.
    pub fn usage(&self) -> Amounts {
        let one = Quantity::new(1, Format::DecimalSi);
        let mut usage = Amounts::from([(format!("count/{CLAIMS}"), one)]);
        let mut both = |name: &str, quantity: Quantity| {
            usage.insert(name.to_owned(), quantity);
            if !self.class.is_empty() {
                usage.insert(format!("{}{OF_STORAGE_CLASS}{name}", self.class), quantity);
            }
        };
        both(CLAIMS, one);
        if let Some(storage) = self.storage {
            both(STORAGE, storage);
        }
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn storage_counts_in_all_and_in_its_class() {
        let claim = json!({"spec": {"storageClassName": "gold", "volumeAttributesClassName": "fast",
            "resources": {"requests": {"storage": "1500m"}}}, "status": {"allocatedResources": {"storage": "1"}}});
        let claim = read(&claim).unwrap();
        assert_eq!(
            crate::amounts::text(&claim.usage()),
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             gold.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,requests.storage=2"
        );
        assert!(claim.attributes_classes.contains("fast"));
    }
}

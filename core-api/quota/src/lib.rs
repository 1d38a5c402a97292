//! What objects cost a namespace, and whether its ResourceQuotas can pay for them.
//!
//! One truth for both sides: admission charges by it, the resource-quota operator counts by it; with two they would
//! never agree. Owns: which resource names belong to which kind ([`names`]), what an object costs ([`Item`]), what a
//! pod's containers ask for together ([`pod`]), which quotas are about an object and what a write leaves used
//! ([`charge`]). Pure; deliberately absent: reading, writing, requests.
//! Upstream: `pkg/quota/v1`, apiserver `pkg/quota/v1`, `pkg/admission/plugin/resourcequota`.

pub mod amounts;
pub mod charge;
pub mod claim;
mod item;
pub mod names;
pub mod pod;
pub mod quota;
pub mod service;

pub use amounts::Amounts;
pub use charge::{Charged, charge};
pub use item::Item;
pub use quota::Quota;

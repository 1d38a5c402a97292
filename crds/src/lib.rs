//! The catalogue of built-in kinds, one file per kind, and the facts table.
//!
//! A kind is data: names, schema, columns, and pure functions for what data cannot say ([`catalogue()`]). A new kind
//! is one file and one line. Deliberately absent: stores, requests, and every effect that a kind has on the cluster.

pub mod facts;

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod catalogue;
mod certificates;
mod conditions;
mod coordination;
mod core;
mod cursor;
mod discovery;
mod fill;
mod flowcontrol;
mod network;
mod networking;
mod node;
mod pod_spec;
mod policy;
mod rbac;
mod resource;
mod scheduling;
mod selector;
mod storage;
mod storagemigration;
mod table;
mod webhook_client;

pub use catalogue::catalogue;
pub use networking::service_cidr::service_addresses;

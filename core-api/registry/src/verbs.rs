//! The verbs, each generic over kinds. A verb file reads as the stages of one request, in upstream's order.

mod connect;
mod create;
mod delete;
mod delete_collection;
mod get;
mod list;
mod modify;
mod patch;
pub(crate) mod scale;
mod update;
mod watch;
mod write;

pub(crate) use write::{canonical_form, decode_types};

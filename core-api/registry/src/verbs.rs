//! The verbs, each generic over kinds. A verb file reads as the stages of one request, in upstream's order.

mod create;
mod delete;
mod delete_collection;
mod get;
mod list;
mod modify;
mod patch;
mod scale;
mod update;
mod watch;
mod write;

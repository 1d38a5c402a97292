//! The table and what answers from it.
//!
//! Flow: `apply` makes the next table from the present one and swaps it in; the server's thread loads it for each query.
//! Readers never wait and never see half a change. Nothing is read back: the table lives in this process only.

mod answer;
mod kept;
mod server;
mod table;
mod upstream;
mod zone;

pub(crate) use server::Server;
pub(crate) use upstream::Upstreams;
pub(crate) use zone::Zone;

use crate::render::Change;
use arc_swap::ArcSwapOption;
use proa_kit::{Result, project::Sink};
use std::sync::Arc;
use table::Table;

/// The published table; nothing before the first change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<ArcSwapOption<Table>>);

impl Sink<Change> for Names {
    async fn apply(&mut self, change: Change) -> Result<()> {
        let present = self.0.load_full();
        let next = Table::after(present.as_deref(), change);
        self.0.store(Some(Arc::new(next)));
        Ok(())
    }
}

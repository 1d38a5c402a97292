//! The table and the server that answers from it.
//!
//! Flow: `apply` makes the next table from the present one and swaps it in; a request takes the one that is there when it
//! comes. So routes change under running connections, and requests that are on their way finish by the old ones.
//! Nothing is read back: the table lives in this process only.

mod body;
mod endpoint;
mod headers;
mod listener;
mod path;
mod proxy;
mod reply;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]
mod tests;
pub(crate) mod tls;
mod tunnel;
mod upstream;
mod workers;

pub use listener::PortState;

use crate::render::Change;
use arc_swap::ArcSwap;
use listener::Port;
use proa_kit::{Result, project::Sink};
use proxy::Proxy;
use std::{io, net::SocketAddr, sync::Arc};
use table::Table;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use workers::Workers;

/// The table of now.
pub(crate) type Published = Arc<ArcSwap<Table>>;

/// What became of both ports.
#[derive(Clone, Debug)]
pub struct Ports {
    /// HTTP.
    pub http: watch::Receiver<PortState>,
    /// HTTPS.
    pub https: watch::Receiver<PortState>,
}

/// Where changes go.
#[derive(Debug)]
pub(crate) struct Served {
    published: Published,
    wanted: watch::Sender<bool>,
}

/// A server for the two addresses, to be run, and what feeds it.
///
/// # Errors
/// The default certificate cannot be made.
pub(crate) fn server(
    http: SocketAddr,
    https: SocketAddr,
    shutdown: &CancellationToken,
) -> io::Result<(Served, Ports, impl Future<Output = ()> + Send + use<>)> {
    let published = Published::default();
    let (wanted, receiver) = watch::channel(false);
    let proxy = Arc::new(Proxy::new(published.clone(), https.port()));
    let ((http_state, http_seen), (https_state, https_seen)) =
        (watch::channel(PortState::Closed), watch::channel(PortState::Closed));
    let workers = Arc::new(Workers::default());
    let port = |address, tls, state| Port {
        address,
        proxy: proxy.clone(),
        workers: workers.clone(),
        tls,
        wanted: receiver.clone(),
        state,
        shutdown: shutdown.clone(),
    };
    let plain = port(http, None, http_state);
    let secure = port(https, Some(tls::server(published.clone())?), https_state);
    let running = async move {
        tokio::join!(plain.keep(), secure.keep());
    };
    Ok((Served { published, wanted }, Ports { http: http_seen, https: https_seen }, running))
}

impl Sink<Change> for Served {
    async fn apply(&mut self, change: Change) -> Result<()> {
        let serves = change.serves;
        let next = Table::after(&self.published.load(), change);
        self.published.store(Arc::new(next));
        // Only after the table: the first connection finds its routes.
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, serves) != serves);
        Ok(())
    }
}

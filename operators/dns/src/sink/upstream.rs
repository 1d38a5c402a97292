//! Names outside the cluster: asked from the host's name servers.
//!
//! Flow: a kept reply; else the server that answered last, and whenever one fails or is silent for half a second the next
//! beside it; the first usable reply wins. UDP first, TCP when the reply was cut. Each query has a socket of its own, so
//! its port is as random as its id. When nobody answers: `SERVFAIL`.
//! Invariants: bounded number of open queries; own addresses are never asked, so there is no loop; the file of name
//! servers is looked at again at most every five seconds, and only when there is something to ask.
//! Upstream: CoreDNS plugin/forward.

mod exchange;
mod resolv;

use super::{
    answer::Reply,
    kept::{Kept, Question},
};
pub(crate) use exchange::PAYLOAD;
use exchange::Query;
use futures::{StreamExt, stream::FuturesUnordered};
use hickory_server::proto::{
    op::{Message, ResponseCode},
    rr::{Name, Record},
};
use parking_lot::Mutex;
use resolv::Servers;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Replies kept.
const MOST_KEPT: usize = 4096;
/// Queries that wait for an answer at once.
const MOST_OPEN: usize = 1000;
/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a server may be silent before the next is asked too.
const SILENCE: Duration = Duration::from_millis(500);

/// The host's name servers.
#[derive(Debug)]
pub(crate) struct Upstreams {
    servers: Mutex<Servers>,
    kept: Mutex<Kept>,
    open: Semaphore,
}

/// What a client asked, with its flags.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Name, type, class and flags.
    pub(crate) question: Question,
    /// The name as it was written.
    pub(crate) name: Name,
    /// Whether the server is to ask further.
    pub(crate) recursion: bool,
}

impl Upstreams {
    /// Servers that a file names, without `own` addresses.
    pub(crate) fn new(resolv_conf: PathBuf, own: Vec<SocketAddr>) -> Self {
        Self {
            servers: Mutex::new(Servers::new(resolv_conf, own)),
            kept: Mutex::new(Kept::new(MOST_KEPT)),
            open: Semaphore::new(MOST_OPEN),
        }
    }
    /// The reply to a question.
    pub(crate) async fn resolve(&self, asked: &Asked) -> Reply {
        if let Some(reply) = self.recall(asked) {
            return reply;
        }
        let Ok(_open) = self.open.try_acquire() else {
            tracing::debug!("too many open queries");
            return Reply::code(ResponseCode::ServFail);
        };
        let servers = self.servers.lock().list(Instant::now());
        let Some((server, message)) = race(&servers, asked).await else {
            return Reply::code(ResponseCode::ServFail);
        };
        self.servers.lock().answered(server);
        let reply = reply(message);
        if asked.recursion {
            self.kept.lock().put(asked.question.clone(), Arc::new(reply.clone()), Instant::now());
        }
        reply
    }
    fn recall(&self, asked: &Asked) -> Option<Reply> {
        let kept = self.kept.lock().get(&asked.question, Instant::now()).filter(|_| asked.recursion);
        let (reply, age) = kept?;
        let mut reply = (*reply).clone();
        let Reply { answers, authorities, additionals, .. } = &mut reply;
        for record in answers.iter_mut().chain(authorities).chain(additionals) {
            record.decrement_ttl(age);
        }
        Some(reply)
    }
}

/// Asks servers one beside the other: the first reply that tells something, else any reply.
async fn race(servers: &[SocketAddr], asked: &Asked) -> Option<(SocketAddr, Message)> {
    let mut open = FuturesUnordered::new();
    let mut next = servers.iter().copied();
    let mut refusal = None;
    let ask = |server: SocketAddr| async move {
        (server, tokio::time::timeout(PATIENCE, Query::new(asked).ask(server)).await)
    };
    loop {
        let is_last = match next.next() {
            Some(server) => {
                open.push(ask(server));
                false
            }
            None => true,
        };
        let silence =
            async { if is_last { std::future::pending().await } else { tokio::time::sleep(SILENCE).await } };
        tokio::select! {
            done = open.next() => match done {
                None => return refusal,
                Some((server, Ok(Ok(message)))) if tells(&message) => return Some((server, message)),
                Some((server, Ok(Ok(message)))) => refusal = Some((server, message)),
                Some((server, Ok(Err(error)))) => tracing::debug!(%server, %error, "name server failed"),
                Some((server, Err(_))) => tracing::debug!(%server, "name server is silent"),
            },
            () = silence => {}
        }
    }
}

fn tells(message: &Message) -> bool {
    matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn reply(message: Message) -> Reply {
    let is_data = |record: &Record| record.record_type() != hickory_server::proto::rr::RecordType::OPT;
    Reply {
        code: message.metadata.response_code,
        authoritative: false,
        authentic: message.metadata.authentic_data,
        answers: message.answers,
        authorities: message.authorities,
        additionals: message.additionals.into_iter().filter(is_data).collect(),
    }
}

#[cfg(test)]
mod tests;

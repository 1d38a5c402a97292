//! Many clients at once, each sending one request after the other.

use anyhow::Result;
use kube::Client;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// One request: method, path, content type and body.
pub(crate) struct Call {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn get(path: String) -> Self {
        Self { method: http::Method::GET, path, content_type: "application/json", body: String::new() }
    }
    pub(crate) fn post(path: &str, body: String) -> Self {
        Self { method: http::Method::POST, path: path.to_owned(), content_type: "application/json", body }
    }
    pub(crate) fn merge(path: String, body: String) -> Self {
        let content_type = "application/merge-patch+json";
        Self { method: http::Method::PATCH, path, content_type, body }
    }
    /// Sends it and reads the whole answer.
    pub(crate) async fn send(self, client: &Client) -> Result<usize> {
        let request = http::Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(http::header::CONTENT_TYPE, self.content_type)
            .body(self.body.into_bytes())?;
        Ok(client.request_text(request).await?.len())
    }
}

/// Requests per second of `clients` clients over `time`; `make` gets a number that never repeats.
pub(crate) async fn rate(
    client: &Client,
    clients: usize,
    time: Duration,
    next: &Arc<AtomicU64>,
    make: fn(u64) -> Call,
) -> Result<f64> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (client, next) = (client.clone(), next.clone());
            tokio::spawn(async move {
                let mut done = 0_u64;
                while begun.elapsed() < time {
                    make(next.fetch_add(1, Ordering::Relaxed)).send(&client).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok(u32::try_from(done).map_or(f64::INFINITY, f64::from) / begun.elapsed().as_secs_f64())
}

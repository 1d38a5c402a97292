//! The clients' side of HTTP/1.1: as small as it can be, like that of HTTP/2.

use super::{CLIENTS, HOST};
use crate::load::{Seen, percentile};
use anyhow::{Context, Result, bail, ensure};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) type Tls = Option<(ClientConfig, ServerName<'static>)>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(address: SocketAddr, tls: Tls) -> Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some((config, name)) = tls else { return Ok(Box::new(stream)) };
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

/// Clients with a connection each that send one request after the other.
pub(super) async fn run(address: SocketAddr, tls: Tls, clients: usize, time: Duration) -> Result<Seen> {
    let mut streams = Vec::with_capacity(CLIENTS);
    for _ in 0..clients {
        streams.push(timeout(PATIENCE, connect(address, tls.clone())).await??);
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        tasks.spawn(async move {
            let (mut micros, mut buffer) = (Vec::new(), Vec::with_capacity(4096));
            let mut failed = None;
            while begun.elapsed() < time && failed.is_none() {
                let sent = Instant::now();
                match timeout(PATIENCE, exchange(&mut stream, &mut buffer)).await {
                    Ok(Ok(())) => micros.push(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX)),
                    Ok(Err(error)) => failed = Some(format!("{error:#}")),
                    Err(_) => failed = Some("no answer in time".to_owned()),
                }
            }
            (micros, failed)
        });
    }
    let (mut micros, mut seen) = (Vec::new(), Seen::default());
    while let Some(one) = tasks.join_next().await {
        let (mut own, failed) = one?;
        micros.append(&mut own);
        seen.failed += usize::from(failed.is_some());
        seen.reason = seen.reason.or(failed);
    }
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(!micros.is_empty(), "no request succeeded: {:?}", seen.reason);
    micros.sort_unstable();
    Ok(Seen {
        per_second: micros.len() as f64 / seconds,
        p50_ms: percentile(&micros, 50),
        p99_ms: percentile(&micros, 99),
        answers: micros.len(),
        ..seen
    })
}

/// One request.
///
/// # Errors
/// Also when the answer is no success.
pub(super) async fn once(address: SocketAddr, tls: Tls) -> Result<()> {
    let ask = async { exchange(&mut connect(address, tls).await?, &mut Vec::new()).await };
    timeout(PATIENCE, ask).await?
}

/// Sends a request and reads its whole answer, which must have a length.
async fn exchange(stream: &mut Box<dyn Stream>, buffer: &mut Vec<u8>) -> Result<()> {
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: proa-bench\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the connection was closed");
        }
        if let Some(head) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let text = std::str::from_utf8(&buffer[..head])?;
            ensure!(text.starts_with("HTTP/1.1 200"), "{}", text.lines().next().unwrap_or_default());
            let named = |line: &str| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            };
            let length = text.lines().find_map(named).context("an answer without a length")?;
            let missing = (head + 4 + length).saturating_sub(buffer.len());
            if missing == 0 {
                return Ok(());
            }
            let mut rest = vec![0; missing];
            stream.read_exact(&mut rest).await?;
            return Ok(());
        }
    }
}

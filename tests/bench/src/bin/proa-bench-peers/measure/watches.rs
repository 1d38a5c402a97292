//! One stream of writes, many watchers: events delivered per second, and how late they are.

use super::{Bench, grouped, namespace};
use crate::{
    client::{Call, Lines},
    load::percentile,
    objects,
    peer::{Kind, Peer, With},
    results::{Figure, Sink, less, more},
};
use anyhow::{Context, Result, ensure};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{timeout, timeout_at},
};

const MAPS: &str = "/api/v1/namespaces/bench/configmaps";
/// From the first write until the last watcher has the last event.
const DELIVERED_WITHIN: Duration = Duration::from_secs(60);
const FIGURES: [Figure; 3] = [more("events per s"), less("p50 ms"), less("p99 ms")];

pub(super) async fn measure(bench: &Bench, kind: Kind, sink: &mut Sink) -> Result<()> {
    let peer = Peer::start(&bench.programs, kind, With::Nothing).await?;
    namespace(&mut peer.endpoint().connect().await?, "bench").await?;
    for (watchers, writes) in &bench.scale.watchers {
        let id = format!("fan-out-{watchers}");
        let what = match watchers {
            1 => "1 watcher".to_owned(),
            many => format!("{} watchers", grouped(*many as u64)),
        };
        match fan_out(&peer, *watchers, *writes).await {
            Ok((figures, memory)) => {
                sink.put(&id, &what, &FIGURES, &figures);
                sink.one(&format!("memory-{watchers}"), &format!("memory, {what}"), less("MiB"), memory);
            }
            Err(error) => sink.missing(&id, &what, &FIGURES, &error),
        }
    }
    Ok(())
}

/// The figures, and the memory when all watchers are connected.
async fn fan_out(peer: &Peer, watchers: usize, writes: u64) -> Result<([f64; 3], f64)> {
    let map = format!("map-{watchers}");
    let mut writer = peer.endpoint().connect().await?;
    writer.send(&Call::post(MAPS, objects::config_map(&map, 0))).await?;
    let clock = Instant::now();
    let opened = Arc::new(Semaphore::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..watchers {
        let mut connection = peer.endpoint().connect().await?;
        let path = format!("{MAPS}?watch=true&fieldSelector=metadata.name%3D{map}");
        let opened = Arc::clone(&opened);
        tasks.spawn(async move {
            let mut lines = connection.watch(&path).await?;
            // The object as it is.
            lines.next().await?;
            opened.add_permits(1);
            events(&mut lines, clock, writes).await
        });
    }
    let all = opened.acquire_many(u32::try_from(watchers)?);
    let all = timeout(DELIVERED_WITHIN, all).await.context("not all watches begin")??;
    all.forget();
    let memory = peer.memory_mib()?;
    let begun = Instant::now();
    for _ in 0..writes {
        let at = micros(clock).to_string();
        let patch = serde_json::json!({"data": {"at": at}}).to_string();
        writer.send(&Call::merge(format!("{MAPS}/{map}"), patch)).await?;
    }
    let mut late = Vec::new();
    while let Some(own) = timeout_at((begun + DELIVERED_WITHIN).into(), tasks.join_next())
        .await
        .context("events are missing")?
    {
        late.append(&mut own??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(late.len() as u64 == writes * watchers as u64, "{} events came", late.len());
    late.sort_unstable();
    let figures = [late.len() as f64 / seconds, percentile(&late, 50), percentile(&late, 99)];
    Ok((figures, memory))
}

fn micros(clock: Instant) -> u64 {
    u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// How late each of the next events is, in microseconds.
async fn events(lines: &mut Lines, clock: Instant, count: u64) -> Result<Vec<u64>> {
    let mut late = Vec::new();
    for _ in 0..count {
        let line = lines.next().await?;
        let sent = sent(&line).with_context(|| {
            format!("an event without a time: {}", String::from_utf8_lossy(&line[..line.len().min(200)]))
        })?;
        late.push(micros(clock).saturating_sub(sent));
    }
    Ok(late)
}

/// The time that the writer put into an object. Found without decoding: a thousand watchers share two cores with the
/// server.
fn sent(line: &[u8]) -> Option<u64> {
    let key = br#""at":""#;
    let at = memchr::memmem::find(line, key)? + key.len();
    let digits = line[at..].split(|b| *b == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::sent;

    #[test]
    fn the_time_is_found_in_an_event() {
        let line = br#"{"type":"MODIFIED","object":{"data":{"a":"x","at":"4711","note":"0"}}}"#;
        assert_eq!(sent(line), Some(4711));
        assert_eq!(sent(b"{}"), None);
    }
}

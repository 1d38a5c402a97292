//! Measures a release build of `proa` from outside, as a user meets it: `proa-bench PATH/TO/proa [PART ...]`.
//!
//! Load and server share the machine's cores, so read ratios and orders of magnitude, not digits. Every part starts a
//! server of its own in a temporary directory and ends it. Nothing leaves the loopback interface.

mod load;
mod memory;
mod pods;
mod requests;
mod server;
mod start;
mod views;
mod watches;

use anyhow::{Context, Result};
use std::{io::Write as _, path::PathBuf};

/// As in the binary that is measured, so that what a cache costs here is what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTS: [&str; 6] = ["start", "idle", "pods", "requests", "watches", "memory"];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let binary = PathBuf::from(args.next().context("usage: proa-bench PATH/TO/proa [PART ...]")?);
    let asked: Vec<String> = args.collect();
    if binary.as_os_str() == views::FILL {
        let [view, kubeconfig] = asked.as_slice() else { anyhow::bail!("{} VIEW KUBECONFIG", views::FILL) };
        return views::fill(view, kubeconfig).await;
    }
    let wants = |part: &str| asked.is_empty() || asked.iter().any(|a| a == part);
    if let Some(unknown) = asked.iter().find(|a| !PARTS.contains(&a.as_str())) {
        anyhow::bail!("there is no part {unknown:?}; known are {}", PARTS.join(", "));
    }
    say("| what | figure |\n|---|---|")?;
    if wants("start") {
        start::start(&binary).await?;
    }
    if wants("idle") {
        start::idle(&binary).await?;
    }
    if wants("pods") {
        pods::measure(&binary).await?;
    }
    if wants("requests") {
        requests::measure(&binary).await?;
    }
    if wants("watches") {
        watches::measure(&binary).await?;
    }
    if wants("memory") {
        memory::measure(&binary).await?;
    }
    Ok(())
}

/// Prints a line at once.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Prints a row of the table.
fn row(what: &str, figure: &str) -> Result<()> {
    say(&format!("| {what} | {figure} |"))
}

/// The middle value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

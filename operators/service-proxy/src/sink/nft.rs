//! The program `nft`: transactions, and what a table holds.

use super::Error;
use serde_json::Value;
use std::{collections::BTreeSet, process::Stdio};
use tokio::{io::AsyncWriteExt, process::Command};

const PROGRAM: &str = "nft";

/// Names of what a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Whether there is a table.
    pub exists: bool,
    /// Chains.
    pub chains: BTreeSet<String>,
    /// Sets and maps, and which of the two they are.
    pub sets: BTreeSet<(String, String)>,
}

/// Runs commands as one transaction.
pub(crate) async fn run(script: &str) -> Result<(), Error> {
    tracing::trace!(script, "nft transaction");
    let mut child = command(&["-f", "-"]).stdin(Stdio::piped()).spawn().map_err(missing)?;
    let mut input = child.stdin.take().expect("it was asked for");
    let (written, output) = tokio::join!(
        async move {
            let written = input.write_all(script.as_bytes()).await;
            drop(input);
            written
        },
        child.wait_with_output()
    );
    let output = output.map_err(missing)?;
    if !output.status.success() {
        return Err(failed(&output.stderr));
    }
    written.map_err(missing)
}

/// What a table holds.
pub(crate) async fn list(table: &str) -> Result<Listed, Error> {
    let tables = json(&["-j", "list", "tables", "ip"]).await?;
    let is_it = |entry: &Value| entry["table"]["name"] == table;
    if !entries(&tables).any(is_it) {
        return Ok(Listed::default());
    }
    // -t leaves the elements out.
    let all = json(&["-j", "-t", "list", "table", "ip", table]).await?;
    let names = |what: &'static str| {
        entries(&all).filter_map(move |entry| Some(entry.get(what)?["name"].as_str()?.to_owned()))
    };
    let sets =
        ["map", "set"].into_iter().flat_map(|what| names(what).map(move |name| (what.to_owned(), name)));
    Ok(Listed { exists: true, chains: names("chain").collect(), sets: sets.collect() })
}

fn entries(listing: &Value) -> impl Iterator<Item = &Value> {
    listing["nftables"].as_array().into_iter().flatten()
}

async fn json(args: &[&str]) -> Result<Value, Error> {
    let output = command(args).output().await.map_err(missing)?;
    if !output.status.success() {
        return Err(failed(&output.stderr));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Failed { program: PROGRAM, message: format!("listing is not JSON: {error}") })
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn missing(source: std::io::Error) -> Error {
    Error::Run { program: PROGRAM, package: "nftables", source }
}

/// The first lines say what is wrong; the rest repeats the script.
fn failed(stderr: &[u8]) -> Error {
    let text = String::from_utf8_lossy(stderr);
    let message = text.lines().take(3).map(str::trim).collect::<Vec<_>>().join("; ");
    Error::Failed { program: PROGRAM, message }
}

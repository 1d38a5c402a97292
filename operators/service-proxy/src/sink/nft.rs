//! The program `nft`: transactions, and what a table holds.

use super::Error;
use serde_json::Value;
use std::{collections::BTreeSet, process::Stdio};
use tokio::{io::AsyncWriteExt, process::Command};

const PROGRAM: &str = "nft";

/// Names of what a table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Whether there is anything in it.
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

/// What a table holds. Listing the table itself would read every rule of it.
pub(crate) async fn list(table: &str) -> Result<Listed, Error> {
    // -t leaves the elements out.
    let (chains, sets, maps) = tokio::try_join!(
        json(&["-j", "list", "chains", "ip"]),
        json(&["-j", "-t", "list", "sets", "ip"]),
        json(&["-j", "-t", "list", "maps", "ip"]),
    )?;
    let chains: BTreeSet<String> = names(&chains, "chain", table).collect();
    let sets = names(&sets, "set", table).map(|name| ("set".to_owned(), name));
    let maps = names(&maps, "map", table).map(|name| ("map".to_owned(), name));
    let sets: BTreeSet<_> = sets.chain(maps).collect();
    Ok(Listed { exists: !chains.is_empty() || !sets.is_empty(), chains, sets })
}

/// Names of a table's chains, sets or maps.
fn names(listing: &Value, what: &'static str, table: &str) -> impl Iterator<Item = String> {
    let of_table =
        entries(listing).filter_map(move |entry| entry.get(what)).filter(move |own| own["table"] == *table);
    of_table.filter_map(|own| Some(own["name"].as_str()?.to_owned()))
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

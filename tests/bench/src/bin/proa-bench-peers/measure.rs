//! The parts of the measurement, each in a file of its own.

mod definitions;
mod idle;
pub(crate) mod ingress;
mod lists;
mod requests;
mod scheduling;
mod start;
mod watches;

use crate::{
    client::{Call, Connection},
    objects,
    peer::{Kind, Programs},
    results::Sink,
};
use anyhow::Result;
use std::time::Duration;

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    Start,
    Idle,
    Requests,
    Lists,
    Watches,
    Definitions,
    Scheduling,
    Ingress,
}

impl Part {
    pub(crate) const ALL: [Self; 8] = [
        Self::Start,
        Self::Idle,
        Self::Requests,
        Self::Lists,
        Self::Watches,
        Self::Definitions,
        Self::Scheduling,
        Self::Ingress,
    ];

    /// Its name in the results and on the command line.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Idle => "idle",
            Self::Requests => "requests",
            Self::Lists => "lists",
            Self::Watches => "watches",
            Self::Definitions => "definitions",
            Self::Scheduling => "scheduling",
            Self::Ingress => "ingress",
        }
    }
    /// What is compared; Proa first.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Ingress => &[Kind::Proa, Kind::Nginx],
            _ => &[Kind::Proa, Kind::Etcd, Kind::Kine],
        }
    }
    /// Whether the servers are measured at the same time: they do nothing, and processor time is counted by process.
    pub(crate) fn side_by_side(self) -> bool {
        self == Self::Idle
    }
}

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// How long one kind of request is sent.
    pub(crate) time: Duration,
    /// The same for lists, of which one may take long.
    pub(crate) list_time: Duration,
    pub(crate) idle: Duration,
    /// From the start of an idle cluster until it is looked at.
    pub(crate) settle: Duration,
    pub(crate) few_pods: u64,
    pub(crate) many_pods: u64,
    /// Pods whose memory alone is measured, with `--full`.
    pub(crate) most_pods: Option<u64>,
    /// Watchers and the number of writes that they are told.
    pub(crate) watchers: Vec<(usize, u64)>,
    pub(crate) definitions: u64,
    pub(crate) nodes: Vec<u64>,
    pub(crate) waiting_pods: u64,
    pub(crate) apart_pods: u64,
    /// Whether kube-scheduler is also measured on kine: it is the same scheduler, and takes the longest of all.
    pub(crate) schedule_on_kine: bool,
    /// How long a part may take for one server.
    pub(crate) limit: Duration,
}

impl Scale {
    pub(crate) fn normal() -> Self {
        Self {
            time: Duration::from_secs(2),
            list_time: Duration::from_secs(1),
            idle: Duration::from_secs(30),
            settle: Duration::from_secs(20),
            few_pods: 500,
            many_pods: 10_000,
            most_pods: None,
            watchers: vec![(1, 1000), (100, 500), (1000, 200)],
            definitions: 200,
            nodes: vec![1000, 5000],
            waiting_pods: 10_000,
            apart_pods: 1000,
            schedule_on_kine: false,
            limit: Duration::from_secs(600),
        }
    }
    pub(crate) fn full() -> Self {
        let limit = Duration::from_secs(1500);
        Self { most_pods: Some(100_000), schedule_on_kine: true, limit, ..Self::normal() }
    }
    /// Shows that everything works, and measures nothing.
    pub(crate) fn quick() -> Self {
        Self {
            time: Duration::from_millis(200),
            list_time: Duration::from_millis(200),
            idle: Duration::from_secs(2),
            settle: Duration::from_secs(10),
            few_pods: 50,
            many_pods: 200,
            watchers: vec![(1, 20), (10, 20)],
            definitions: 5,
            nodes: vec![20, 40],
            waiting_pods: 100,
            apart_pods: 20,
            schedule_on_kine: true,
            limit: Duration::from_secs(240),
            ..Self::normal()
        }
    }
}

/// What every measurement is given.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) scale: Scale,
}

impl Bench {
    /// Whether a part is measured for this server.
    pub(crate) fn measures(&self, part: Part, kind: Kind) -> bool {
        part.kinds().contains(&kind)
            && (part != Part::Scheduling || kind != Kind::Kine || self.scale.schedule_on_kine)
    }
    /// Measures a part for one server. What it has so far stays in the sink when it fails.
    pub(crate) async fn measure(&self, part: Part, kind: Kind, sink: &mut Sink) -> Result<()> {
        match part {
            Part::Start => start::measure(self, kind, sink).await,
            Part::Idle => idle::measure(self, kind, sink).await,
            Part::Requests => requests::measure(self, kind, sink).await,
            Part::Lists => lists::measure(self, kind, sink).await,
            Part::Watches => watches::measure(self, kind, sink).await,
            Part::Definitions => definitions::measure(self, kind, sink).await,
            Part::Scheduling => scheduling::measure(self, kind, sink).await,
            Part::Ingress => ingress::measure(self, kind, sink).await,
        }
    }
}

/// How long what a server does after its start may take.
const SOON: Duration = Duration::from_secs(30);

/// Makes a namespace in which pods can be created though no controller runs.
async fn namespace(connection: &mut Connection, name: &str) -> Result<()> {
    connection.insist(&Call::post("/api/v1/namespaces", objects::namespace(name)), SOON).await?;
    let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
    connection.insist(&Call::post(accounts, objects::service_account()), SOON).await
}

/// 10,000 as people write it.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(500), "500");
        assert_eq!(grouped(10_000), "10,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

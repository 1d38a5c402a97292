//! Which rows are drawn.

use super::{figure, missing, svg};
use crate::{
    measure::Part,
    peer::Kind,
    results::{Better, PartResult},
};

/// Rows that are drawn together, and which of their figures.
pub(super) struct Chart {
    file: &'static str,
    title: &'static str,
    rows: &'static [&'static str],
    figure: usize,
}

/// A chart as it is written.
pub(super) struct Drawn {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
}

const fn chart(
    file: &'static str,
    title: &'static str,
    rows: &'static [&'static str],
    figure: usize,
) -> Chart {
    Chart { file, title, rows, figure }
}

/// The charts of a part.
pub(super) fn of(part: Part) -> &'static [Chart] {
    const START: &[Chart] = &[chart("start.svg", "From start to work", &["ready", "placed"], 0)];
    const IDLE: &[Chart] = &[chart("idle.svg", "An idle control plane", &["memory", "cpu"], 0)];
    const SINGLE: &[&str] = &[
        "create-1",
        "create-16",
        "create-64",
        "update-1",
        "update-16",
        "update-64",
        "get-1",
        "get-16",
        "get-64",
    ];
    const REQUESTS: &[Chart] = &[
        chart("requests.svg", "Requests per second", SINGLE, 0),
        chart("delays.svg", "99th percentile of answers", SINGLE, 2),
    ];
    const LISTS: &[Chart] = &[
        chart(
            "lists.svg",
            "Lists per second, 16 clients",
            &["few-all-16", "few-label-16", "few-field-16", "many-all-16", "many-label-16", "many-field-16"],
            0,
        ),
        chart(
            "memory.svg",
            "Memory",
            &["memory-0", "memory-10000", "peak-10000", "memory-100000", "peak-100000"],
            0,
        ),
    ];
    const WATCHES: &[Chart] = &[
        chart("watches.svg", "Events delivered per second", &["fan-out-1", "fan-out-100", "fan-out-1000"], 0),
        chart(
            "watch-delays.svg",
            "From write to event, 99th percentile",
            &["fan-out-1", "fan-out-100", "fan-out-1000"],
            2,
        ),
    ];
    const DEFINITIONS: &[Chart] =
        &[chart("definitions.svg", "CustomResourceDefinitions", &["each", "served"], 0)];
    const SCHEDULING: &[Chart] = &[chart(
        "scheduling.svg",
        "Pods bound per second",
        &["plain-1000", "apart-1000", "plain-5000", "apart-5000", "late-plain-5000", "late-apart-5000"],
        0,
    )];
    const ROWS: &[&str] = &["http1", "tls1", "tls2"];
    const INGRESS: &[Chart] = &[
        chart("ingress.svg", "Requests passed on per second", ROWS, 0),
        chart("ingress-processor.svg", "Processor time for each request", ROWS, 3),
    ];
    match part {
        Part::Start => START,
        Part::Idle => IDLE,
        Part::Requests => REQUESTS,
        Part::Lists => LISTS,
        Part::Watches => WATCHES,
        Part::Definitions => DEFINITIONS,
        Part::Scheduling => SCHEDULING,
        Part::Ingress => INGRESS,
    }
}

impl Chart {
    /// Draws those of its rows that have figures; nothing if none has.
    pub(super) fn draw(&self, result: &PartResult, kinds: &[Kind]) -> Option<Drawn> {
        let rows: Vec<_> = self.rows.iter().filter_map(|id| result.row(id)).collect();
        let drawn = rows.first()?.figures.get(self.figure)?;
        let better = match drawn.better {
            Better::Higher => "longer bars are better",
            Better::Lower => "shorter bars are better",
        };
        let groups: Vec<_> = rows
            .iter()
            .map(|row| svg::Group {
                label: format!("{} ({})", row.what, row.figures[self.figure].unit).replace('`', ""),
                bars: kinds
                    .iter()
                    .copied()
                    .map(|kind| {
                        let value = row.median(kind, self.figure);
                        let label = value.map_or_else(|| missing(result, kind).to_owned(), figure);
                        svg::Bar { value, label }
                    })
                    .collect(),
            })
            .collect();
        let any = groups.iter().flat_map(|g| &g.bars).any(|bar| bar.value.is_some());
        let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
        let svg = svg::draw(self.title, better, &titles, &groups);
        any.then_some(Drawn { file: self.file, title: self.title, svg })
    }
}

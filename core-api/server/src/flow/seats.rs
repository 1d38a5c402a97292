//! How many seats each priority level has of the server's total. Pure.
//!
//! A level owns its *nominal* seats by its shares. What it can lend goes to those who need more, up to what they may
//! borrow, and comes back when it needs them itself. Upstream: apiserver `pkg/util/flowcontrol/apf_controller.go`
//! (`updateBorrowing`), `conc_alloc.go`; KEP-1040.

use super::queues::Queuing;
use serde::Deserialize;

/// What a level's object says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    r#type: String,
    limited: Option<Share>,
    exempt: Option<Share>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Share {
    nominal_concurrency_shares: Option<u32>,
    lendable_percent: Option<u32>,
    borrowing_limit_percent: Option<u32>,
    limit_response: Response,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    queuing: Option<Queuing>,
}

/// What a level may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Its own.
    pub(super) nominal: usize,
    /// When all that can be lent is.
    pub(super) least: usize,
    /// When all that may be borrowed is.
    pub(super) most: usize,
}

impl Spec {
    /// Requests of the level never wait.
    pub(super) fn is_exempt(&self) -> bool {
        self.r#type == "Exempt"
    }
    /// How its requests wait; none: they are refused.
    pub(super) fn queuing(&self) -> Option<Queuing> {
        self.limited.as_ref().and_then(|share| share.limit_response.queuing)
    }
    fn share(&self) -> Option<&Share> {
        if self.is_exempt() { self.exempt.as_ref() } else { self.limited.as_ref() }
    }
    fn shares(&self) -> u32 {
        let default = if self.is_exempt() { 0 } else { 30 };
        self.share().and_then(|share| share.nominal_concurrency_shares).unwrap_or(default)
    }
}

/// The bounds of levels that share `total` seats.
pub(super) fn bounds(total: usize, levels: &[&Spec]) -> Vec<Bounds> {
    let sum: u64 = levels.iter().map(|level| u64::from(level.shares())).sum();
    let part = |of: usize, percent: Option<u32>| (of as u64 * u64::from(percent.unwrap_or(0)) + 50) / 100;
    let each = levels.iter().map(|level| {
        let nominal = (total as u64 * u64::from(level.shares())).div_ceil(sum.max(1)) as usize;
        let share = level.share();
        let lendable = part(nominal, share.and_then(|share| share.lendable_percent)) as usize;
        let most = match share.and_then(|share| share.borrowing_limit_percent) {
            Some(percent) => nominal + part(nominal, Some(percent)) as usize,
            None => nominal.max(total),
        };
        Bounds { nominal, least: nominal.saturating_sub(lendable), most }
    });
    each.collect()
}

/// Shares out `total` seats: each level gets the same multiple of what it needs, within its bounds, and what it needs of
/// its own in any case.
pub(super) fn share_out(total: usize, levels: &[(Bounds, f64)]) -> Vec<usize> {
    const STEPS: usize = 60;
    let given = |multiple: f64| -> Vec<f64> {
        let each = levels.iter().map(|(bounds, need)| {
            let floor = need.min(bounds.nominal as f64).max(bounds.least as f64);
            (need.max(1.0) * multiple).min(bounds.most as f64).max(floor)
        });
        each.collect()
    };
    // What all together are given grows with the multiple.
    let (mut low, mut high) = (0.0, total as f64);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if given(middle).iter().sum::<f64>() > total as f64 { high = middle } else { low = middle }
    }
    given(low).into_iter().map(|seats| seats.round() as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn level(shares: u32, lendable: u32, borrows: Option<u32>) -> Spec {
        serde_json::from_value(json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lendable, "borrowingLimitPercent": borrows}}))
        .unwrap()
    }

    #[test]
    fn shares_of_the_suggested_levels_are_upstreams() {
        // system, node-high, leader-election, workload-high, workload-low, global-default, catch-all
        let levels: Vec<_> = [(30, 33), (40, 25), (10, 0), (40, 50), (100, 90), (20, 50), (5, 0)]
            .map(|(shares, lendable)| level(shares, lendable, None))
            .into();
        let bounds = bounds(600, &levels.iter().collect::<Vec<_>>());
        let nominal: Vec<_> = bounds.iter().map(|bounds| bounds.nominal).collect();
        assert_eq!(nominal, [74, 98, 25, 98, 245, 49, 13]);
        let least: Vec<_> = bounds.iter().map(|bounds| bounds.least).collect();
        assert_eq!(least, [50, 73, 25, 49, 24, 24, 13]);
        assert!(bounds.iter().all(|bounds| bounds.most == 600));
    }

    #[test]
    fn idle_levels_lend_and_get_back() {
        let levels = [level(50, 80, None), level(50, 20, Some(40))];
        let bounds = bounds(100, &levels.iter().collect::<Vec<_>>());
        assert_eq!(bounds[1], Bounds { nominal: 50, least: 40, most: 70 });
        let seats = |first: f64, second: f64| share_out(100, &[(bounds[0], first), (bounds[1], second)]);
        assert_eq!(seats(50.0, 50.0), [50, 50]);
        assert_eq!(seats(90.0, 0.0), [60, 40], "the second keeps what it does not lend");
        assert_eq!(seats(0.0, 500.0), [30, 70], "the second may borrow so much and no more");
        assert_eq!(seats(500.0, 500.0), [50, 50]);
        assert_eq!(seats(50.0, 500.0), [50, 50], "the first needs all that is its own");
    }
}

//! Arithmetic of rolling updates: int-or-percent, surge and unavailability.
//!
//! Upstream: apimachinery `pkg/util/intstr`, pkg/controller/deployment/util/deployment_util.go (ResolveFenceposts).

use serde::{Deserialize, Serialize};

/// A number, or text that is a percentage (or a port's name).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    /// A number.
    Int(i32),
    /// Text, such as `25%`.
    Text(Box<str>),
}

/// Which way a share of pods is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Up, for surge.
    Up,
    /// Down, for unavailability.
    Down,
}

impl IntOrPercent {
    /// The number, with a percentage taken of `total`; `None` for other text.
    pub fn scaled(&self, total: i32, round: Round) -> Option<i32> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(text) => {
                let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
                let share = percent.saturating_mul(i64::from(total));
                let share = match round {
                    Round::Up => -((-share).div_euclid(100)),
                    Round::Down => share.div_euclid(100),
                };
                i32::try_from(share).ok()
            }
        }
    }
}

/// Surge and unavailability in pods. Both zero would stand still, so then one pod may be unavailable.
pub fn fenceposts(
    surge: Option<&IntOrPercent>,
    unavailable: Option<&IntOrPercent>,
    desired: i32,
) -> (i32, i32) {
    let scaled = |value: Option<&IntOrPercent>, round| value.and_then(|value| value.scaled(desired, round));
    let surge = scaled(surge, Round::Up).unwrap_or(0);
    let unavailable = scaled(unavailable, Round::Down).unwrap_or(0);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        let quarter = IntOrPercent::Text("25%".into());
        assert_eq!(quarter.scaled(10, Round::Up), Some(3));
        assert_eq!(quarter.scaled(10, Round::Down), Some(2));
        assert_eq!(IntOrPercent::Int(4).scaled(10, Round::Up), Some(4));
        assert_eq!(IntOrPercent::Text("http".into()).scaled(10, Round::Up), None);
        assert_eq!(IntOrPercent::Text("100%".into()).scaled(7, Round::Up), Some(7));
    }

    #[test]
    fn a_rollout_can_always_move() {
        let none = IntOrPercent::Int(0);
        let little = IntOrPercent::Text("1%".into());
        assert_eq!(fenceposts(Some(&none), Some(&none), 3), (0, 1));
        assert_eq!(fenceposts(Some(&none), Some(&little), 3), (0, 1));
        assert_eq!(fenceposts(Some(&little), Some(&none), 3), (1, 0));
    }
}

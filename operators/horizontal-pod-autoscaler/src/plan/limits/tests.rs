//! Upstream's table tests in meaning: TestConvertDesiredReplicasWithRules, TestScalingWithRules,
//! TestNormalizeDesiredReplicasWithBehavior, TestNormalizeDesiredReplicas.

use super::*;
use crate::observe::Moment;
use proa_kit::views::horizontal_pod_autoscaler::ScalingPolicy;

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

/// `2@60 50%@120`: two pods in a minute, half of them in two.
fn rules(text: &str, window: i32) -> ScalingRules {
    let policy = |policy: &str| {
        let (value, period) = policy.split_once('@').unwrap();
        let kind = if value.ends_with('%') { "Percent" } else { "Pods" };
        ScalingPolicy {
            kind: kind.into(),
            value: value.trim_end_matches('%').parse().unwrap(),
            period_seconds: period.parse().unwrap(),
        }
    };
    let mut words = text.split_whitespace().peekable();
    let select = words.next_if(|word| matches!(*word, "Min" | "Max" | "Disabled"));
    ScalingRules {
        stabilization_window_seconds: Some(window),
        select_policy: select.map(Into::into),
        policies: words.map(policy).collect(),
        tolerance: None,
    }
}

/// Spread evenly over two minutes, each in the middle of its share.
fn spread(changes: &[i32]) -> Vec<Moment> {
    let share = 120 / i64::try_from(changes.len().max(1)).unwrap();
    let ago = |i: usize| 120 - share * i64::try_from(i + 1).unwrap() + share / 2;
    let moment = |(i, replicas): (usize, &i32)| Moment {
        replicas: *replicas,
        at: now() - std::time::Duration::from_secs(u64::try_from(ago(i)).unwrap()),
    };
    changes.iter().enumerate().map(moment).collect()
}

#[test]
fn without_a_behavior_replicas_at_most_double() {
    for (current, wanted, min, max, replicas, reason) in [
        (5, 7, 3, 8, 7, "DesiredWithinRange"),
        (3, 1, 2, 8, 2, "TooFewReplicas"),
        (1, 0, 0, 10, 0, "DesiredWithinRange"),
        (20, 1000, 1, 10, 10, "TooManyReplicas"),
        (3, 1000, 1, 2000, 6, "ScaleUpLimit"),
        (1, 1000, 1, 2000, 4, "ScaleUpLimit"),
    ] {
        let (got, (said, _)) = within(current, wanted, (min, max));
        assert_eq!((got, said), (replicas, reason), "{current} -> {wanted}");
    }
}

const USUAL_UP: &str = "4@15 100%@15";
const USUAL_DOWN: &str = "100%@15";

#[test]
fn policies_limit_how_fast_replicas_come_and_go() {
    type Case<'a> = (&'a str, &'a str, &'a [i32], &'a [i32], i32, i32, (i32, i32), i32, &'a str);
    let cases: [Case<'_>; 45] = [
        (USUAL_UP, USUAL_DOWN, &[], &[], 5, 7, (3, 8), 7, "DesiredWithinRange"),
        (USUAL_UP, USUAL_DOWN, &[], &[], 3, 1, (2, 8), 2, "TooFewReplicas"),
        (USUAL_UP, USUAL_DOWN, &[], &[], 1, 0, (0, 10), 0, "DesiredWithinRange"),
        (USUAL_UP, USUAL_DOWN, &[], &[], 20, 1000, (1, 10), 10, "TooManyReplicas"),
        (USUAL_UP, USUAL_DOWN, &[], &[], 100, 1000, (100, 150), 150, "TooManyReplicas"),
        ("1%@60", USUAL_DOWN, &[], &[], 3, 1000, (1, 2000), 4, "ScaleUpLimit"),
        (USUAL_UP, USUAL_DOWN, &[], &[], 10, 50, (1, 1000), 20, "ScaleUpLimit"),
        ("100@60 100%@60", USUAL_DOWN, &[], &[], 10, 500, (1, 1000), 110, "ScaleUpLimit"),
        ("2@60 100%@60", USUAL_DOWN, &[], &[], 10, 500, (1, 1000), 20, "ScaleUpLimit"),
        ("100@60", USUAL_DOWN, &[], &[], 10, 50, (1, 1000), 50, "DesiredWithinRange"),
        ("30@60", USUAL_DOWN, &[], &[], 10, 50, (1, 1000), 40, "ScaleUpLimit"),
        ("200%@60", USUAL_DOWN, &[], &[], 10, 50, (1, 1000), 30, "ScaleUpLimit"),
        (USUAL_UP, "20@60 1%@60", &[], &[], 100, 2, (1, 1000), 80, "ScaleDownLimit"),
        (USUAL_UP, "2@60 1%@60", &[], &[], 100, 2, (1, 1000), 98, "ScaleDownLimit"),
        (USUAL_UP, "100@60", &[], &[], 10, 0, (1, 1000), 1, "TooFewReplicas"),
        (USUAL_UP, "100%@60", &[], &[], 10, 2, (5, 1000), 5, "TooFewReplicas"),
        (USUAL_UP, "5@60", &[], &[], 10, 2, (1, 1000), 5, "ScaleDownLimit"),
        (USUAL_UP, "50%@60", &[], &[], 10, 5, (1, 1000), 5, "DesiredWithinRange"),
        ("300@60", USUAL_DOWN, &[1, 5, 9], &[], 100, 500, (1, 200), 200, "TooManyReplicas"),
        ("10000%@60", USUAL_DOWN, &[1, 5, 9], &[], 100, 500, (1, 200), 200, "TooManyReplicas"),
        ("5@120", USUAL_DOWN, &[1, 5, 9], &[], 100, 500, (1, 1000), 100, "ScaleUpLimit"),
        ("150@120", USUAL_DOWN, &[1, 5, 9], &[], 100, 500, (1, 1000), 235, "ScaleUpLimit"),
        ("200%@120", USUAL_DOWN, &[1, 5, 9], &[], 100, 500, (1, 1000), 255, "ScaleUpLimit"),
        ("300%@300", USUAL_DOWN, &[4], &[2], 6, 24, (1, 1000), 16, "ScaleUpLimit"),
        (USUAL_UP, USUAL_DOWN, &[], &[1, 5, 9], 10, 5, (1, 1000), 5, "DesiredWithinRange"),
        (USUAL_UP, "115@120", &[], &[1, 5, 9], 100, 0, (1, 1000), 1, "TooFewReplicas"),
        (USUAL_UP, "130@120", &[], &[1, 5, 9], 100, 0, (5, 1000), 5, "TooFewReplicas"),
        (USUAL_UP, "100%@120", &[], &[1, 5, 9], 100, 2, (5, 1000), 5, "TooFewReplicas"),
        (USUAL_UP, "5@120", &[], &[1, 5, 9], 100, 2, (1, 1000), 100, "ScaleDownLimit"),
        (USUAL_UP, "50%@120", &[], &[2, 4, 6], 100, 0, (1, 1000), 56, "ScaleDownLimit"),
        (USUAL_UP, "50%@180", &[2], &[4], 10, 1, (1, 1000), 6, "ScaleDownLimit"),
        (USUAL_UP, "10%@120", &[], &[10, 10, 10], 100, 0, (1, 1000), 100, "ScaleDownLimit"),
        (USUAL_UP, "1000%@120", &[], &[10, 10, 10], 10, 5, (1, 1000), 5, "DesiredWithinRange"),
        ("1000@60", USUAL_DOWN, &[8, 12, 9, 11], &[], 100, 200, (1, 1000), 200, "DesiredWithinRange"),
        (
            "1000@120 100%@60",
            USUAL_DOWN,
            &[8, 12, 9, 11],
            &[],
            100,
            200,
            (1, 1000),
            200,
            "DesiredWithinRange",
        ),
        ("1000@30 100%@60", USUAL_DOWN, &[8, 12, 9, 11], &[], 100, 200, (1, 1000), 200, "DesiredWithinRange"),
        (USUAL_UP, "1000@60", &[], &[8, 12, 9, 11], 100, 5, (1, 1000), 5, "DesiredWithinRange"),
        (USUAL_UP, "1000@120 100%@60", &[], &[8, 12, 9, 11], 100, 5, (1, 1000), 5, "DesiredWithinRange"),
        // Only what lies within a policy's period counts: 20 of 40.
        ("30@60", USUAL_DOWN, &[8, 12, 9, 11], &[], 100, 200, (1, 1000), 110, "ScaleUpLimit"),
        ("Min 2@60 50%@60", USUAL_DOWN, &[], &[], 1, 9, (1, 1000), 2, "ScaleUpLimit"),
        (USUAL_UP, "Min 2@60 50%@60", &[], &[], 5, 1, (1, 1000), 3, "ScaleDownLimit"),
        ("Disabled 2@60", USUAL_DOWN, &[], &[], 5, 9, (1, 1000), 5, "ScaleUpLimit"),
        (USUAL_UP, "Disabled 2@60", &[], &[], 5, 1, (1, 1000), 5, "ScaleDownLimit"),
        ("Disabled 2@60", USUAL_DOWN, &[], &[], 5, 1, (1, 1000), 1, "DesiredWithinRange"),
        (USUAL_UP, "Disabled", &[], &[], 5, 6, (1, 1000), 6, "DesiredWithinRange"),
    ];
    for case in cases {
        let (up, down, added, removed, current, wanted, bounds, replicas, reason) = case;
        let behavior = Behavior { scale_up: rules(up, 0), scale_down: rules(down, 300) };
        let history = History { added: spread(added), removed: spread(removed), recommendations: Vec::new() };
        let (got, (said, _)) = by_behavior(&behavior, &history, current, wanted, bounds, now());
        assert_eq!((got, said), (replicas, reason), "{case:?}");
    }
}

fn recommended(moments: &[(i32, u64)]) -> History {
    let moment = |(replicas, minutes): &(i32, u64)| Moment {
        replicas: *replicas,
        at: now() - std::time::Duration::from_secs(minutes * 60),
    };
    History { recommendations: moments.iter().map(moment).collect(), ..History::default() }
}

#[test]
fn recent_recommendations_hold_replicas() {
    type Case<'a> = (&'a [(i32, u64)], (i32, i32), i32, i32, i32);
    let cases: [Case<'_>; 11] = [
        (&[], (0, 0), 100, 5, 5),
        (&[(4, 2), (5, 1)], (0, 180), 100, 3, 5),
        (&[(4, 2), (5, 1)], (300, 0), 1, 7, 4),
        (&[(1, 2), (2, 1)], (300, 0), 100, 3, 3),
        (&[(4, 2), (5, 1)], (0, 300), 1, 3, 3),
        (&[(10, 10), (9, 9)], (0, 0), 100, 3, 3),
        (&[(10, 10), (9, 9)], (0, 0), 1, 100, 100),
        (&[(10, 10), (4, 1), (5, 2), (9, 9)], (0, 180), 100, 3, 5),
        (&[(10, 100), (6, 1), (5, 2), (9, 3)], (300, 0), 1, 100, 5),
        (&[(2, 100), (3, 3)], (300, 300), 2, 1, 2),
        (&[(2, 100), (1, 3)], (300, 300), 2, 3, 2),
    ];
    for case in cases {
        let (moments, windows, current, wanted, replicas) = case;
        assert_eq!(stabilized(&recommended(moments), windows, current, wanted, now()), replicas, "{case:?}");
    }
    for (moments, wanted, replicas) in [
        (&[][..], 5, 5),
        (&[(4, 2), (5, 1)], 3, 5),
        (&[(1, 2), (2, 1)], 3, 3),
        (&[(10, 10), (9, 9)], 3, 3),
        (&[(10, 10), (4, 1), (5, 2), (9, 9)], 3, 5),
    ] {
        assert_eq!(highest(&recommended(moments), STABILIZATION, wanted, now()), replicas, "{moments:?}");
    }
}

#[test]
fn without_memory_nothing_goes_before_the_window_has_passed() {
    let autoscaler: HorizontalPodAutoscalerView =
        serde_json::from_str(r#"{"metadata": {}, "spec": {"maxReplicas": 10}}"#).unwrap();
    let limited = limit(&autoscaler, &History::default(), 5, 2, now());
    assert_eq!((limited.replicas, limited.able.0), (5, "ScaleDownStabilized"));
    let limited = limit(&autoscaler, &recommended(&[(5, 6)]), 5, 2, now());
    assert_eq!((limited.replicas, limited.able.0, limited.window), (2, "ReadyForNewScale", 300));
}

use super::*;
use serde_json::json;

#[test]
fn durations_read_as_kubectls() {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    for (seconds, want) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (1, "1s"),
        (70, "70s"),
        (119, "119s"),
        (120, "2m"),
        (3 * MINUTE + 5, "3m5s"),
        (9 * MINUTE + 59, "9m59s"),
        (10 * MINUTE + 1, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 2 * MINUTE, "3h2m"),
        (8 * HOUR + 59 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + HOUR, "2d1h"),
        (7 * DAY + 23 * HOUR, "7d23h"),
        (8 * DAY + 23 * HOUR, "8d"),
        (2 * YEAR - HOUR, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"),
        (8 * YEAR - HOUR, "7y364d"),
        (8 * YEAR + 40 * DAY, "8y"),
        (i64::MAX, "292471208677y"),
    ] {
        assert_eq!(human_duration(seconds), want, "{seconds}");
    }
}

#[test]
fn cells_follow_the_declared_type() {
    let object = json!({"s": "text", "i": 3, "f": 2.5, "w": 4.0, "b": true, "n": null, "o": {"a": [1]},
        "t": "2024-01-02T03:04:05Z", "bad": "yesterday", "e": "", "big": 1e21});
    let now: Timestamp = "2024-01-02T04:04:05Z".parse().unwrap();
    for (path, kind, want) in [
        (".s", "string", json!("text")),
        (".i", "string", json!("3")),
        (".f", "string", json!("2.5")),
        (".w", "string", json!("4")),
        (".big", "string", json!("1e+21")),
        (".b", "string", json!("true")),
        (".n", "string", json!("<no value>")),
        (".o", "string", json!("{\"a\":[1]}")),
        (".none", "string", Value::Null),
        (".i", "integer", json!(3)),
        (".f", "integer", json!(2)),
        (".s", "integer", Value::Null),
        (".f", "number", json!(2.5)),
        (".w", "number", json!(4)),
        (".b", "boolean", json!(true)),
        (".s", "boolean", Value::Null),
        (".t", "date", json!("60m")),
        (".bad", "date", json!("<invalid>")),
        (".e", "date", json!("<unknown>")),
        (".none", "date", Value::Null),
        (".i", "date", Value::Null),
        (".s", "odd", Value::Null),
        (".s[0]", "string", Value::Null),
    ] {
        let path_ = JsonPath::parse(path).unwrap();
        assert_eq!(cell(&path_, kind, &object, now), want, "{path} {kind}");
    }
}

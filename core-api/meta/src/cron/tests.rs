use super::*;
use proptest::prelude::*;

fn times(schedule: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (Schedule::parse(schedule).unwrap(), time_zone(zone).unwrap());
    let mut at: Timestamp = after.parse().unwrap();
    let mut found = Vec::new();
    while found.len() < count
        && let Some(next) = schedule.next(at, &zone)
    {
        found.push(next.to_string());
        at = next;
    }
    found
}

#[test]
fn schedules_name_their_times() {
    for (schedule, after, expected) in [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
        ("* * * * ?", "2026-01-01T00:00:59.5Z", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:46:10Z", "2026-01-01T01:00:00Z"),
        ("5/20 3 * * *", "2026-01-01T03:26:00Z", "2026-01-01T03:45:00Z"),
        ("30 6-16/4 * * 1-5", "2026-01-02T14:30:00Z", "2026-01-05T06:30:00Z"),
        ("0 0 1,15 * *", "2026-01-02T00:00:00Z", "2026-01-15T00:00:00Z"),
        ("0 12 31 JAN,mar *", "2026-02-01T00:00:00Z", "2026-03-31T12:00:00Z"),
        // With both days, one of them is enough; a star says nothing.
        ("0 0 13 * fri", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z"),
        ("0 0 13 * */2", "2026-01-10T00:00:00Z", "2026-01-11T00:00:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"),
        ("@midnight", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        ("@every 1h30m", "2026-01-01T00:00:00.7Z", "2026-01-01T01:30:00Z"),
        ("@every 1.5s", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ("@every 5ms", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
    ] {
        assert_eq!(times(schedule, "", after, 1), [expected], "{schedule} after {after}");
    }
    assert!(times("59 23 31 2 *", "", "2026-01-01T00:00:00Z", 1).is_empty());
    assert!(times(", * * * *", "", "2026-01-01T00:00:00Z", 1).is_empty());
}

#[test]
fn an_hour_that_is_left_out_has_no_times_and_a_repeated_one_has_them_twice() {
    let spring = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2);
    assert_eq!(spring, ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]);
    let autumn = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
    assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]);
    // Midnight itself is left out: the day has begun at one.
    let midnight = times("0 1 * * *", "America/Havana", "2026-03-07T12:00:00Z", 1);
    assert_eq!(midnight, ["2026-03-08T05:00:00Z"]);
}

#[test]
fn time_zones_are_known_by_their_exact_names() {
    assert!(time_zone("Asia/Kathmandu").is_some() && time_zone("UTC").is_some());
    assert!(time_zone("asia/kathmandu").is_none() && time_zone("Moon/Base").is_none());
    assert_eq!(times("0 0 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", 1), ["2026-01-01T18:15:00Z"]);
}

#[test]
fn what_is_no_schedule_is_refused_in_upstreams_words() {
    for (schedule, message) in [
        ("", "empty spec string"),
        ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("@often", "unrecognized descriptor: @often"),
        ("@every", "unrecognized descriptor: @every"),
        ("@every 1d", "failed to parse duration @every 1d: time: unknown unit \"d\" in duration \"1d\""),
        ("@every 5", "failed to parse duration @every 5: time: missing unit in duration \"5\""),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
    ] {
        assert_eq!(Schedule::parse(schedule).unwrap_err().to_string(), message, "{schedule}");
    }
}

proptest! {
    /// Going minute by minute finds the same time.
    #[test]
    fn the_next_time_is_the_first_that_fits(
        minute in 0..60_u32, hour in 0..24_u32, step in 1..40_u32, start in 0..800_000_000_i64,
    ) {
        let (text, zone) = (format!("{minute}/{step} {hour} * * *"), time_zone("America/New_York").unwrap());
        let schedule = Schedule::parse(&text).unwrap();
        let after = Timestamp::from_second(1_500_000_000 + start).unwrap();
        let fits = |at: &Timestamp| {
            let local = at.to_zoned(zone.clone());
            let past = i64::from(local.minute()) - i64::from(minute);
            u32::try_from(local.hour()) == Ok(hour) && past >= 0 && past % i64::from(step) == 0
        };
        let first = after.as_second().div_euclid(60) + 1;
        // An hour may be left out for one day.
        let minutes = (first..first + 3 * 24 * 60).map(|minute| Timestamp::from_second(minute * 60).unwrap());
        prop_assert_eq!(schedule.next(after, &zone), minutes.into_iter().find(fits));
    }
    #[test]
    fn no_text_makes_the_parser_panic(text in "[-*?,/@a-z0-9. ]{0,24}") {
        let _ = Schedule::parse(&text).map(|schedule| schedule.next(Timestamp::UNIX_EPOCH, &TimeZone::UTC));
    }
}

use super::*;
use proptest::prelude::*;

#[test]
fn seconds_are_read_and_written_in_utc() {
    for (text, want) in [
        ("2026-11-21T10:54:03Z", "2026-11-21T10:54:03Z"),
        ("2026-11-21T10:54:03.999999999Z", "2026-11-21T10:54:03Z"),
        ("2026-11-21T10:54:03,5Z", "2026-11-21T10:54:03Z"),
        ("2026-11-21T10:54:03.1234567890123Z", "2026-11-21T10:54:03Z"),
        ("2026-11-21T00:30:00+01:30", "2026-11-20T23:00:00Z"),
        ("2026-12-31T23:30:00-24:00", "2027-01-01T23:30:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(Time::parse(text).unwrap().to_string(), want, "{text}");
    }
}

#[test]
fn micros_need_six_places() {
    let time = MicroTime::parse("2026-11-21T10:54:03.000120+02:00").unwrap();
    assert_eq!(time.to_string(), "2026-11-21T08:54:03.000120Z");
    assert_eq!(
        MicroTime::parse("2026-11-21T10:54:03Z").unwrap_err().to_string(),
        "parsing time \"2026-11-21T10:54:03Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \
         \".000000\""
    );
    assert!(MicroTime::parse("2026-11-21T10:54:03.1234567Z").is_err());
}

#[test]
fn messages_are_gos() {
    let error = |text: &str| Time::parse(text).unwrap_err().to_string();
    assert_eq!(
        error("tomorrow"),
        "parsing time \"tomorrow\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"tomorrow\" as \"2006\""
    );
    assert_eq!(
        error("2026-11-21 10:54:03Z"),
        "parsing time \"2026-11-21 10:54:03Z\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \" 10:54:03Z\" as \"T\""
    );
    assert_eq!(error("2026-02-30T00:00:00Z"), "parsing time \"2026-02-30T00:00:00Z\": day out of range");
    assert_eq!(error("2026-13-01T00:00:00Z"), "parsing time \"2026-13-01T00:00:00Z\": month out of range");
    assert_eq!(error("2026-01-01T00:00:00Zz"), "parsing time \"2026-01-01T00:00:00Zz\": extra text: \"z\"");
    for bad in ["", "2026", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00", "é026"] {
        assert!(Time::parse(bad).is_err(), "{bad}");
    }
    assert!(Time::parse("2026-01-01T00:00:00+25:00").is_err());
}

#[test]
fn the_zero_time_is_null() {
    assert_eq!(serde_json::to_string(&Time::parse("0001-01-01T00:00:00Z").unwrap()).unwrap(), "null");
    assert_eq!(
        serde_json::to_string(&MicroTime::parse("0001-01-01T00:00:00.000000Z").unwrap()).unwrap(),
        "null"
    );
    let json = "\"2026-11-21T10:54:03Z\"";
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Time>(json).unwrap()).unwrap(), json);
}

#[test]
fn a_manual_clock_stands_still() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    clock.advance(90);
    assert_eq!(Time::new(clock.now()).to_string(), "1970-01-01T00:01:30Z");
    assert!(SystemClock.now() > clock.now());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(nanos in -62_135_596_800_000_000_000i128..253_402_200_000_000_000_000) {
        let at = Timestamp::from_nanosecond(nanos).unwrap();
        prop_assert_eq!(Time::parse(&Time::new(at).to_string()), Ok(Time::new(at)));
        prop_assert_eq!(MicroTime::parse(&MicroTime::new(at).to_string()), Ok(MicroTime::new(at)));
        prop_assert!(Time::new(at).timestamp() <= at);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = Time::parse(&text);
        let _ = MicroTime::parse(&text);
    }
}

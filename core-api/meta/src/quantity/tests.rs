use super::*;
use proptest::prelude::*;

fn q(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

/// Canonical texts as apimachinery 0.37 prints them.
#[test]
fn canonical_form() {
    for (text, want) in [
        ("0", "0"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1000m", "1"),
        ("2000", "2k"),
        ("123000", "123k"),
        ("1e3", "1e3"),
        ("10e3", "10e3"),
        ("1E4", "10e3"),
        ("1e-3", "1e-3"),
        ("0.0001", "100u"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("1.0000000001", "1000000001n"),
        ("0.5Ki", "512"),
        ("0.1Ki", "102400m"),
        ("1.1Mi", "1153433600m"),
        ("0.0001Ki", "102400u"),
        ("-1Gi", "-1Gi"),
        ("512Ki", "512Ki"),
        ("9Ei", "9223372036854775807"),
        ("7Ei", "7Ei"),
        ("1000E", "1000E"),
        ("12345678901234567890", "12345678901234567890"),
        ("k", "0"),
        (".", "0"),
        ("+", "0"),
        (".5", "500m"),
        ("1.", "1"),
        ("007", "7"),
    ] {
        assert_eq!(q(text).to_string(), want, "{text}");
    }
}

#[test]
fn stored_form_keeps_what_upstream_keeps() {
    for (text, want) in [
        ("0.5", "500m"),
        ("1.500", "1.500"),
        ("+1", "+1"),
        ("05", "05"),
        ("1.", "1."),
        ("1E3", "1E3"),
        ("1000", "1k"),
        ("8Ki", "8Ki"),
        ("1025Ki", "1025Ki"),
        ("1024Ki", "1Mi"),
        (" 100m ", "100m"),
        ("0m", "0"),
    ] {
        assert_eq!(stored_text(text).unwrap(), want, "{text}");
    }
}

#[test]
fn malformed_texts() {
    use QuantityError::*;
    for (text, want) in [
        ("", Format),
        ("abc", Format),
        ("1.2.3", Format),
        ("1 Gi", Format),
        ("--1", Suffix),
        ("1Gi2x", Format),
        ("0x10", Format),
        ("é", Format),
        ("1é", Format),
        ("1e", Suffix),
        ("1ki", Suffix),
        ("1gi", Format),
        ("1KK", Suffix),
        ("1m1", Suffix),
        ("1e99999999999999999999", Suffix),
        ("1e+-1", Format),
    ] {
        assert_eq!(Quantity::parse(text), Err(want), "{text:?}");
    }
    let nines = "9".repeat(60);
    assert_eq!(Quantity::parse(&nines), Err(Numeric));
    assert_eq!(q(&format!("0.{nines}")).to_string(), "1");
    assert_eq!(q(&format!("{}Ki", &nines[..36])).value(), i64::MAX);
}

#[test]
fn arithmetic_keeps_the_notation() {
    assert_eq!((q("1Gi") + q("1Mi")).to_string(), "1025Mi");
    assert_eq!((q("100m") + q("0.9")).to_string(), "1");
    assert_eq!((q("0") + q("1Ki")).to_string(), "1Ki");
    assert_eq!((q("0") - q("2Gi")).to_string(), "-2Gi");
    assert_eq!((q("1Ki") - q("1")).to_string(), "1023");
    assert_eq!((q("1k") - q("1k")).to_string(), "0");
    assert_eq!([q("1"), q("2m")].into_iter().sum::<Quantity>().to_string(), "1002m");
    let huge = q("1e1000");
    assert_eq!((huge + huge, huge + q("1"), q("1n") - huge), (q("2e1000"), huge, -huge));
}

#[test]
fn order_and_rounded_values() {
    assert_eq!(q("1Gi"), q("1073741824"));
    assert_eq!(q("1e3"), q("1k"));
    assert!(q("1e1000") > q("99E") && q("-1e1000") < q("-99E") && q("1n") > q("0") && q("-1n") < q("0"));
    assert!(q("1.1") < q("1.2") && q("-1.1") > q("-1.2") && q("999m") < q("1"));
    assert_eq!((q("1500m").value(), q("1500m").milli_value(), q("1n").milli_value()), (2, 1500, 1));
    assert_eq!((q("-1500m").value(), q("1e1000").value(), q("2Ei").milli_value()), (-2, i64::MAX, i64::MAX));
    assert_eq!(q("1k").at_scale(6), 1);
    assert!((q("250m").as_f64() - 0.25).abs() < 1e-12);
    assert_eq!(Quantity::milli(2500).to_string(), "2500m");
    assert_eq!(Quantity::new(2048, Format::BinarySi).to_string(), "2Ki");
}

#[test]
fn json_takes_numbers_and_text() {
    for (json, want) in [("1", "1"), ("0.5", "500m"), ("1e3", "1k"), ("\"2Gi\"", "2Gi"), ("\" 1 \"", "1")] {
        let quantity: Quantity = serde_json::from_str(json).unwrap();
        assert_eq!(quantity.to_string(), want, "{json}");
        assert_eq!(Quantity::from_json(&serde_json::from_str(json).unwrap()), Ok(quantity));
    }
    assert!(serde_json::from_str::<Quantity>("true").is_err());
    assert_eq!(Quantity::from_json(&Value::Bool(true)), Err(QuantityError::Format));
}

fn any_quantity() -> impl Strategy<Value = Quantity> {
    let format = prop_oneof![Just(Format::DecimalSi), Just(Format::BinarySi), Just(Format::DecimalExponent)];
    (any::<i64>(), -12i32..9, format).prop_map(|(v, s, f)| Quantity::scaled(i128::from(v), s, f))
}

proptest! {
    #[test]
    fn printing_loses_nothing(quantity in any_quantity()) {
        let text = quantity.to_string();
        // The binary notation is capped when it is read.
        let cap = Quantity::new(i64::MAX, Format::BinarySi);
        if !text.ends_with('i') || (-cap..=cap).contains(&quantity) {
            prop_assert_eq!(q(&text), quantity);
            prop_assert_eq!(q(&q(&text).to_string()).to_string(), q(&text).to_string());
        }
    }

    #[test]
    fn sums_and_differences_agree(a in any_quantity(), b in any_quantity()) {
        prop_assert_eq!(a + b, b + a);
        prop_assert_eq!((a + b) - b, a);
        prop_assert_eq!(a.cmp(&b), (a - b).value.signum().cmp(&0));
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eEinumkKMGTP]{0,30}|\\PC{0,12}") {
        if let (Ok(quantity), Ok(stored)) = (Quantity::parse(&text), stored_text(&text)) {
            prop_assert_eq!(q(&stored), quantity);
        }
    }
}

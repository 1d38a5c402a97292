use super::*;
use proptest::prelude::*;

#[test]
fn formats_accept_and_refuse() {
    for (name, accepted, refused) in [
        ("bsonobjectid", &["507f1f77bcf86cd799439011"][..], &["507f1f77bcf86cd79943901", "x"][..]),
        (
            "uri",
            &["http://a.b/c?d#e", "/abs", "mailto:a@b.c", "ftp://a:1", "http://[::1]:80/", "http://u:p@h/"],
            &["", "a.b", "./a", "http://a b", "http://a/%zz", "http://a:x/", "1a://b"],
        ),
        ("email", &["a@b.c", "Name <a.b@c>", "a@b"], &["", "a", "a@", "@b", "a b@c", "a@b..c", "<a@b"]),
        ("hostname", &["a", "a.example", "xn--a.example"], &["", "-a", "a_b", "a..b"]),
        (
            "ipv4",
            &["1.2.3.4", "01.2.3.4", "::ffff:1.2.3.4"],
            &["1.2.3", "1.2.3.256", "::1", "1.2.3.4.5", "a"],
        ),
        ("ipv6", &["::1", "fe80::1", "::ffff:1.2.3.4"], &["1.2.3.4", ":", "fe80::1%eth0"]),
        (
            "cidr",
            &["10.0.0.0/8", "::/0", "fd00::/8", "1.2.3.4/32"],
            &["10.0.0.0", "10.0.0.0/33", "a/8", "::/129", "1.2.3.4/"],
        ),
        (
            "mac",
            &["01:23:45:67:89:ab", "01-23-45-67-89-ab", "0123.4567.89ab"],
            &["01:23", "0123456789ab", "01:23:45:67:89:zz"],
        ),
        (
            "uuid",
            &["123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"],
            &["123e4567", "x"],
        ),
        ("uuid4", &["123e4567-e89b-42d3-a456-426614174000"], &["123e4567-e89b-12d3-a456-426614174000"]),
        ("uuid3", &["123e4567-e89b-32d3-0456-426614174000"], &["123e4567-e89b-42d3-0456-426614174000"]),
        ("isbn", &["0321751043", "978-0321751041"], &["0321751042", "x"]),
        ("isbn10", &["0321751043", "080442957X"], &["978-0321751041"]),
        ("isbn13", &["9780321751041"], &["9780321751042", "0321751043"]),
        ("creditcard", &["4111 1111 1111 1111", "378282246310005"], &["4111111111111112", "1"]),
        ("ssn", &["111-22-3333"], &["111223333", "111-22-333x"]),
        ("hexcolor", &["#fff", "FFFFFF"], &["#ffff", "red"]),
        (
            "rgbcolor",
            &["rgb(0,31,255)", "rgb( 0, 1 ,2 )"],
            &["rgb(0,1)", "rgb(01,1,1)", "rgb(1,1,256)", "rgba(1,1,1)"],
        ),
        ("byte", &["aGk=", "YQ=="], &["", "aGk", "a===", "a*k="]),
        ("password", &["", "anything"], &[]),
        ("date", &["2024-02-29"], &["2023-02-29", "2024-2-9", "20240229", "2024-02-29T00:00:00Z"]),
        ("duration", &["1h30m", "22 ns", "3 days", "5 WEEKS", "1 hour"], &["", "x", "5", "5 parsecs"]),
        (
            "date-time",
            &["2024-01-02T03:04:05Z", "2024-01-02t03:04:05.123+01:00"],
            &["2024-01-02", "2024-01-02T24:00:00Z", "2024-01-02T03:04:60Z", "2024-01-02T03:04:05", "now"],
        ),
        ("k8s-short-name", &["a", "a-b1"], &["", "A", "-a", "a."]),
        ("k8s-long-name", &["a.b", "a-1.b"], &["", "a..b", "A.b"]),
    ] {
        let format = Format::named(name).unwrap();
        for text in accepted {
            assert!(format.matches(text), "{name} accepts {text:?}");
        }
        for text in refused {
            assert!(!format.matches(text), "{name} refuses {text:?}");
        }
    }
    assert_eq!(Format::named("made-up"), None);
    assert_eq!(Format::named("date-time"), Format::named("datetime"));
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,40}", near in "[0-9a-f:./@\\[\\] %T+-]{0,40}") {
        for name in ["uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid4", "isbn", "creditcard", "ssn",
            "rgbcolor", "byte", "date", "duration", "datetime", "k8slongname"] {
            let format = Format::named(name).unwrap();
            format.matches(&text);
            format.matches(&near);
        }
    }
}

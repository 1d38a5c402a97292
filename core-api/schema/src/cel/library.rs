//! The functions of Kubernetes' CEL environment: their signatures, what they cost, what they do.
//!
//! Upstream: apiserver `pkg/cel/environment/base.go`, `pkg/cel/library`, cel-go `common/stdlib`, `ext`.

use super::{
    cost::Cost, error::Error, kube, lists, machine::Machine, ops, text, time, types::Type, value::Value,
};
use std::{collections::HashMap, sync::LazyLock};

/// What a function does with its receiver, if it has one, and its arguments.
pub(super) type Body = for<'a> fn(&mut Machine<'_>, &[Value<'a>]) -> Result<Value<'a>, Error>;

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) cost: Cost,
    pub(super) body: Body,
    pub(super) overloads: Vec<Overload>,
}

/// One signature.
#[derive(Clone, Debug)]
pub(super) struct Overload {
    /// Called as `a.f(b)`; the receiver is the first parameter.
    pub(super) is_member: bool,
    pub(super) parameters: Vec<Type>,
    pub(super) result: Type,
}

impl Overload {
    /// Reads `string.(int, int) string` or `(string) bool`.
    pub(super) fn parse(signature: &str) -> Self {
        let (target, rest) = match signature.split_once(".(") {
            Some((target, rest)) => (Some(target), rest),
            None => (None, signature.trim_start_matches('(')),
        };
        let (parameters, result) = rest.split_once(')').unwrap_or((rest, "dyn"));
        let parameters = parameters.split(", ").filter(|text| !text.is_empty());
        Self {
            is_member: target.is_some(),
            parameters: target.into_iter().chain(parameters).map(Type::parse).collect(),
            result: Type::parse(result),
        }
    }
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Function>> = LazyLock::new(|| {
    let tables: [&[Declared]; 7] = [OPERATORS, CONVERSIONS, STRINGS, LISTS, OPTIONALS, TIMES, KUBERNETES];
    let declared = tables.into_iter().flatten();
    let function = |(name, cost, body, signatures): &Declared| {
        let overloads = signatures.iter().map(|text| Overload::parse(text)).collect();
        (*name, Function { name, cost: *cost, body: *body, overloads })
    };
    declared.map(function).collect()
});

/// The function of this name, whatever it is called on.
pub(super) fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.get(name)
}

/// The name, if functions have names that start with it and a dot.
pub(super) fn namespace(name: &str) -> Option<&'static str> {
    ["optional", "ip", "format", "sets", "lists", "strings", "jsonpatch"]
        .into_iter()
        .find(|known| *known == name)
}

/// What a type is called in expressions.
pub(super) const TYPE_NAMES: [&str; 21] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "kubernetes.NamedFormat",
    "kubernetes.Quantity",
    "kubernetes.Semver",
    "kubernetes.URL",
    "net.CIDR",
    "net.IP",
    "object",
];

/// Costs of functions that values of the caller have.
pub(super) fn foreign_cost(function: &str, arguments: &[Value<'_>]) -> u64 {
    match function {
        "check" => 350_000,
        "fieldSelector" | "labelSelector" => Cost::Selector.actual(arguments, &Value::Null),
        _ => 1,
    }
}

type Declared = (&'static str, Cost, Body, &'static [&'static str]);

const COMPARED: &[&str] = &[
    "(bool, bool) bool",
    "(int, int) bool",
    "(int, double) bool",
    "(int, uint) bool",
    "(uint, uint) bool",
    "(uint, double) bool",
    "(uint, int) bool",
    "(double, double) bool",
    "(double, int) bool",
    "(double, uint) bool",
    "(string, string) bool",
    "(bytes, bytes) bool",
    "(timestamp, timestamp) bool",
    "(duration, duration) bool",
];
const OPERATORS: &[Declared] = &[
    ("_==_", Cost::Equal, ops::equals, &["(A, A) bool"]),
    ("_!=_", Cost::Equal, ops::not_equals, &["(A, A) bool"]),
    ("_<_", Cost::Order, ops::less, COMPARED),
    ("_<=_", Cost::Order, ops::less_equal, COMPARED),
    ("_>_", Cost::Order, ops::greater, COMPARED),
    ("_>=_", Cost::Order, ops::greater_equal, COMPARED),
    ("!_", Cost::Fixed(1), ops::not, &["(bool) bool"]),
    ("-_", Cost::Fixed(1), ops::negate, &["(int) int", "(double) double"]),
    (
        "_+_",
        Cost::Add,
        ops::add,
        &[
            "(int, int) int",
            "(uint, uint) uint",
            "(double, double) double",
            "(string, string) string",
            "(bytes, bytes) bytes",
            "(list<A>, list<A>) list<A>",
            "(duration, duration) duration",
            "(timestamp, duration) timestamp",
            "(duration, timestamp) timestamp",
        ],
    ),
    (
        "_-_",
        Cost::Fixed(1),
        ops::subtract,
        &[
            "(int, int) int",
            "(uint, uint) uint",
            "(double, double) double",
            "(duration, duration) duration",
            "(timestamp, duration) timestamp",
            "(timestamp, timestamp) duration",
        ],
    ),
    (
        "_*_",
        Cost::Fixed(1),
        ops::multiply,
        &["(int, int) int", "(uint, uint) uint", "(double, double) double"],
    ),
    ("_/_", Cost::Fixed(1), ops::divide, &["(int, int) int", "(uint, uint) uint", "(double, double) double"]),
    ("_%_", Cost::Fixed(1), ops::modulo, &["(int, int) int", "(uint, uint) uint"]),
    ("@in", Cost::In, ops::contained, &["(A, list<A>) bool", "(A, map<A,B>) bool"]),
    (
        "size",
        Cost::Fixed(1),
        ops::size,
        &[
            "(string) int",
            "(bytes) int",
            "(list<A>) int",
            "(map<A,B>) int",
            "string.() int",
            "bytes.() int",
            "list<A>.() int",
            "map<A,B>.() int",
        ],
    ),
];
const CONVERSIONS: &[Declared] = &[
    ("type", Cost::Fixed(1), ops::type_of, &["(A) type"]),
    ("dyn", Cost::Fixed(1), ops::as_dyn, &["(A) dyn"]),
    ("bool", Cost::Fixed(1), ops::to_bool, &["(bool) bool", "(string) bool"]),
    (
        "int",
        Cost::Fixed(1),
        ops::to_int,
        &["(int) int", "(uint) int", "(double) int", "(string) int", "(timestamp) int", "(duration) int"],
    ),
    ("uint", Cost::Fixed(1), ops::to_uint, &["(uint) uint", "(int) uint", "(double) uint", "(string) uint"]),
    (
        "double",
        Cost::Fixed(1),
        ops::to_double,
        &["(double) double", "(int) double", "(uint) double", "(string) double"],
    ),
    (
        "string",
        Cost::Text,
        ops::to_string,
        &[
            "(string) string",
            "(bool) string",
            "(int) string",
            "(uint) string",
            "(double) string",
            "(bytes) string",
            "(timestamp) string",
            "(duration) string",
            "(net.IP) string",
            "(net.CIDR) string",
        ],
    ),
    ("bytes", Cost::Text, ops::to_bytes, &["(bytes) bytes", "(string) bytes"]),
    (
        "duration",
        Cost::Fixed(1),
        time::to_duration,
        &["(duration) duration", "(string) duration", "(int) duration"],
    ),
    (
        "timestamp",
        Cost::Fixed(1),
        time::to_timestamp,
        &["(timestamp) timestamp", "(string) timestamp", "(int) timestamp"],
    ),
];
const STRINGS: &[Declared] = &[
    ("contains", Cost::Contains, text::contains, &["string.(string) bool"]),
    ("startsWith", Cost::Scan(1, 0.1), text::starts_with, &["string.(string) bool"]),
    ("endsWith", Cost::Scan(1, 0.1), text::ends_with, &["string.(string) bool"]),
    ("matches", Cost::Matches, text::matches, &["string.(string) bool", "(string, string) bool"]),
    ("find", Cost::Matches, text::find, &["string.(string) string"]),
    (
        "findAll",
        Cost::Matches,
        text::find_all,
        &["string.(string) list<string>", "string.(string, int) list<string>"],
    ),
    ("charAt", Cost::Fixed(1), text::char_at, &["string.(int) string"]),
    ("lowerAscii", Cost::Map(0.1), text::lower, &["string.() string"]),
    ("upperAscii", Cost::Map(0.1), text::upper, &["string.() string"]),
    ("trim", Cost::Map(0.1), text::trim, &["string.() string"]),
    ("substring", Cost::Map(0.1), text::substring, &["string.(int) string", "string.(int, int) string"]),
    (
        "replace",
        Cost::Replace,
        text::replace,
        &["string.(string, string) string", "string.(string, string, int) string"],
    ),
    (
        "split",
        Cost::Split,
        text::split,
        &["string.(string) list<string>", "string.(string, int) list<string>"],
    ),
    ("join", Cost::Join, text::join, &["list<string>.() string", "list<string>.(string) string"]),
    ("format", Cost::Format, text::format, &["string.(list<dyn>) string"]),
    ("strings.quote", Cost::Scan(0, 0.1), text::quote, &["(string) string"]),
    ("jsonpatch.escapeKey", Cost::Map(0.1), text::escape_key, &["(string) string"]),
];
const LISTS: &[Declared] = &[
    (
        "isSorted",
        Cost::Traverse,
        lists::is_sorted,
        &[
            "list<int>.() bool",
            "list<uint>.() bool",
            "list<double>.() bool",
            "list<bool>.() bool",
            "list<string>.() bool",
            "list<bytes>.() bool",
            "list<timestamp>.() bool",
            "list<duration>.() bool",
        ],
    ),
    (
        "sum",
        Cost::Traverse,
        lists::sum,
        &["list<int>.() int", "list<uint>.() uint", "list<double>.() double", "list<duration>.() duration"],
    ),
    ("min", Cost::Traverse, lists::min, ORDERED_RESULT),
    ("max", Cost::Traverse, lists::max, ORDERED_RESULT),
    (
        "indexOf",
        Cost::Traverse,
        lists::index_of,
        &["string.(string) int", "string.(string, int) int", "list<A>.(A) int"],
    ),
    (
        "lastIndexOf",
        Cost::Traverse,
        lists::last_index_of,
        &["string.(string) int", "string.(string, int) int", "list<A>.(A) int"],
    ),
    ("slice", Cost::Slice, lists::slice, &["list<A>.(int, int) list<A>"]),
    ("flatten", Cost::Items, lists::flatten, &["list<list<A>>.() list<A>", "list<dyn>.(int) list<dyn>"]),
    ("distinct", Cost::Distinct, lists::distinct, &["list<A>.() list<A>"]),
    ("reverse", Cost::Items, lists::reverse, &["list<A>.() list<A>"]),
    ("first", Cost::Fixed(1), lists::first, &["list<A>.() optional<A>"]),
    ("last", Cost::Fixed(1), lists::last, &["list<A>.() optional<A>"]),
    ("sort", Cost::Sort, lists::sort, SORTED),
    ("lists.range", Cost::Items, lists::range, &["(int) list<int>"]),
    ("sets.contains", Cost::Pairs(1), lists::set_contains, &["(list<A>, list<A>) bool"]),
    ("sets.equivalent", Cost::Pairs(2), lists::set_equivalent, &["(list<A>, list<A>) bool"]),
    ("sets.intersects", Cost::Pairs(1), lists::set_intersects, &["(list<A>, list<A>) bool"]),
];
const ORDERED_RESULT: &[&str] = &[
    "list<int>.() int",
    "list<uint>.() uint",
    "list<double>.() double",
    "list<bool>.() bool",
    "list<string>.() string",
    "list<bytes>.() bytes",
    "list<timestamp>.() timestamp",
    "list<duration>.() duration",
];
const SORTED: &[&str] = &[
    "list<int>.() list<int>",
    "list<uint>.() list<uint>",
    "list<double>.() list<double>",
    "list<bool>.() list<bool>",
    "list<string>.() list<string>",
    "list<bytes>.() list<bytes>",
    "list<timestamp>.() list<timestamp>",
    "list<duration>.() list<duration>",
];
const OPTIONALS: &[Declared] = &[
    ("optional.of", Cost::Fixed(1), lists::optional_of, &["(A) optional<A>"]),
    ("optional.none", Cost::Fixed(1), lists::optional_none, &["() optional<A>"]),
    ("optional.ofNonZeroValue", Cost::Fixed(1), lists::optional_of_non_zero, &["(A) optional<A>"]),
    ("hasValue", Cost::Fixed(1), lists::has_value, &["optional<A>.() bool"]),
    ("value", Cost::Fixed(1), lists::optional_value, &["optional<A>.() A"]),
    ("or", Cost::Fixed(1), lists::or, &["optional<A>.(optional<A>) optional<A>"]),
    ("orValue", Cost::Fixed(1), lists::or_value, &["optional<A>.(A) A"]),
];
const OF_TIME: &[&str] = &["timestamp.() int", "timestamp.(string) int"];
const OF_BOTH: &[&str] = &["timestamp.() int", "timestamp.(string) int", "duration.() int"];
const TIMES: &[Declared] = &[
    ("getFullYear", Cost::Fixed(1), time::full_year, OF_TIME),
    ("getMonth", Cost::Fixed(1), time::month, OF_TIME),
    ("getDayOfYear", Cost::Fixed(1), time::day_of_year, OF_TIME),
    ("getDayOfMonth", Cost::Fixed(1), time::day_of_month, OF_TIME),
    ("getDate", Cost::Fixed(1), time::date, OF_TIME),
    ("getDayOfWeek", Cost::Fixed(1), time::day_of_week, OF_TIME),
    ("getHours", Cost::Fixed(1), time::hours, OF_BOTH),
    ("getMinutes", Cost::Fixed(1), time::minutes, OF_BOTH),
    ("getSeconds", Cost::Fixed(1), time::seconds, OF_BOTH),
    ("getMilliseconds", Cost::Fixed(1), time::milliseconds, OF_BOTH),
];
const KUBERNETES: &[Declared] = &[
    ("quantity", Cost::Scan(0, 0.1), kube::quantity, &["(string) kubernetes.Quantity"]),
    ("isQuantity", Cost::Scan(0, 0.1), kube::is_quantity, &["(string) bool"]),
    ("sign", Cost::Fixed(1), kube::sign, &["kubernetes.Quantity.() int"]),
    ("isInteger", Cost::Fixed(1), kube::is_integer, &["kubernetes.Quantity.() bool"]),
    ("asInteger", Cost::Fixed(1), kube::as_integer, &["kubernetes.Quantity.() int"]),
    ("asApproximateFloat", Cost::Fixed(1), kube::as_float, &["kubernetes.Quantity.() double"]),
    (
        "isGreaterThan",
        Cost::Fixed(1),
        kube::is_greater,
        &["kubernetes.Quantity.(kubernetes.Quantity) bool", "kubernetes.Semver.(kubernetes.Semver) bool"],
    ),
    (
        "isLessThan",
        Cost::Fixed(1),
        kube::is_less,
        &["kubernetes.Quantity.(kubernetes.Quantity) bool", "kubernetes.Semver.(kubernetes.Semver) bool"],
    ),
    (
        "compareTo",
        Cost::Fixed(1),
        kube::compare,
        &["kubernetes.Quantity.(kubernetes.Quantity) int", "kubernetes.Semver.(kubernetes.Semver) int"],
    ),
    (
        "add",
        Cost::Fixed(1),
        kube::add,
        &[
            "kubernetes.Quantity.(kubernetes.Quantity) kubernetes.Quantity",
            "kubernetes.Quantity.(int) kubernetes.Quantity",
        ],
    ),
    (
        "sub",
        Cost::Fixed(1),
        kube::sub,
        &[
            "kubernetes.Quantity.(kubernetes.Quantity) kubernetes.Quantity",
            "kubernetes.Quantity.(int) kubernetes.Quantity",
        ],
    ),
    (
        "semver",
        Cost::Scan(0, 0.1),
        kube::semver,
        &["(string) kubernetes.Semver", "(string, bool) kubernetes.Semver"],
    ),
    ("isSemver", Cost::Scan(0, 0.1), kube::is_semver, &["(string) bool", "(string, bool) bool"]),
    ("major", Cost::Fixed(1), kube::major, &["kubernetes.Semver.() int"]),
    ("minor", Cost::Fixed(1), kube::minor, &["kubernetes.Semver.() int"]),
    ("patch", Cost::Fixed(1), kube::patch, &["kubernetes.Semver.() int"]),
    ("ip", Cost::Ip, kube::ip, &["(string) net.IP", "net.CIDR.() net.IP"]),
    ("isIP", Cost::Scan(0, 0.1), kube::is_ip, &["(string) bool"]),
    ("ip.isCanonical", Cost::Scan(0, 0.2), kube::is_canonical, &["(string) bool"]),
    ("family", Cost::Fixed(1), kube::family, &["net.IP.() int"]),
    ("isUnspecified", Cost::Fixed(1), kube::is_unspecified, &["net.IP.() bool"]),
    ("isLoopback", Cost::Fixed(1), kube::is_loopback, &["net.IP.() bool"]),
    ("isLinkLocalMulticast", Cost::Fixed(1), kube::is_link_local_multicast, &["net.IP.() bool"]),
    ("isLinkLocalUnicast", Cost::Fixed(1), kube::is_link_local_unicast, &["net.IP.() bool"]),
    ("isGlobalUnicast", Cost::Fixed(1), kube::is_global_unicast, &["net.IP.() bool"]),
    ("cidr", Cost::Scan(0, 0.1), kube::cidr, &["(string) net.CIDR"]),
    ("isCIDR", Cost::Scan(0, 0.1), kube::is_cidr, &["(string) bool"]),
    ("containsIP", Cost::InCidr(0), kube::contains_ip, &["net.CIDR.(string) bool", "net.CIDR.(net.IP) bool"]),
    (
        "containsCIDR",
        Cost::InCidr(1),
        kube::contains_cidr,
        &["net.CIDR.(string) bool", "net.CIDR.(net.CIDR) bool"],
    ),
    ("prefixLength", Cost::Fixed(1), kube::prefix_length, &["net.CIDR.() int"]),
    ("masked", Cost::Fixed(1), kube::masked, &["net.CIDR.() net.CIDR"]),
    ("url", Cost::Map(0.1), kube::url, &["(string) kubernetes.URL"]),
    ("isURL", Cost::Fixed(1), kube::is_url, &["(string) bool"]),
    ("getScheme", Cost::Fixed(1), kube::scheme, &["kubernetes.URL.() string"]),
    ("getHost", Cost::Fixed(1), kube::host, &["kubernetes.URL.() string"]),
    ("getHostname", Cost::Fixed(1), kube::hostname, &["kubernetes.URL.() string"]),
    ("getPort", Cost::Fixed(1), kube::port, &["kubernetes.URL.() string"]),
    ("getEscapedPath", Cost::Fixed(1), kube::escaped_path, &["kubernetes.URL.() string"]),
    ("getQuery", Cost::Fixed(1), kube::query, &["kubernetes.URL.() map<string,list<string>>"]),
    ("format.named", Cost::Fixed(1), kube::named, &["(string) optional<kubernetes.NamedFormat>"]),
    ("validate", Cost::Validate, kube::validate, &["kubernetes.NamedFormat.(string) optional<list<string>>"]),
];

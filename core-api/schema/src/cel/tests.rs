use super::*;
use serde_json::json;

fn holds(text: &str) -> Result<bool, String> {
    let object = json!({"metadata": {"name": "web", "labels": {"app": "a"}}, "spec": {"replicas": 3}});
    let request = json!({"operation": "CREATE", "userInfo": {"groups": ["a", "b"]}});
    let variables = ["object", "oldObject", "request"].map(|name| (name, Type::DYN));
    let program = Environment::new(variables).compile(text).map_err(|why| why.to_string())?;
    if program.output() != &Type::BOOL {
        return Err("must evaluate to bool".to_owned());
    }
    let values = [Value::of_json(&object), Value::Null, Value::of_json(&request)];
    match program.evaluate(&values, PER_CALL_LIMIT).value {
        Ok(Value::Bool(is_true)) => Ok(is_true),
        Ok(_) => Err("expected bool".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

/// The value of a text without variables.
fn is_true(text: &str) -> Result<bool, String> {
    let program = Environment::default().compile(text).map_err(|why| why.to_string())?;
    match program.evaluate(&[], PER_CALL_LIMIT).value {
        Ok(Value::Bool(flag)) => Ok(flag),
        Ok(other) => Err(format!("{other:?}")),
        Err(why) => Err(why.to_string()),
    }
}

#[test]
fn expressions_are_evaluated_on_objects() {
    for (text, want) in [
        ("object.metadata.name != 'skip-me'", true),
        ("object.metadata.name.startsWith('w') && object.metadata.name.matches('^w.b$')", true),
        ("object.spec.replicas + 1 > 4", false),
        ("has(object.metadata.labels) && object.metadata.labels.exists(k, k == 'app')", true),
        ("!request.userInfo.groups.all(group, group == 'a')", true),
        ("request.operation in ['CREATE', 'UPDATE']", true),
        ("oldObject == null", true),
        ("object.?metadata.?annotations.?x.orValue('none') == 'none'", true),
        ("object.metadata.labels['app'] == 'a'", true),
        ("object.metadata.labels.all(k, v, k == 'app' && v == 'a')", true),
        ("'A'.lowerAscii() == 'a'", true),
        ("object.missing == 1 || object.spec.replicas == 3", true),
        ("object.missing == 1 && object.spec.replicas == 4", false),
    ] {
        assert_eq!(holds(text), Ok(want), "{text}");
    }
}

#[test]
fn what_does_not_compile_is_told() {
    for (text, part) in [
        ("... [] bad expression", "ERROR: <input>:1:"),
        (
            "authorizer.group('').resource('pods').check('get').allowed()",
            "undeclared reference to 'authorizer'",
        ),
        ("unknown == 1", "undeclared reference to 'unknown'"),
        ("object.metadata.name.foo()", "undeclared reference to 'foo'"),
        ("[1]", "must evaluate to bool"),
        ("object.metadata.name", "must evaluate to bool"),
        ("object.items.all(x, x == y)", "undeclared reference to 'y'"),
        ("1 + 'a' == 2", "found no matching overload for '_+_' applied to '(int, string)'"),
        (
            "'a'.substring('b') == ''",
            "found no matching overload for 'substring' applied to 'string.(string)'",
        ),
        ("1 == 1.0", "found no matching overload for '_==_' applied to '(int, double)'"),
        ("[1, 'a'].size() == 2", "expected type 'int' but found 'string'"),
        ("(true ? 1 : 'a') == 1", "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("'a'.all(x, true)", "expression of type 'string' cannot be range of a comprehension"),
        ("1 && true", "expected type 'bool' but found 'int'"),
        ("'a'.matches('(')", "invalid matches argument"),
        ("duration('1x') == duration('1s')", "invalid duration argument"),
        ("timestamp('x') == timestamp('x')", "invalid timestamp argument"),
        ("'a'.b == 1", "type 'string' does not support field selection"),
        ("object.all(1, true)", "argument must be a simple name"),
        ("has(object)", "invalid argument to has() macro"),
        ("cel.bind(x, 1, x == 1)", "undeclared reference to"),
    ] {
        let why = holds(text).unwrap_err();
        assert!(why.contains(part), "{text}: {why}");
    }
    let why = holds("object.a ==\n  1 + foo").unwrap_err();
    assert_eq!(
        why,
        "ERROR: <input>:2:7: undeclared reference to 'foo' (in container '')\n |   1 + foo\n | ......^"
    );
}

#[test]
fn what_cannot_be_evaluated_is_an_error() {
    for (text, why) in [
        ("object.metadata.missing == 'a'", "no such key: missing"),
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("[1][3] == 1", "index out of bounds: 3"),
        ("object.metadata.name + object.spec.replicas == 'a'", "no such overload"),
        ("object.metadata.name.x == 'a'", "no such key: x"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("int('x') == 1", "type conversion error from 'string' to 'int'"),
    ] {
        assert_eq!(holds(text), Err(why.to_owned()), "{text}");
    }
}

/// Functions as upstream's own tests and documentation describe them.
#[test]
fn functions_of_kubernetes_are_there() {
    for text in [
        "'tacocat'.charAt(3) == 'o' && 'ab'.charAt(2) == ''",
        "'hello'.indexOf('l') == 2 && 'hello'.indexOf('l', 3) == 3 && 'hello'.lastIndexOf('l') == 3",
        "'tacocat'.indexOf('a', 30) == -1 && 'abc'.indexOf('', 9) == 3 && 'abc'.lastIndexOf('c', 3) == -1",
        "'abc'.lastIndexOf('', 9) == 3 && 'abc'.lastIndexOf('c', 2) == 2",
        "'hello'.substring(1) == 'ello' && 'hello'.substring(1, 3) == 'el'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'abc'.split('') == ['a', 'b', 'c'] && 'ab'.split(',', 0) == []",
        "['a', 'b'].join('-') == 'a-b' && ['a'].join() == 'a'",
        "'aaa'.replace('a', 'b') == 'bbb' && 'aaa'.replace('a', 'b', 2) == 'bba'",
        "'  a '.trim() == 'a' && 'Ab'.upperAscii() == 'AB'",
        "'%s is %d years, %.2f%%, %x, %b'.format([dyn('x'), dyn(3), dyn(1.5), dyn(255), dyn(5)]) == 'x is 3 years, 1.50%, ff, 101'",
        "'%s'.format([[1, 2]]) == '[1, 2]' && '%s'.format([{'a': true}]) == '{a: true}'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc 123'.find('[0-9]+') == '123' && 'a1 b2'.findAll('[0-9]') == ['1', '2']",
        "'a1 b2'.findAll('[0-9]', 1) == ['1'] && 'abc'.find('x') == ''",
        "[1, 2, 3].isSorted() && ![2, 1].isSorted() && [1, 2, 3].sum() == 6",
        "[3, 1, 2].min() == 1 && ['a', 'b'].max() == 'b' && [1, 2, 1].indexOf(1) == 0",
        "[1, 2, 1].lastIndexOf(1) == 2",
        "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [[1], [2]].flatten() == [1, 2]",
        "[1, 2, 1].distinct() == [1, 2] && [1, 2].reverse() == [2, 1] && [2, 1].sort() == [1, 2]",
        "lists.range(3) == [0, 1, 2] && [1, 2].first() == optional.of(1) && [].last() == optional.none()",
        "['bb', 'a'].sortBy(x, x.size()) == ['a', 'bb']",
        "sets.contains([1, 2], [1]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        "[1, 2].map(x, x * 2) == [2, 4] && [1, 2].map(x, x > 1, x * 2) == [4]",
        "[1, 2].filter(x, x > 1) == [2] && [1, 2].exists_one(x, x > 1)",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && ['a'].transformList(i, v, i) == [0]",
        "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
        "{'a': 1}.all(k, v, v == 1) && [5].exists(i, v, i == 0 && v == 5)",
        "optional.of(1).optMap(x, x + 1).value() == 2 && optional.ofNonZeroValue('').hasValue() == false",
        "optional.none().or(optional.of(1)).orValue(2) == 1 && [?optional.none(), 1] == [dyn(1)]",
        "{?'a': optional.none()}.size() == 0 && {'a': 1}[?'a'].value() == 1",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('50k').asInteger() == 50000",
        "quantity('1.5').add(quantity('0.5')).compareTo(quantity('2')) == 0 && quantity('1').sub(2).sign() == -1",
        "isQuantity('1Mi') && !isQuantity('x') && quantity('10') == quantity('10')",
        "semver('1.2.3').major() == 1 && semver('1.0.0-a').isLessThan(semver('1.0.0')) && !isSemver('v1.0')",
        "isSemver('v1.0', true) && semver('v01.1', true).compareTo(semver('1.1.0')) == 0",
        "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && !isIP('::ffff:1.2.3.4')",
        "ip.isCanonical('127.0.0.1') && !ip.isCanonical('2001:0:0:0::1') && ip('10.0.0.1').isGlobalUnicast()",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8",
        "string(cidr('::/0').ip()) == '::' && !cidr('10.0.0.0/8').containsCIDR('0.0.0.0/0')",
        "url('https://a.b:80/x%20y?q=1&q=2').getHost() == 'a.b:80' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://a/?q=1&q=2').getQuery() == {'q': ['1', '2']} && url('https://a:8/b').getPort() == '8'",
        "url('/a/b').getEscapedPath() == '/a/b' && !isURL('a') && isURL('https://a')",
        "format.dns1123Label().validate('ok') == optional.none() && format.named('uuid').hasValue()",
        "format.dns1123Label().validate('NO').value().size() == 1 && !format.named('x').hasValue()",
        "timestamp('2024-02-03T04:05:06Z').getMonth() == 1 && timestamp('2024-02-03T04:05:06Z').getDate() == 3",
        "timestamp('2024-02-03T04:05:06Z').getHours('+02:00') == 6 && duration('90m').getHours() == 1",
        "timestamp('2024-02-03T00:00:00Z') + duration('24h') == timestamp('2024-02-04T00:00:00Z')",
        "timestamp('2024-02-03T00:00:00Z').getDayOfWeek() == 6 && string(duration('1m')) == '60s'",
        "type(1) == int && type('a') != bytes && type(timestamp(0)) == google.protobuf.Timestamp",
        "double(1) == 1.0 && int(1.9) == 1 && uint(3) == 3u && string(1.5) == '1.5' && bool('true')",
        "1 < 2.5 && 2u > 1 && dyn(1) == 1.0 && 1 in [1, 2] && 'a' in {'a': 1}",
        "b'abc'.size() == 3 && 'äö'.size() == 2 && string(b'abc') == 'abc' && size([1]) == 1",
        "-5 % 3 == -2 && 7 / 2 == 3 && -(1) == -1 && !(1 > 2)",
        "[1] + [2] == [1, 2] && ([1] + [2])[1] == 2 && [[1, 2], [3]].exists(x, 3 in x)",
    ] {
        assert_eq!(is_true(text), Ok(true), "{text}");
    }
}

/// Expressions from users end soon, whatever they say.
#[test]
fn bombs_are_refused_or_bounded() {
    let nested = |open: &str, close: &str, n: usize| format!("{}1{} == 1", open.repeat(n), close.repeat(n));
    let long = "true && ".repeat(3000) + "true";
    assert_eq!(is_true(&long), Ok(true));
    // The deepest that is allowed fits into the stack of any thread.
    assert_eq!(is_true(&format!("[1]{} == [1]", ".map(x, x)".repeat(240))), Ok(true));
    assert_eq!(is_true(&format!("1{} == 241", "+1".repeat(240))), Ok(true));
    assert_eq!(is_true(&nested("(", ")", 90)), Ok(true));
    assert_eq!(is_true(&format!("[1].all(x, {}true{})", "[1].all(x, ".repeat(80), ")".repeat(80))), Ok(true));
    for text in [
        nested("(", ")", 50_000),
        nested("[", "]", 5_000),
        nested("-(", ")", 4_000),
        format!("1{} == 1", "+1".repeat(9_000)),
        format!("{}true{}", "true ? (".repeat(400), ") : false".repeat(400)),
        format!("'{}' == ''", "a".repeat(100_001)),
        format!("'a'{}.size() == 1", ".trim()".repeat(3_000)),
        format!("[1]{} == [1]", ".map(x, x)".repeat(3_000)),
        "'a'.matches('((a{1000}){1000}){1000}')".to_owned(),
    ] {
        let start = std::time::Instant::now();
        let outcome = is_true(&text);
        assert!(outcome.is_err(), "{}: {outcome:?}", &text[..60.min(text.len())]);
        assert!(start.elapsed().as_secs() < 20, "{}", &text[..60.min(text.len())]);
    }
    let large = json!({"text": "a".repeat(3 << 20)});
    let program = Environment::new([("self", Type::DYN)]);
    let program = program.compile("lists.range(200000).all(i, self.text != 'b')").unwrap();
    let start = std::time::Instant::now();
    assert_eq!(
        program.evaluate(&[Value::of_json(&large)], PER_CALL_LIMIT).value.unwrap_err(),
        Error::Exceeded
    );
    assert!(start.elapsed().as_secs() < 30);
    for text in [
        "lists.range(100000000).size() == 1",
        &format!("[[1]]{}.map(a, a.reverse())[0].size() > 0", ".map(a, a + a)".repeat(40)),
        &format!("[[1]]{}[0].size() > 0", ".map(a, a + a)".repeat(70)),
        &format!("dyn([1]{}).indexOf(0) == -1", ".map(a, dyn([a, a]))".repeat(40)),
        "lists.range(2000).all(a, lists.range(2000).all(b, lists.range(2000).all(c, a >= 0)))",
        "lists.range(1000).map(i, lists.range(1000)).flatten().map(i, 'aaaaaaaaaaaaaaaa').join('bbbbbbbbbb').size() > 0",
        "lists.range(90000).map(i, '%.900f'.format([1.0])).size() == 1",
        "lists.range(5000).distinct().size() == 5000",
        "lists.range(3000).all(i, 'a'.matches('(a|b){' + string(i % 900) + '}') || true)",
    ] {
        let start = std::time::Instant::now();
        assert_eq!(
            is_true(text),
            Err("operation cancelled: actual cost limit exceeded".to_owned()),
            "{text}"
        );
        assert!(start.elapsed().as_secs() < 30, "{text}");
    }
}

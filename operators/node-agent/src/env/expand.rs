//! `$(NAME)` references.
//!
//! Pure. `$$` is a dollar sign; a reference to nothing and an unfinished one stay as they are.
//! Upstream: `third_party/forked/golang/expansion/expand.go`, `pkg/kubelet/container/helpers.go`.

/// Puts values in the place of references.
pub(crate) fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut missing = |_: &str| {};
    walk(text, &value, &mut missing)
}

/// As [`expand`], but a reference to nothing is an error.
pub(crate) fn expand_all<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let mut first = None;
    let mut missing = |name: &str| {
        first.get_or_insert_with(|| name.to_owned());
    };
    let expanded = walk(text, &value, &mut missing);
    match first {
        None => Ok(expanded),
        Some(name) => Err(format!("missing value for {name:?}")),
    }
}

fn walk<'a>(text: &str, value: &impl Fn(&str) -> Option<&'a str>, missing: &mut impl FnMut(&str)) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = if let Some(escaped) = after.strip_prefix('$') {
            expanded.push('$');
            escaped
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value(name) {
                Some(found) => expanded.push_str(found),
                None => {
                    missing(name);
                    expanded.push_str(&rest[at..rest.len() - tail.len()]);
                }
            }
            tail
        } else {
            expanded.push('$');
            after
        };
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("a"),
            "B" => Some("$(A)"),
            "" => Some("empty"),
            _ => None,
        }
    }

    #[test]
    fn references() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "a"),
            ("x-$(A)-$(A)y", "x-a-ay"),
            ("$(B)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$$$$", "$$"),
            ("$(NONE)", "$(NONE)"),
            ("$A", "$A"),
            ("$", "$"),
            ("a$", "a$"),
            ("$(A", "$(A"),
            ("$(A$(A)", "$(A$(A)"),
            ("$()", "empty"),
            ("$ (A)", "$ (A)"),
        ] {
            assert_eq!(expand(text, value), want, "{text}");
        }
    }

    #[test]
    fn all_must_be_known() {
        assert_eq!(expand_all("$(A)/$$(X)", value), Ok("a/$(X)".to_owned()));
        assert_eq!(expand_all("$(A)/$(X)/$(Y)", value), Err("missing value for \"X\"".to_owned()));
    }
}

//! Regular expressions in RE2 syntax, compiled by the `regex` crate.
//!
//! The two differ in little: RE2's classes `\d`, `\w`, `\s` and `\b` know ASCII only, and inside brackets RE2 takes
//! `[` and doubled `&`, `~`, `-` as they are. The translation covers that and leaves everything else alone.

use crate::schema::Pattern;
use regex::Regex;

/// Longest program: expressions from users must not eat memory.
const SIZE_LIMIT: usize = 1 << 20;

/// Compiles `source`; the error is one line.
pub(super) fn compile(source: &str) -> Result<Pattern, String> {
    let translated = translate(source);
    let regex =
        regex::RegexBuilder::new(&translated).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).build();
    let regex: Regex = regex.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        format!("error parsing regexp: {}", last.trim().trim_start_matches("error: "))
    })?;
    Ok(Pattern { source: source.into(), regex })
}

fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    let mut class = Class::Outside;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped) => escape(escaped, class != Class::Outside, &mut out),
                None => out.push('\\'),
            },
            '[' if class == Class::Outside => {
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that comes first stands for itself.
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
                class = Class::Inside;
                continue;
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                class = Class::Named;
                continue;
            }
            '[' => out.push_str("\\["),
            ']' => {
                out.push(']');
                class = if class == Class::Named { Class::Inside } else { Class::Outside };
                continue;
            }
            '&' | '~' if class == Class::Inside => {
                out.push('\\');
                out.push(c);
            }
            '-' if class == Class::Inside && chars.peek() == Some(&'-') => {
                out.push_str("\\-");
            }
            _ => out.push(c),
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Outside,
    Inside,
    /// Inside `[:alpha:]`.
    Named,
}

fn escape(escaped: char, in_class: bool, out: &mut String) {
    const SPACE: &str = "\\t\\n\\x0c\\r ";
    let (set, negated) = match escaped {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => (SPACE, false),
        'S' => (SPACE, true),
        'b' | 'B' if !in_class => {
            out.push_str(if escaped == 'b' { "(?-u:\\b)" } else { "(?-u:\\B)" });
            return;
        }
        _ => {
            out.push('\\');
            out.push(escaped);
            return;
        }
    };
    match (in_class, negated) {
        (true, false) => out.push_str(set),
        (_, true) => {
            out.push_str("[^");
            out.push_str(set);
            out.push(']');
        }
        (false, false) => {
            out.push('[');
            out.push_str(set);
            out.push(']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_and_brackets_plain() {
        for (source, matching, other) in [
            (r"^\d+$", "12", "١٢"),
            (r"^[\w.]+$", "a.b", "é"),
            (r"^[^\s]$", "a", " "),
            (r"^[[\]]+$", "[]", "a"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[[:alpha:]]$", "a", "1"),
            (r"^[\S]$", "a", " "),
            (r"^\W$", "-", "a"),
            (r"^a\/b\-c$", "a/b-c", "ab"),
            (r"^[]a]$", "]", "b"),
            (r"\bfoo\b", "a foo b", "food"),
        ] {
            let pattern = compile(source).unwrap();
            assert!(pattern.regex.is_match(matching), "{source} {matching}");
            assert!(!pattern.regex.is_match(other), "{source} {other}");
        }
        assert!(compile("[").unwrap_err().starts_with("error parsing regexp: "));
        assert!(compile("a{1000}{1000}{1000}").is_err());
    }
}

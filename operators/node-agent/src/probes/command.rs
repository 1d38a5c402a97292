//! `$(NAME)` in the command of an exec probe.
//!
//! Only variables that the container's spec gives as plain text are known; one whose value comes from elsewhere is
//! empty, and an unknown one stays as it is written. Upstream: `third_party/forked/golang/expansion/expand.go`,
//! `ExpandContainerCommandOnlyStatic`.

use k8s_openapi::api::core::v1::EnvVar;

/// The command with its variables replaced.
pub(super) fn expanded(command: &[String], env: &[EnvVar]) -> Vec<String> {
    command.iter().map(|word| expand(word, env)).collect()
}

fn expand(word: &str, env: &[EnvVar]) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(escaped) = rest.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, behind)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            match env.iter().rev().find(|variable| variable.name == name) {
                Some(variable) => out.push_str(variable.value.as_deref().unwrap_or_default()),
                None => out.extend(["$(", name, ")"]),
            }
            rest = behind;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_replaced() {
        let env = [
            EnvVar { name: "A".to_owned(), value: Some("1".to_owned()), ..Default::default() },
            EnvVar { name: "FROM".to_owned(), ..Default::default() },
        ];
        let is = |word: &str, expected: &str| assert_eq!(expand(word, &env), expected, "{word}");
        is("x$(A)y$(A)", "x1y1");
        is("$$(A) $$$(A)", "$(A) $1");
        is("$(B) $A $(", "$(B) $A $(");
        is("[$(FROM)]", "[]");
        is("$", "$");
    }
}

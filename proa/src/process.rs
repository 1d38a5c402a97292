//! Processes of this program, found by their subcommand and options.

use proa_runtime_shim::process::{self, Handle};

/// Processes of the subcommand whose options have these values.
pub(crate) fn find(subcommand: &str, options: &[(&str, &str)]) -> Vec<Handle> {
    process::find(|words| is_it(words, subcommand, options)).collect()
}

fn is_it(words: &[&[u8]], subcommand: &str, options: &[(&str, &str)]) -> bool {
    let has = |(option, value): &(&str, &str)| {
        words.windows(2).any(|pair| pair[0] == option.as_bytes() && pair[1] == value.as_bytes())
    };
    words.get(1) == Some(&subcommand.as_bytes()) && options.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subcommand_and_all_options_decide() {
        let words: Vec<&[u8]> = vec![b"proa", b"node", b"--number", b"2", b"--data-dir", b"/d"];
        assert!(is_it(&words, "node", &[("--data-dir", "/d"), ("--number", "2")]));
        assert!(!is_it(&words, "node", &[("--data-dir", "/d"), ("--number", "3")]));
        assert!(!is_it(&words, "server", &[]));
    }
}

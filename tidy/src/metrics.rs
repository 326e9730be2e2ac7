//! One file names every metric, so that an operator finds them all there.

use proc_macro2::{TokenStream, TokenTree};

use crate::{
    Finding,
    workspace::{Purpose, Source},
};

const HOMES: &[&str] = &["media-server/src/metrics.rs", "tidy/src/metrics.rs"];
/// How the name of a metric begins.
const PREFIX: &str = "\"sidetone_";

/// Product code outside that file that names a metric.
pub fn strays(source: &Source) -> Vec<Finding> {
    if source.purpose == Purpose::Test || HOMES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if let Ok(tokens) = source.text.parse::<TokenStream>() {
        search(tokens, &mut lines);
    }
    let findings = lines.into_iter().map(|line| {
        let place = format!("{}:{line}", source.path);
        Finding::new(
            "metrics",
            place,
            format!("names a metric; they live in {}", HOMES[0]),
        )
    });
    findings.collect()
}

fn search(tokens: TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Literal(literal) if is_metric(&literal.to_string()) => {
                lines.push(literal.span().start().line);
            }
            TokenTree::Group(group) => search(group.stream(), lines),
            TokenTree::Literal(_) | TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// `sidetone_calls_live`: lower case, digits and underscores throughout.
fn is_metric(literal: &str) -> bool {
    let Some(rest) = literal.strip_prefix(PREFIX) else {
        return false;
    };
    let name = rest.trim_end_matches('"');
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_named_elsewhere_is_found() {
        let text = "fn f() { count!(\"sidetone_calls_total\"); }";
        assert_eq!(
            strays(&Source::new("media-server/src/calls.rs", text)).len(),
            1
        );
        assert_eq!(
            strays(&Source::new("media-server/src/metrics.rs", text)),
            []
        );
        let other = "fn f() { file(\"sidetone.toml\"); count(\"Sidetone_x\"); }";
        assert_eq!(strays(&Source::new("media-server/src/calls.rs", other)), []);
    }
}

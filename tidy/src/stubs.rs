//! Nothing unfinished: no `todo!`, no `unimplemented!`, no ignored test.

use proc_macro2::{TokenStream, TokenTree};

use crate::{Finding, workspace::Source};

/// Unfinished places in a source, tests included.
pub fn stubs(source: &Source) -> Vec<Finding> {
    let Ok(tokens) = source.text.parse::<TokenStream>() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    search(tokens, &mut found);
    let findings = found.into_iter().map(|(line, what)| {
        let place = format!("{}:{line}", source.path);
        Finding::new("stub", place, what)
    });
    findings.collect()
}

fn search(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) => {
                let called =
                    matches!(tokens.get(at + 1), Some(TokenTree::Punct(p)) if p.as_char() == '!');
                if called && (name == "todo" || name == "unimplemented") {
                    found.push((
                        name.span().start().line,
                        format!("{name}! is a promise, not code"),
                    ));
                }
            }
            TokenTree::Group(group) => {
                if at > 0 && is_hash(&tokens[at - 1]) && starts_with_ignore(group.stream()) {
                    let line = group.span_open().start().line;
                    found.push((line, "an ignored test proves nothing".into()));
                }
                search(group.stream(), found);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn is_hash(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == '#')
}

fn starts_with_ignore(attribute: TokenStream) -> bool {
    matches!(attribute.into_iter().next(), Some(TokenTree::Ident(name)) if name == "ignore")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_and_ignored_tests_are_found_also_inside_macros() {
        let text = r##"
            fn a() { todo!() }
            fn b() { assert!(c(unimplemented!("later"))) }
            #[test]
            #[ignore = "slow"]
            fn d() {}
            fn fine() { let todo = 1; let ignore = "todo!()"; }
        "##;
        let findings = stubs(&Source::new("a.rs", text));
        let places: Vec<&str> = findings.iter().map(|f| f.place.as_str()).collect();
        assert_eq!(places, ["a.rs:2", "a.rs:3", "a.rs:5"]);
    }
}

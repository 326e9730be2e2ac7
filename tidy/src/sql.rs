//! SQL, and the package that runs it, live in `control-api/src/store`.

use proc_macro2::{TokenStream, TokenTree};

use crate::{
    Finding,
    workspace::{Purpose, Source},
};

/// Where it is allowed; and here, where it is only named.
const HOMES: &[&str] = &["control-api/src/store", "tidy/src/sql.rs"];

/// How a statement begins. Lower or upper case, followed by a space.
const STATEMENTS: &[&str] = &[
    "select ",
    "insert into ",
    "delete from ",
    "create table ",
    "create index ",
    "drop table ",
    "alter table ",
    "pragma ",
    "with recursive ",
];

/// Product code outside the store that holds SQL or names `sqlx`.
pub fn strays(source: &Source) -> Vec<Finding> {
    if source.purpose == Purpose::Test || HOMES.iter().any(|home| source.path.starts_with(home)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Ok(tokens) = source.text.parse::<TokenStream>() {
        search(tokens, &mut found);
    }
    let findings = found
        .into_iter()
        .map(|(line, what)| Finding::new("sql", format!("{}:{line}", source.path), what));
    findings.collect()
}

fn search(tokens: TokenStream, found: &mut Vec<(usize, &'static str)>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) if name == "sqlx" => {
                found.push((name.span().start().line, "names sqlx outside the store"));
            }
            TokenTree::Literal(literal) if is_statement(&literal.to_string()) => {
                found.push((literal.span().start().line, "holds SQL outside the store"));
            }
            TokenTree::Group(group) => search(group.stream(), found),
            TokenTree::Ident(_) | TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
    }
}

fn is_statement(literal: &str) -> bool {
    let text = literal.trim_start_matches(['r', '#', '"', ' ', '\n', '\t']);
    let text: String = text
        .chars()
        .take(200)
        .collect::<String>()
        .to_ascii_lowercase();
    let updates = text.starts_with("update ") && text.contains(" set ");
    updates || (STATEMENTS.iter().any(|start| text.starts_with(start)) && speaks_sql(&text))
}

/// "select a table" is English; SQL goes on with one of these.
fn speaks_sql(text: &str) -> bool {
    let words = [
        " from ", "*", "(", " values", " set ", " where ", " on ", "=", " 1",
    ];
    words.iter().any(|word| text.contains(word)) || !text.starts_with("select ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strays_of(path: &str, text: &str) -> usize {
        strays(&Source::new(path, text)).len()
    }

    #[test]
    fn statements_outside_the_store_are_found() {
        for text in [
            r#"const Q: &str = "select id from calls where id = $1";"#,
            r##"const Q: &str = r#"  INSERT INTO calls (id) VALUES ($1)"#;"##,
            r#"fn f() { query("update calls set state = 'ended'"); }"#,
            r#"fn f() { run!("DELETE FROM calls"); }"#,
            r#"use sqlx::Pool;"#,
        ] {
            assert_eq!(
                strays_of("control-api/src/routes/calls.rs", text),
                1,
                "{text}"
            );
            assert_eq!(
                strays_of("control-api/src/store/calls.rs", text),
                0,
                "{text}"
            );
        }
    }

    #[test]
    fn english_is_no_sql() {
        for text in [
            r#"const A: &str = "update the draft first";"#,
            r#"const A: &str = "select another slot";"#,
            r#"const A: &str = "delete it";"#,
        ] {
            assert_eq!(
                strays_of("control-api/src/routes/calls.rs", text),
                0,
                "{text}"
            );
        }
    }
}

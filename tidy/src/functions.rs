//! How long functions are: none over 80 lines, nine in ten at most 40, the median at most 9.
//!
//! A line counts when it holds code: blank lines and comments are free. Tests are not counted.

use syn::{
    Block, ImplItemFn, ItemFn, ItemMod, Signature, TraitItemFn,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use crate::{
    Finding,
    workspace::{Source, is_test},
};

const LONGEST: usize = 80;
const NINTH_DECILE: usize = 40;
const MEDIAN: usize = 9;

/// One function with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// `path::name`.
    pub place: String,
    /// Lines that hold code, from signature to closing brace.
    pub lines: usize,
}

/// The product functions of a source.
pub fn functions(source: &Source) -> Vec<Function> {
    let mut finder = Finder {
        path: &source.path,
        text: &source.text,
        found: Vec::new(),
    };
    if let Some(file) = source.file() {
        finder.visit_file(&file);
    }
    finder.found
}

/// Functions over the limit.
pub fn too_long(functions: &[Function]) -> Vec<Finding> {
    let long = functions.iter().filter(|function| function.lines > LONGEST);
    long.map(|function| {
        let what = format!("{} lines of code, more than {LONGEST}", function.lines);
        Finding::new("function-length", &function.place, what)
    })
    .collect()
}

/// Whether the whole is too long-winded.
pub fn distribution(functions: &[Function]) -> Vec<Finding> {
    let mut lines: Vec<usize> = functions.iter().map(|function| function.lines).collect();
    lines.sort_unstable();
    let at = |share: usize| lines.get(lines.len() * share / 100).copied().unwrap_or(0);
    let mut findings = Vec::new();
    for (name, value, bar) in [
        ("median", at(50), MEDIAN),
        ("ninth decile", at(90), NINTH_DECILE),
    ] {
        if value > bar {
            let what = format!(
                "{value} lines over {} functions, more than {bar}",
                lines.len()
            );
            findings.push(Finding::new("function-distribution", name, what));
        }
    }
    findings
}

struct Finder<'a> {
    path: &'a str,
    text: &'a str,
    found: Vec<Function>,
}

impl Finder<'_> {
    fn note(&mut self, signature: &Signature, block: &Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        let body = self.text.lines().skip(first - 1).take(last + 1 - first);
        self.found.push(Function {
            place: format!("{}::{}", self.path, signature.ident),
            lines: body.filter(|line| holds_code(line)).count(),
        });
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if !is_test(&function.attrs) {
            self.note(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_test(&function.attrs) {
            self.note(&function.sig, &function.block);
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.note(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Whether a line is more than white space and comment.
pub(crate) fn holds_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lines(name: &str, lines: usize) -> String {
        let body = "    step();\n".repeat(lines - 2);
        format!("fn {name}() {{\n    // free of charge\n\n{body}}}\n")
    }

    fn parse(text: &str) -> Vec<Function> {
        functions(&Source::new("a/src/lib.rs", text))
    }

    #[test]
    fn comments_and_blank_lines_are_free() {
        assert_eq!(parse(&of_lines("f", 12))[0].lines, 12);
    }

    #[test]
    fn a_function_of_81_lines_is_found_wherever_it_stands() {
        let (fits, long) = (of_lines("fits", 80), of_lines("long", 81));
        let text = format!("{fits} struct S; impl S {{\n{long}}} mod inner {{ {long} }}");
        let findings = too_long(&parse(&text));
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].place, "a/src/lib.rs::long");
    }

    #[test]
    fn tests_may_be_long() {
        let long = of_lines("long", 100);
        let text = format!("#[test]\n{long} #[cfg(test)] mod tests {{ {long} }}");
        assert_eq!(parse(&text), []);
    }

    #[test]
    fn a_long_winded_whole_is_found_though_no_function_is_too_long() {
        let whole = |lines: usize| -> Vec<Function> {
            (0..10).flat_map(|_| parse(&of_lines("f", lines))).collect()
        };
        assert_eq!(distribution(&whole(9)), []);
        let places: Vec<String> = distribution(&whole(10))
            .into_iter()
            .map(|f| f.place)
            .collect();
        assert_eq!(places, ["median"]);
        assert_eq!(distribution(&whole(41)).len(), 2);
    }
}

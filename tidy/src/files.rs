//! Files: none of more than 600 lines outside its tests, none with a name that says nothing.

use syn::{Item, spanned::Spanned as _};

use crate::{
    Finding,
    workspace::{Source, Workspace, is_test},
};

const LONGEST: usize = 600;

/// Names that end up holding everything.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "manager", "misc",
];

/// Product sources that are too long.
pub fn too_long(source: &Source) -> Vec<Finding> {
    let lines = product_lines(source);
    if lines <= LONGEST {
        return Vec::new();
    }
    let what = format!("{lines} lines outside its tests, more than {LONGEST}");
    vec![Finding::new("file-length", &source.path, what)]
}

/// Lines of a source, without its test items.
fn product_lines(source: &Source) -> usize {
    let items = source.file().map(|file| file.items).unwrap_or_default();
    let tests: usize = items.iter().map(test_lines).sum();
    source.text.lines().count().saturating_sub(tests)
}

fn test_lines(item: &Item) -> usize {
    let attributes = match item {
        Item::Mod(module) => &module.attrs,
        Item::Fn(function) => &function.attrs,
        Item::Impl(block) => &block.attrs,
        _ => return 0,
    };
    if is_test(attributes) {
        item.span().end().line + 1 - item.span().start().line
    } else {
        0
    }
}

/// Files whose names say nothing, and `mod.rs`.
pub fn names(workspace: &Workspace) -> Vec<Finding> {
    let rust = workspace.paths.iter().filter(|path| path.ends_with(".rs"));
    rust.filter_map(|path| name(path)).collect()
}

fn name(path: &str) -> Option<Finding> {
    let found = |what: &str| Some(Finding::new("file-name", path, what));
    if path.ends_with("/mod.rs") {
        return found("a module is foo.rs beside foo/, never mod.rs");
    }
    let mut parts = path.trim_end_matches(".rs").split('/');
    let empty = parts.find(|part| EMPTY_NAMES.contains(part))?;
    found(&format!("'{empty}' says nothing about what is inside"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_601_lines_is_found_and_its_tests_are_free() {
        let product = "struct A;\n".repeat(600);
        let tests = format!(
            "#[cfg(test)]\nmod tests {{\n{}}}\n",
            "    struct B;\n".repeat(500)
        );
        let fits = Source::new("a.rs", &format!("{product}{tests}"));
        assert_eq!(too_long(&fits), []);
        let long = Source::new("a.rs", &format!("{product}struct C;\n{tests}"));
        assert_eq!(too_long(&long).len(), 1);
    }

    #[test]
    fn empty_names_are_found() {
        for bad in [
            "a/src/utils.rs",
            "a/src/common/x.rs",
            "a/src/leg/mod.rs",
            "a/src/manager.rs",
        ] {
            assert!(name(bad).is_some(), "{bad}");
        }
        for good in ["a/src/model.rs", "a/src/commonwealth.rs", "a/src/leg.rs"] {
            assert_eq!(name(good), None);
        }
    }
}

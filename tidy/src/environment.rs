//! Only `settings` reads the environment: what a server obeys is in its files, or named there.

use crate::{
    Finding,
    workspace::{Purpose, Source},
};

/// Where it is allowed; and here, where it is only named.
const HOMES: &[&str] = &["crates/settings/", "tidy/src/environment.rs"];
const READS: &[&str] = &["env::var(", "env::var_os(", "env::vars(", "env::vars_os("];

/// Product code outside `settings` that reads the environment.
pub fn reads(source: &Source) -> Vec<Finding> {
    if source.purpose == Purpose::Test || HOMES.iter().any(|home| source.path.starts_with(home)) {
        return Vec::new();
    }
    let lines = product_text(source);
    let reading = lines.iter().filter(|(_, line)| {
        let clap = line.contains("#[arg(") && line.replace(' ', "").contains("env=");
        clap || READS.iter().any(|read| line.contains(read))
    });
    reading
        .map(|(number, _)| {
            let place = format!("{}:{number}", source.path);
            Finding::new("environment", place, "ask settings::variable instead")
        })
        .collect()
}

/// Code lines with their numbers, without comments, up to a test module at the end.
fn product_text(source: &Source) -> Vec<(usize, &str)> {
    let numbered = source.text.lines().enumerate();
    numbered
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| crate::functions::holds_code(line))
        .map(|(at, line)| (at + 1, line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(path: &str, text: &str) -> Vec<String> {
        let source = Source::new(path, text);
        reads(&source)
            .into_iter()
            .map(|found| found.place)
            .collect()
    }

    #[test]
    fn a_read_outside_settings_is_found() {
        let text = "fn f() {\n    let key = std::env::var(\"KEY\");\n}\n";
        assert_eq!(
            places("media-server/src/cli.rs", text),
            ["media-server/src/cli.rs:2"]
        );
        let clap = "struct A {\n    #[arg(long, env = \"KEY\")]\n    key: String,\n}\n";
        assert_eq!(
            places("media-server/src/cli.rs", clap),
            ["media-server/src/cli.rs:2"]
        );
    }

    #[test]
    fn settings_tests_comments_and_arguments_are_free() {
        let text = "fn f() {\n    std::env::var_os(\"KEY\");\n}\n";
        assert!(places("crates/settings/src/environment.rs", text).is_empty());
        assert!(places("media-server/tests/kill.rs", text).is_empty());
        let module = format!(
            "// std::env::var(\nfn g() {{ std::env::args(); }}\n#[cfg(test)]\nmod tests {{ {text} }}"
        );
        assert!(places("media-server/src/cli.rs", &module).is_empty());
    }
}

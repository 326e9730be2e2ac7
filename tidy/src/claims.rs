//! What `docs/rfc.md` claims of an RFC, and `docs/failures.md` of the failure catalogue, a test shows: each row names one
//! that exists. Whether they ran, `scripts/run-tests sum` checks against the results.

use crate::{
    Finding,
    workspace::{Purpose, Source},
};

/// A file with tables of claims. The first cell of a row is a number, the last names tests.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The rule that its findings break.
    pub rule: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// The header of the tables that are read.
    header: [&'static str; 4],
}

/// What is claimed of RFCs.
pub const RFC: Table = Table {
    rule: "rfc",
    path: "docs/rfc.md",
    header: ["RFC", "section", "claim", "test"],
};

/// What went wrong elsewhere.
pub const FAILURES: Table = Table {
    rule: "failures",
    path: "docs/failures.md",
    header: ["row", "what went wrong there", "what happens here", "test"],
};

/// A test as a row names it: `` `sip-core any_order.rs::every_call_ends_once` ``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The line in the table's file, from 1.
    pub line: usize,
    /// The number in the row's first cell.
    pub number: u32,
    /// The crate.
    pub krate: String,
    /// A file below its `tests/`, or below the crate itself when it begins with `src/`.
    pub file: String,
    /// The function.
    pub test: String,
}

/// The tests that the tables of `text` name, and the rows that are not as they should be.
pub fn read(table: &Table, text: &str) -> (Vec<Named>, Vec<Finding>) {
    let (mut named, mut wrong) = (Vec::new(), Vec::new());
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let cells = cells(line);
        if cells == table.header {
            inside = true;
        } else if cells.is_empty() {
            inside = false;
        } else if inside && !is_rule(&cells) {
            match row(table, index + 1, &cells) {
                Ok(tests) => named.extend(tests),
                Err(what) => wrong.push(finding(table, index + 1, what)),
            }
        }
    }
    (named, wrong)
}

fn finding(table: &Table, line: usize, what: String) -> Finding {
    Finding::new(table.rule, format!("{}:{line}", table.path), what)
}

/// The cells of a table's line; none when it is no such line.
fn cells(line: &str) -> Vec<&str> {
    let Some(inner) = line.trim().strip_prefix('|') else {
        return Vec::new();
    };
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    inner.split('|').map(str::trim).collect()
}

fn is_rule(cells: &[&str]) -> bool {
    cells
        .iter()
        .all(|cell| cell.starts_with('-') || cell.starts_with(":-"))
}

fn row(table: &Table, line: usize, cells: &[&str]) -> Result<Vec<Named>, String> {
    let [number, second, third, tests] = cells else {
        return Err(format!(
            "a row has {} cells, not these 4: {:?}",
            cells.len(),
            table.header
        ));
    };
    let number = number.parse();
    let number = number.map_err(|_| format!("'{}' is not a number", cells[0]))?;
    if second.is_empty() || third.is_empty() {
        return Err(format!("a row needs {:?}", &table.header[1..3]));
    }
    let quoted = tests.split('`').skip(1).step_by(2);
    let named = quoted.map(|text| parse((line, number), text));
    let named: Option<Vec<Named>> = named.collect();
    match named {
        Some(named) if !named.is_empty() => Ok(named),
        Some(_) | None => Err(format!(
            "'{tests}' names no test: write `crate file.rs::test`"
        )),
    }
}

fn parse((line, number): (usize, u32), text: &str) -> Option<Named> {
    let (krate, place) = text.split_once(' ')?;
    let (file, test) = place.rsplit_once("::")?;
    let file = file.trim();
    let file = match file.ends_with(".rs") {
        true => file.to_owned(),
        false => format!("{file}.rs"),
    };
    Some(Named {
        line,
        number,
        krate: krate.trim().to_owned(),
        file,
        test: test.trim().to_owned(),
    })
}

/// The named tests that are not in `sources`.
pub fn missing(table: &Table, named: &[Named], sources: &[Source]) -> Vec<Finding> {
    let absent = named.iter().filter_map(|one| {
        let what = absent(one, sources)?;
        Some(finding(table, one.line, what))
    });
    absent.collect()
}

/// The numbers of `rows` that no row has.
pub fn left_out(
    table: &Table,
    named: &[Named],
    rows: std::ops::RangeInclusive<u32>,
) -> Vec<Finding> {
    let gone = rows.filter(|number| named.iter().all(|one| one.number != *number));
    gone.map(|number| finding(table, 0, format!("there is no row {number}")))
        .collect()
}

fn absent(named: &Named, sources: &[Source]) -> Option<String> {
    let folder = match named.file.starts_with("src/") {
        true => "",
        false => "tests/",
    };
    let Named {
        krate, file, test, ..
    } = named;
    let paths = [
        format!("crates/{krate}/{folder}{file}"),
        format!("{krate}/{folder}{file}"),
    ];
    let Some(source) = sources.iter().find(|source| paths.contains(&source.path)) else {
        return Some(format!("there is no file {folder}{file} in {krate}"));
    };
    if source.purpose == Purpose::Product && !source.text.contains("#[cfg(test)]") {
        return Some(format!("{} holds no tests", source.path));
    }
    (!has_test(&source.text, test)).then(|| format!("{} has no test {test}", source.path))
}

/// Whether a function of this name stands there with a test's attribute above it.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let found = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| begins.iter().any(|begin| line.starts_with(begin.as_str())));
    found.into_iter().any(|(at, _)| {
        let above = lines[..at].iter().rev();
        above
            .take_while(|line| line.starts_with('#') || line.starts_with("//"))
            .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "words\n\n| RFC | section | claim | test |\n|---|---|---|---|\n\
        | 3261 | 17.2.1 | a copy gets the answer again | `sip-core answers.rs::a_copy`, `media-server wire_x::t06` |\n\
        | SIP | 1 | x | `a b::c` |\n| 3261 | 1 | x |  |\n| 3261 | 1 | x |\n\n| other | table |\n";

    fn sources() -> Vec<Source> {
        vec![
            Source::new(
                "crates/sip-core/tests/answers.rs",
                "#[test]\n// why\nfn a_copy() {}\nfn helper() {}\n",
            ),
            Source::new(
                "media-server/tests/wire_x.rs",
                "#[tokio::test(flavor = \"multi_thread\")]\nasync fn t06() {}\n",
            ),
        ]
    }

    #[test]
    fn rows_are_read_and_what_is_no_row_is_said() {
        let (named, wrong) = read(&RFC, TABLE);
        let names: Vec<&str> = named.iter().map(|one| one.test.as_str()).collect();
        assert_eq!(names, ["a_copy", "t06"]);
        assert_eq!(named[1].file, "wire_x.rs");
        let places: Vec<&str> = wrong.iter().map(|f| f.place.as_str()).collect();
        assert_eq!(
            places,
            ["docs/rfc.md:6", "docs/rfc.md:7", "docs/rfc.md:8"],
            "{wrong:?}"
        );
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let (named, _) = read(&RFC, TABLE);
        assert_eq!(missing(&RFC, &named, &sources()), []);
        assert_eq!(left_out(&RFC, &named, 3261..=3261), []);
        assert_eq!(left_out(&RFC, &named, 3260..=3262).len(), 2);
        let other = |krate: &str, file: &str, test: &str| {
            let one = Named {
                line: 1,
                number: 1,
                krate: krate.into(),
                file: file.into(),
                test: test.into(),
            };
            missing(&RFC, &[one], &sources()).len()
        };
        assert_eq!(other("sip-core", "answers.rs", "helper"), 1, "no test");
        assert_eq!(other("sip-core", "answers.rs", "gone"), 1);
        assert_eq!(other("sip-core", "gone.rs", "a_copy"), 1);
        assert_eq!(other("media-server", "answers.rs", "a_copy"), 1);
    }
}

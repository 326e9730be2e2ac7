//! SQLite and PostgreSQL move together: the same migrations, by name, in both folders.

use std::collections::BTreeSet;

use crate::Finding;

/// Migrations that one engine has and the other lacks, and names out of order.
pub fn unequal(paths: &[String]) -> Vec<Finding> {
    let of = |engine: &str| -> BTreeSet<String> {
        let folder = format!("migrations/{engine}/");
        let names = paths.iter().filter_map(|path| path.strip_prefix(&folder));
        names.map(str::to_owned).collect()
    };
    let (sqlite, postgres) = (of("sqlite"), of("postgres"));
    let mut findings: Vec<Finding> = sqlite
        .symmetric_difference(&postgres)
        .map(|name| Finding::new("migrations", name, "only one engine has it"))
        .collect();
    for (at, name) in sqlite.iter().enumerate() {
        if !name.starts_with(&format!("{:04}_", at + 1)) {
            let what = format!("should be number {:04}", at + 1);
            findings.push(Finding::new("migrations", name, what));
        }
    }
    if sqlite.is_empty() {
        findings.push(Finding::new("migrations", "migrations/sqlite", "has none"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str]) -> usize {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        unequal(&paths).len()
    }

    #[test]
    fn a_migration_for_one_engine_alone_is_found() {
        let both = [
            "migrations/sqlite/0001_a.sql",
            "migrations/postgres/0001_a.sql",
        ];
        assert_eq!(check(&both), 0);
        assert_eq!(check(&both[..1]), 1);
        assert_eq!(check(&both[1..]), 2, "and SQLite has none at all");
    }

    #[test]
    fn a_gap_in_the_numbers_is_found() {
        let gap = [
            "migrations/sqlite/0001_a.sql",
            "migrations/sqlite/0003_b.sql",
            "migrations/postgres/0001_a.sql",
            "migrations/postgres/0003_b.sql",
        ];
        assert_eq!(check(&gap), 1);
    }
}

//! The rules over this repository, one test each.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use cargo_metadata::MetadataCommand;
use tidy::{
    Finding, claims, direction, environment, exceptions::Exceptions, files, functions, hosts,
    manifests, metrics, migrations, packages, sql, stubs, workspace::Workspace,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn workspace() -> &'static Workspace {
    static LOADED: OnceLock<Workspace> = OnceLock::new();
    LOADED.get_or_init(|| Workspace::load(&root()).unwrap())
}

fn exceptions() -> Exceptions {
    let text = fs::read_to_string(root().join("tidy/exceptions.toml")).unwrap();
    Exceptions::parse(&text).unwrap()
}

/// Fails with every finding that is not excused.
fn hold(rule: &'static str, findings: Vec<Finding>) {
    let left = exceptions().judge(rule, findings);
    let text: Vec<String> = left.iter().map(Finding::to_string).collect();
    assert!(left.is_empty(), "\n{}\n", text.join("\n"));
}

fn all_functions() -> Vec<functions::Function> {
    workspace()
        .product()
        .flat_map(functions::functions)
        .collect()
}

#[test]
fn dependencies_point_the_right_way() {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        // Packages for other systems need not be here.
        .other_options([
            "--offline".to_owned(),
            "--filter-platform".to_owned(),
            platform,
        ])
        .exec()
        .unwrap();
    let members: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    assert!(members.len() >= 12, "{members:?}");
    hold(
        "direction",
        direction::directions(&direction::graph(&metadata), &members),
    );
}

#[test]
fn each_protocol_package_has_one_home() {
    hold(
        "package-home",
        packages::homes(workspace().sources.iter(), packages::HOMES),
    );
}

#[test]
fn no_function_is_longer_than_a_screen() {
    hold("function-length", functions::too_long(&all_functions()));
}

#[test]
fn most_functions_are_short() {
    hold(
        "function-distribution",
        functions::distribution(&all_functions()),
    );
}

#[test]
fn no_file_is_too_long() {
    hold(
        "file-length",
        workspace().product().flat_map(files::too_long).collect(),
    );
}

#[test]
fn names_say_what_is_inside() {
    hold("file-name", files::names(workspace()));
}

#[test]
fn nothing_is_unfinished_or_ignored() {
    hold(
        "stub",
        workspace().sources.iter().flat_map(stubs::stubs).collect(),
    );
}

#[test]
fn only_settings_reads_the_environment() {
    hold(
        "environment",
        workspace()
            .sources
            .iter()
            .flat_map(environment::reads)
            .collect(),
    );
}

#[test]
fn one_file_names_every_metric() {
    hold(
        "metrics",
        workspace()
            .sources
            .iter()
            .flat_map(metrics::strays)
            .collect(),
    );
}

#[test]
fn sql_stays_in_the_store() {
    hold(
        "sql",
        workspace().sources.iter().flat_map(sql::strays).collect(),
    );
}

#[test]
fn both_engines_have_the_same_migrations() {
    hold("migrations", migrations::unequal(&workspace().paths));
}

#[test]
fn every_crate_takes_the_lints_and_one_registry() {
    let workspace = workspace();
    let manifests = workspace
        .paths
        .iter()
        .filter(|path| path.ends_with("Cargo.toml"));
    let read = |path: &str| workspace.text(path);
    let mut findings: Vec<Finding> = manifests
        .flat_map(|path| manifests::lints(path, &read(path).unwrap_or_default()))
        .collect();
    findings.extend(manifests::core_lints(read));
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    findings.extend(manifests::sources(&lock));
    hold("manifest", findings);
}

#[test]
fn no_file_names_a_package_mirror() {
    hold("hosts", hosts::mirrors(workspace()));
}

#[test]
fn every_claim_about_an_rfc_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/rfc.md")).unwrap();
    let (named, mut findings) = claims::read(&claims::RFC, &text);
    assert!(named.len() >= 40, "only {} tests are named", named.len());
    findings.extend(claims::missing(&claims::RFC, &named, &workspace().sources));
    hold("rfc", findings);
}

#[test]
fn every_row_of_the_failure_catalogue_names_a_test_that_exists() {
    let table = &claims::FAILURES;
    let text = fs::read_to_string(root().join(table.path)).unwrap();
    let (named, mut findings) = claims::read(table, &text);
    findings.extend(claims::left_out(table, &named, 1..=18));
    findings.extend(claims::missing(table, &named, &workspace().sources));
    hold(table.rule, findings);
}

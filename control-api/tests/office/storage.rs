//! The database itself: migrations that meet, names that agree, keys in files.

use std::{collections::BTreeSet, process::Command};

use control_api::store::Db;
use sqlx::{Connection as _, Row as _};

use model::CallId;

use crate::{
    harness::{TestApp, fresh_postgres},
    story::Switch,
};

/// Three programs and three tasks meet on one empty database.
async fn migrate_at_once(url: &str) {
    let programs: Vec<_> = (0..3)
        .map(|_| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_control-api"));
            command.args(["migrate", "--database-url", url]);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().expect("control-api runs")
        })
        .collect();
    let tasks = (0..3).map(|_| async {
        let db = Db::open(url).await?;
        let applied = db.migrate().await;
        db.close().await;
        applied
    });
    let applied = futures_util::future::join_all(tasks).await;
    for one in &applied {
        assert!(one.is_ok(), "{one:?}");
    }
    for program in programs {
        let output = program.wait_with_output().expect("control-api ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    let db = Db::open(url).await.expect("the database opens");
    assert_eq!(db.migrate().await.expect("nothing to do"), 0);
    assert_eq!(db.revision().await.expect("a revision"), 1);
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_meet_on_an_empty_sqlite_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/sidetone.db");
    migrate_at_once(&format!("sqlite://{}", path.display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_meet_on_an_empty_postgres_database() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match fresh_postgres().await {
        Ok(url) => migrate_at_once(&url).await,
        Err(reason) => println!("SKIP migrations_meet_on_an_empty_postgres_database: {reason}"),
    }
}

/// `table.column nullable` of every column, as SQLite tells.
async fn sqlite_columns(url: &str) -> BTreeSet<String> {
    let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
    let query = "select m.name as t, c.name as c, c.\"notnull\" as n, c.pk as pk from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table' and m.name not like 'sqlite_%'";
    let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    let column = |row: &sqlx::sqlite::SqliteRow| {
        let wanted: i64 = row.get("n");
        let key: i64 = row.get("pk");
        let null = if wanted == 1 || key > 0 {
            "not null"
        } else {
            "null"
        };
        format!(
            "{}.{} {null}",
            row.get::<String, _>("t"),
            row.get::<String, _>("c")
        )
    };
    rows.iter().map(column).collect()
}

async fn postgres_columns(url: &str) -> BTreeSet<String> {
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let query = "select table_name::text as t, column_name::text as c, is_nullable::text as n from information_schema.columns where table_schema = 'public'";
    let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    let column = |row: &sqlx::postgres::PgRow| {
        let null = if row.get::<String, _>("n") == "YES" {
            "null"
        } else {
            "not null"
        };
        format!(
            "{}.{} {null}",
            row.get::<String, _>("t"),
            row.get::<String, _>("c")
        )
    };
    rows.iter().map(column).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_tables_and_columns() {
    let sqlite = TestApp::sqlite().await;
    let url = match fresh_postgres().await {
        Ok(url) => url,
        Err(reason) => {
            println!("SKIP both_engines_have_the_same_tables_and_columns: {reason}");
            return;
        }
    };
    let postgres = TestApp::start(Some(url), |_| {}).await;
    let one = sqlite_columns(&sqlite.config.database_url).await;
    let two = postgres_columns(&postgres.config.database_url).await;
    assert!(one.len() > 100, "{}", one.len());
    let differ: Vec<_> = one.symmetric_difference(&two).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

#[test]
fn migrations_have_the_same_names_for_both_engines() {
    let names = |engine: &str| -> BTreeSet<String> {
        let folder = format!("{}/../migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).expect("a folder").flatten();
        files
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    assert!(!names("sqlite").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_key_is_written_once_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = TestApp::sqlite().await;
    let file = app.config.admin_key_file.clone();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(app.office.admin_key().created);
    let database = app.config.database_url.replace("sqlite://", "");
    let dump = std::fs::read(&database).unwrap();
    let wal = std::fs::read(format!("{database}-wal")).unwrap_or_default();
    let secret = app.admin.as_bytes();
    let found = [dump, wal]
        .iter()
        .any(|text| text.windows(secret.len()).any(|part| part == secret));
    assert!(!found, "the database holds the key itself");
    let app = app.restart(|_| {}).await;
    assert!(!app.office.admin_key().created);
    app.read("/v1/me", &app.admin).await;
    // The operator took the key away: no start makes another one.
    std::fs::remove_file(&file).unwrap();
    let app = app.restart(|_| {}).await;
    assert!(!file.exists());
    app.read("/v1/me", &app.admin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_the_command_line_works() {
    let app = TestApp::sqlite().await;
    let tenant = app.tenant("harbour").await;
    let create = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_control-api"));
        command.args(["key", "create", "--database-url", &app.config.database_url]);
        command.args(arguments).output().expect("control-api runs")
    };
    let made = create(&[
        "--tenant",
        "harbour",
        "--role",
        "viewer",
        "--scopes",
        "calls:read",
    ]);
    assert!(made.status.success(), "{made:?}");
    let key = String::from_utf8(made.stdout).unwrap();
    let me = app.read("/v1/me", key.trim()).await;
    assert_eq!(me["tenant"]["id"], tenant.id);
    assert_eq!(me["scopes"], serde_json::json!(["calls:read"]));
    for wrong in [
        &["--tenant", "nobody", "--role", "viewer"][..],
        &["--tenant", "harbour", "--role", "king"],
        &[
            "--tenant",
            "harbour",
            "--role",
            "viewer",
            "--scopes",
            "agents:write",
        ],
        &["--tenant", "-", "--role", "viewer"],
        &["--tenant", "harbour", "--role", "platform_admin"],
    ] {
        let refused = create(wrong);
        assert!(!refused.status.success(), "{wrong:?}");
        assert!(refused.stdout.is_empty());
    }
}

/// The program as an operator starts it: keys in files, an address in the log, an end on SIGTERM.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_serves_and_stops() {
    use std::io::{BufRead as _, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_control-api"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(dir.path())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("control-api runs");
    let lines = BufReader::new(program.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let mark = "listening on ";
    let line = lines.find(|line| line.contains(mark)).expect("an address");
    let url = line.split(mark).nth(1).unwrap();
    let url: String = url
        .chars()
        .take_while(|c| !matches!(c, '"' | ' '))
        .collect();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |name: &str| std::fs::read_to_string(dir.path().join("data").join(name)).unwrap();
    let http = reqwest::Client::new();
    let me = http
        .get(format!("{url}/v1/me"))
        .bearer_auth(read("admin.key").trim());
    assert_eq!(me.send().await.unwrap().status(), 200);
    let snapshot = http.get(format!("{url}/internal/v1/snapshot"));
    let snapshot = snapshot.bearer_auth(read("node.key").trim());
    assert_eq!(snapshot.send().await.unwrap().status(), 200);
    let pid = program.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    let rest: Vec<String> = lines.collect();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "{rest:?}");
    let key = read("admin.key");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &rest.join("") + &line;
    assert!(
        !said.contains(key.trim()),
        "a key is printed to a terminal only"
    );
}

/// Three offices start on one empty database at once; what one is told, a listener of another
/// hears.
#[tokio::test(flavor = "multi_thread")]
async fn three_offices_share_one_empty_database() {
    let url = match fresh_postgres().await {
        Ok(url) => url,
        Err(reason) => {
            println!("SKIP three_offices_share_one_empty_database: {reason}");
            return;
        }
    };
    let shared = tempfile::tempdir().unwrap();
    let key = shared.path().join("admin.key");
    let starts = (0..3).map(|_| {
        TestApp::start(Some(url.clone()), |config| {
            config.admin_key_file.clone_from(&key);
        })
    });
    let offices = futures_util::future::join_all(starts).await;
    let made = offices.iter().filter(|app| app.office.admin_key().created);
    assert_eq!(made.count(), 1);
    let tenant = offices[0].tenant("harbour").await;
    let agent = offices[1].agent(&tenant, "receptionist").await;
    let path = "/v1/stream?types=call.ended";
    let request = offices[2].request(reqwest::Method::GET, path, &tenant.key);
    let mut stream = request.send().await.unwrap();
    let (switch, call) = (Switch::new(1), CallId::new(5, 5));
    let facts = switch.call(call, &tenant, &agent);
    let (first, second) = facts.split_at(6);
    let (a, b) = (&offices[0], &offices[1]);
    futures_util::future::join(a.take(switch, first), b.take(switch, second)).await;
    let mut heard = String::new();
    while !heard.contains("\n\n") {
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(
        heard.contains("event: call.ended") && heard.contains(&call.to_string()),
        "{heard}"
    );
    let record = offices[2]
        .read(&format!("/v1/calls/{call}"), &tenant.key)
        .await;
    assert_eq!(record["state"], "ended");
    assert_eq!(record["metrics"]["segments"], 2);
}

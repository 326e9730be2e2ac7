//! An office of its own for each test: port 0, a fresh SQLite file or a fresh PostgreSQL database.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use control_api::{Office, OfficeConfig};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tempfile::TempDir;

/// The key of the tests' switches.
pub const NODE_KEY: &str = "sn_a_node_key_for_tests_only";

/// An office, and a client for it.
pub struct TestApp {
    pub office: Office,
    pub config: OfficeConfig,
    pub admin: String,
    pub http: reqwest::Client,
    _dir: TempDir,
}

/// A tenant, and an owner key of it.
pub struct TestTenant {
    pub id: String,
    pub key: String,
}

/// PostgreSQL for this test program: the one that `TEST_DATABASE_URL` names, else one that
/// `scripts/postgres-for-tests` starts and that ends with this process (its stdin is ours).
struct Postgres {
    url: String,
    _child: Option<Child>,
}

fn postgres_server() -> &'static Result<Postgres, String> {
    static SERVER: OnceLock<Result<Postgres, String>> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => Ok(Postgres { url, _child: None }),
        Err(_) => start_postgres(),
    })
}

fn start_postgres() -> Result<Postgres, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres-for-tests");
    let mut child = Command::new(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|fault| fault.to_string())?;
    let mut url = String::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut url);
    }
    if url.trim().is_empty() {
        let output = child
            .wait_with_output()
            .map_err(|fault| fault.to_string())?;
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(Postgres {
        url: url.trim().to_owned(),
        _child: Some(child),
    })
}

/// A fresh database on the tests' PostgreSQL, or why there is none.
pub async fn fresh_postgres() -> Result<String, String> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let server = tokio::task::spawn_blocking(postgres_server)
        .await
        .expect("the starter does not panic")
        .as_ref()
        .map_err(Clone::clone)?;
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("sidetone_{}_{number}", std::process::id());
    let mut connection = sqlx::PgConnection::connect(&server.url)
        .await
        .map_err(|fault| fault.to_string())?;
    let create = sqlx::AssertSqlSafe(format!("create database {name}"));
    sqlx::raw_sql(create)
        .execute(&mut connection)
        .await
        .map_err(|fault| fault.to_string())?;
    let (base, _) = server
        .url
        .rsplit_once('/')
        .ok_or("a URL without a database")?;
    Ok(format!("{base}/{name}"))
}

impl TestApp {
    pub async fn sqlite() -> Self {
        Self::start(None, |_| {}).await
    }

    /// An office on PostgreSQL; without one the case says SKIP.
    pub async fn postgres(case: &str) -> Option<Self> {
        match fresh_postgres().await {
            Ok(url) => Some(Self::start(Some(url), |_| {}).await),
            Err(reason) => {
                println!("SKIP {case} on PostgreSQL: {reason}");
                None
            }
        }
    }

    /// An office on a database (none = a fresh SQLite file), with other settings.
    pub async fn start(url: Option<String>, change: impl FnOnce(&mut OfficeConfig)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut config = OfficeConfig::local(dir.path().join("data"));
        config.listen = ([127, 0, 0, 1], 0).into();
        config.node_keys = vec![NODE_KEY.to_owned()];
        if let Some(url) = url {
            config.database_url = url;
        }
        change(&mut config);
        let office = Office::start(config.clone())
            .await
            .expect("the office starts");
        let admin = std::fs::read_to_string(&config.admin_key_file).expect("an admin key");
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client");
        Self {
            office,
            config,
            admin: admin.trim().to_owned(),
            http,
            _dir: dir,
        }
    }

    /// Stops the office and starts it again on the same data, with other settings.
    pub async fn restart(self, change: impl FnOnce(&mut OfficeConfig)) -> Self {
        let mut config = self.config;
        self.office.shutdown().await;
        change(&mut config);
        let office = Office::start(config.clone())
            .await
            .expect("the office starts again");
        Self {
            office,
            config,
            admin: self.admin,
            http: self.http,
            _dir: self._dir,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.office.base_url())
    }

    pub fn request(&self, method: Method, path: &str, key: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(path));
        if key.is_empty() {
            return request;
        }
        request.header("authorization", format!("Bearer {key}"))
    }

    pub async fn get(&self, path: &str, key: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path, key).send().await).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = self.request(method, path, key).json(&body);
        answer(request.send().await).await
    }

    pub async fn post(&self, path: &str, key: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, key, body).await
    }

    /// A POST that must succeed.
    pub async fn made(&self, path: &str, key: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, key, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// A GET that must succeed.
    pub async fn read(&self, path: &str, key: &str) -> Value {
        let (status, answer) = self.get(path, key).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// A tenant with an owner key.
    pub async fn tenant(&self, slug: &str) -> TestTenant {
        let body = json!({"slug": slug, "name": slug, "timezone": "Europe/Paris"});
        let tenant = self.made("/v1/tenants", &self.admin, body).await;
        let id = text(&tenant, "/id");
        let key = self.key(&id, "owner").await;
        TestTenant { id, key }
    }

    /// A key of a role in a tenant.
    pub async fn key(&self, tenant: &str, role: &str) -> String {
        let request = self.request(Method::POST, "/v1/api-keys", &self.admin);
        let body = json!({"name": role, "role": role});
        let request = request.header("x-tenant-id", tenant).json(&body);
        let (status, made) = answer(request.send().await).await;
        assert_eq!(status, 201, "{made}");
        text(&made, "/key")
    }

    /// An agent with one published version; its id.
    pub async fn agent(&self, tenant: &TestTenant, slug: &str) -> String {
        let body = json!({"slug": slug, "config": config()});
        let agent = self.made("/v1/agents", &tenant.key, body).await;
        let id = text(&agent, "/id");
        let path = format!("/v1/agents/{id}/publish");
        self.made(&path, &tenant.key, json!({"note": "first"}))
            .await;
        id
    }

    /// Asks again until `done` likes the answer.
    pub async fn until(&self, path: &str, key: &str, done: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let answer = self.read(path, key).await;
            if done(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} never became what was waited for");
    }
}

/// Status and JSON body of an answer.
pub async fn answer(response: reqwest::Result<Response>) -> (StatusCode, Value) {
    let response = response.expect("the office answers");
    let status = response.status();
    let body = response.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&body).unwrap_or(Value::String(body)),
    )
}

/// The text at a pointer.
pub fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
        .to_owned()
}

/// A receptionist that is always open and has two tables an hour.
pub fn config() -> Value {
    json!({
        "display_name": "Ada",
        "greeting": "Hello.",
        "brain": {
            "kind": "script",
            "business": "the Harbour Restaurant",
            "zone": "Europe/Paris",
            "opening_hours": [{
                "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
                "opens": "12:00",
                "closes": "23:00",
            }],
            "prices": [{"item": "the tasting menu", "cents": 5500, "currency": "EUR"}],
            "booking": {"resource": "tables", "tables": 2, "max_party": 8, "slot_minutes": 60},
        },
        "tools": ["book_table", "end_call"],
    })
}

//! `control-api`: the office as a program of its own.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use control_api::{
    Bucket, Office, OfficeConfig,
    auth::{Role, Scope, key},
    envelope::{KeySource, Keys},
    node_key_from_file,
    store::Db,
};
use model::TenantId;
use tracing_subscriber::EnvFilter;

/// The office of Sidetone: REST, the record of every call, and what switches route from.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Migrates the database and serves.
    Serve(Serve),
    /// Brings the database to this version's shape; safe to run anywhere, any time.
    Migrate(Database),
    /// Prints the OpenAPI document.
    Openapi,
    /// Seals every password anew under the newest key, so that older keys can be removed.
    Rekey(Rekey),
    /// API keys.
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Args)]
struct Database {
    /// sqlite://PATH or postgres://USER@HOST/NAME
    #[arg(long, default_value = "sqlite://data/sidetone.db")]
    database_url: String,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    database: Database,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Recordings are kept in it.
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,
    /// Keys of switches, one on each line; made when missing.
    #[arg(long, default_value = "data/node.key")]
    node_key_file: PathBuf,
    /// Where the first start writes the admin key.
    #[arg(long, default_value = "data/admin.key")]
    admin_key_file: PathBuf,
    #[command(flatten)]
    recordings: Recordings,
    #[command(flatten)]
    envelope: Envelope,
}

/// Recordings in an S3 bucket. The id of its key and the key are in SIDETONE_RECORDINGS__ACCESS_KEY and SIDETONE_RECORDINGS__SECRET_KEY.
#[derive(Args)]
struct Recordings {
    /// The bucket that recordings go to; without it they stay in the data folder.
    #[arg(long)]
    recordings_bucket: Option<String>,
    /// The service, https://s3.example; without it Amazon's in the region.
    #[arg(long, requires = "recordings_bucket")]
    recordings_endpoint: Option<String>,
    /// Its region.
    #[arg(long, default_value = "us-east-1")]
    recordings_region: String,
    /// What the names of objects begin with.
    #[arg(long, default_value = "", hide_default_value = true)]
    recordings_prefix: String,
    /// A file with the id of the key and the key, one on each line, instead of the environment.
    #[arg(long, requires = "recordings_bucket")]
    recordings_key_file: Option<PathBuf>,
}

impl Recordings {
    fn bucket(self) -> anyhow::Result<Option<Bucket>> {
        let Some(name) = self.recordings_bucket else {
            return Ok(None);
        };
        let (access_key, secret_key) = match self.recordings_key_file {
            Some(path) => key_in(&path)?,
            None => (
                key_from("SIDETONE_RECORDINGS__ACCESS_KEY")?,
                key_from("SIDETONE_RECORDINGS__SECRET_KEY")?,
            ),
        };
        Ok(Some(Bucket {
            name,
            endpoint: self.recordings_endpoint,
            region: self.recordings_region,
            prefix: self.recordings_prefix,
            access_key,
            secret_key,
        }))
    }
}

fn key_from(name: &str) -> anyhow::Result<String> {
    let found = settings::variable(name).map(|text| text.expose().to_owned());
    found.with_context(|| format!("a bucket needs {name}, or --recordings-key-file"))
}

fn key_in(path: &std::path::Path) -> anyhow::Result<(String, String)> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines().map(|line| line.trim().to_owned());
    match (lines.next(), lines.next()) {
        (Some(id), Some(key)) if !id.is_empty() && !key.is_empty() => Ok((id, key)),
        _ => bail!(
            "{} needs the id of the key and the key, one on each line",
            path.display()
        ),
    }
}

#[derive(Args)]
struct Rekey {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    envelope: Envelope,
}

#[derive(Args)]
struct Envelope {
    /// Keys that seal passwords in the database, the newest first, one on each line; made when missing.
    /// SIDETONE_ENVELOPE_KEY goes before it.
    #[arg(long, default_value = "data/envelope.key")]
    envelope_key_file: PathBuf,
}

impl Envelope {
    fn source(self) -> anyhow::Result<KeySource> {
        Ok(match settings::variable("SIDETONE_ENVELOPE_KEY") {
            Some(text) => KeySource::Keys(Keys::read(text.expose())?),
            None => KeySource::File(self.envelope_key_file),
        })
    }
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Makes an API key and prints it, once.
    Create(CreateKey),
}

#[derive(Args)]
struct CreateKey {
    #[command(flatten)]
    database: Database,
    /// The tenant's id or slug; - for a platform key.
    #[arg(long)]
    tenant: String,
    /// platform_admin, owner, admin, member, desk_agent or viewer
    #[arg(long)]
    role: String,
    /// Fewer rights than the role's, by comma (agents:read,calls:read).
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// A name for people.
    #[arg(long, default_value = "command line")]
    name: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        bail!("another crypto provider was installed before ours");
    }
    match cli.command {
        Command::Serve(args) => serve(args).await,
        Command::Migrate(args) => migrate(&args).await,
        Command::Rekey(args) => rekey(args).await,
        Command::Openapi => print_out(&control_api::openapi_text()?),
        Command::Key(KeyCommand::Create(args)) => create_key(args).await,
    }
}

fn log() {
    let filter = EnvFilter::new("info,sqlx=warn");
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.init();
    } else {
        logs.json().init();
    }
}

fn print_out(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

async fn serve(args: Serve) -> anyhow::Result<()> {
    log();
    let config = OfficeConfig {
        database_url: args.database.database_url,
        listen: args.listen,
        node_keys: node_key_from_file(&args.node_key_file)?,
        admin_key_file: args.admin_key_file,
        envelope: args.envelope.source()?,
        bucket: args.recordings.bucket()?,
        ..OfficeConfig::local(args.data_dir)
    };
    let office = Office::start(config).await?;
    tell_admin_key(&office);
    tracing::info!("listening on {}", office.base_url());
    asked_to_stop().await?;
    tracing::info!("closing");
    office.shutdown().await;
    Ok(())
}

/// A key is printed to a terminal only: logs are kept, and read by others.
fn tell_admin_key(office: &Office) {
    let key = office.admin_key();
    if !key.created {
        return;
    }
    let path = key.path.display();
    let text = std::fs::read_to_string(&key.path).unwrap_or_default();
    if std::io::stdout().is_terminal() {
        println!("admin key (also in {path}): {}", text.trim());
    } else {
        tracing::info!("the admin key is in {path}");
    }
}

async fn asked_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = term.recv() => {}
        done = tokio::signal::ctrl_c() => done?,
    }
    Ok(())
}

async fn migrate(args: &Database) -> anyhow::Result<()> {
    let db = Db::open(&args.database_url).await?;
    let applied = db.migrate().await?;
    db.close().await;
    print_out(&format!(
        "{applied} migrations applied, the database is current\n"
    ))
}

async fn rekey(args: Rekey) -> anyhow::Result<()> {
    let keys = args.envelope.source()?.load()?;
    let db = Db::open(&args.database.database_url).await?;
    db.migrate().await?;
    let done = control_api::rekey(&db, &keys).await?;
    db.close().await;
    print_out(&format!(
        "{} sealed anew, {} were under {} already: the other keys can be removed\n",
        done.changed,
        done.kept,
        keys.active_id()
    ))
}

async fn create_key(args: CreateKey) -> anyhow::Result<()> {
    let Ok(role) = args.role.parse::<Role>() else {
        bail!("'{}' is no role: {}", args.role, names(Role::ALL));
    };
    let mut scopes = role.scopes();
    if !args.scopes.is_empty() {
        scopes = read_scopes(&args.scopes, role)?;
    }
    let db = Db::open(&args.database.database_url).await?;
    db.migrate().await?;
    let tenant = find_tenant(&db, &args.tenant).await?;
    if role.is_platform() != tenant.is_none() {
        bail!("platform_admin goes with --tenant -, every other role with a tenant");
    }
    let (new, secret) = key::make(tenant, args.name, role, scopes, None);
    db.add_key(&new).await?;
    db.close().await;
    print_out(&format!("{}\n", secret.text.as_str()))
}

fn read_scopes(names_given: &[String], role: Role) -> anyhow::Result<Vec<Scope>> {
    let of_role = role.scopes();
    let read = |name: &String| match name.parse::<Scope>() {
        Ok(scope) if of_role.contains(&scope) => Ok(scope),
        _ => bail!("'{name}' is no scope of {role}: {}", names(&of_role)),
    };
    names_given.iter().map(read).collect()
}

fn names<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
}

async fn find_tenant(db: &Db, text: &str) -> anyhow::Result<Option<TenantId>> {
    if text == "-" {
        return Ok(None);
    }
    let found = match text.parse() {
        Ok(id) => db.tenant(id).await?,
        Err(_) => db.tenant_by_slug(text).await?,
    };
    let tenant = found.with_context(|| format!("there is no tenant '{text}'"))?;
    Ok(Some(tenant.id))
}

//! The name service: the one file that knows the resolver. It keeps answers for as long as their TTL says.

use std::{net::SocketAddr, time::Duration};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use sip_core::locate::{Answer, MAX_RECORDS, Naptr, Question, Srv};

/// How long one name server has for one answer; each is asked twice.
const PATIENCE: Duration = Duration::from_millis(1_000);
/// Answers kept.
const CACHE: u64 = 4_096;
/// The longest time an answer is kept, whatever its TTL: a carrier that moves is found again.
const MAX_TTL: Duration = Duration::from_secs(3_600);
/// The longest time "there is no such name" is kept.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Names {
    resolver: Result<TokioResolver, String>,
    hosts: Hosts,
}

impl Names {
    /// `servers` are asked; without any, those of the system. A system without name servers fails at each question.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        Self {
            resolver: resolver(servers).map_err(|error| error.to_string()),
            hosts: Hosts::from_system().unwrap_or_default(),
        }
    }

    /// Whether the name stands in `/etc/hosts`, or is `localhost`.
    pub(super) fn is_local(&self, name: &str) -> bool {
        let localhost = name.eq_ignore_ascii_case("localhost");
        localhost
            || [RecordType::A, RecordType::AAAA].iter().any(|kind| {
                let Ok(name) = Name::from_ascii(name) else {
                    return false;
                };
                let query = hickory_resolver::proto::op::Query::query(name, *kind);
                self.hosts.lookup_static_host(&query).is_some()
            })
    }

    /// One question; the resolver's own time limits apply.
    pub(super) async fn ask(&self, question: &Question) -> Answer {
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(why) => return Answer::Failed(why.clone()),
        };
        match question {
            Question::Naptr(name) => {
                let found = resolver.lookup(absolute(name), RecordType::NAPTR).await;
                answer(found, naptr, Answer::Naptr)
            }
            Question::Srv(name) => {
                let found = resolver.lookup(absolute(name), RecordType::SRV).await;
                answer(found, srv, Answer::Srv)
            }
            Question::Addresses(name) => match resolver.lookup_ip(absolute(name)).await {
                Ok(found) => Answer::Addresses(found.iter().take(MAX_RECORDS).collect()),
                Err(error) => nothing_or_failed(&error),
            },
        }
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(server).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    bound(builder.options_mut());
    builder.build()
}

fn server(at: &SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = at.port();
        connection
    };
    let connections = vec![
        on_port(ConnectionConfig::udp()),
        on_port(ConnectionConfig::tcp()),
    ];
    NameServerConfig::new(at.ip(), true, connections)
}

fn bound(options: &mut ResolverOpts) {
    options.timeout = PATIENCE;
    options.attempts = 1;
    options.cache_size = CACHE;
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
}

/// A name with a dot is complete: no search domain is tried behind it.
fn absolute(name: &str) -> String {
    if name.contains('.') && !name.ends_with('.') {
        format!("{name}.")
    } else {
        name.to_owned()
    }
}

fn answer<T>(
    found: Result<Lookup, NetError>,
    read: impl Fn(&RData) -> Option<T>,
    wrap: impl Fn(Vec<T>) -> Answer,
) -> Answer {
    match found {
        Ok(found) => {
            let records = found.answers().iter().take(MAX_RECORDS);
            wrap(records.filter_map(|record| read(&record.data)).collect())
        }
        Err(error) => nothing_or_failed(&error),
    }
}

fn nothing_or_failed(error: &NetError) -> Answer {
    if error.is_no_records_found() || error.is_nx_domain() {
        Answer::Nothing
    } else {
        Answer::Failed(error.to_string())
    }
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else {
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        services: text(&record.services),
        replacement: plain(&record.replacement),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else {
        return None;
    };
    Some(Srv {
        priority: record.priority,
        weight: record.weight,
        port: record.port,
        target: plain(&record.target),
    })
}

/// Without the dot at the end; the root stays `.`, which means "not offered".
fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        Some(_) | None => text,
    }
}

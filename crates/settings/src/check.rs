//! Checks across files: what each file alone cannot know.

pub(crate) mod outbound;
pub(crate) mod sounds;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use call_core::dialplan::Dialplans;
use call_core::document::{Document, Fault};

use crate::{Auth, Known, Mode, Profile, Server, Transport, Trunk};

/// A file that was read, with its places.
pub(crate) struct Read<T> {
    pub(crate) document: Document,
    pub(crate) value: T,
}

pub(crate) fn together(
    server: Option<&Read<Server>>,
    profiles: &[Read<Profile>],
    dialplans: Option<&Dialplans>,
    environment: &BTreeMap<String, String>,
    known: &Known<'_>,
    faults: &mut Vec<Fault>,
) {
    if let Some(server) = server {
        control(server, faults);
        crate::recordings::check(server, faults);
        crate::providers::check(server, known, faults);
    }
    node_key(server, profiles, environment, faults);
    for profile in profiles {
        codecs(profile, known, faults);
        access(profile, faults);
        rtp(profile, faults);
        tls(profile, faults);
        crate::signalling::session_timer(profile, faults);
        if let Some(dialplans) = dialplans {
            context(profile, dialplans, faults);
        }
    }
    sockets(server, profiles, faults);
    trunks(profiles, faults);
    if let Some(server) = server {
        outbound::policy(server, profiles, faults);
        crate::stir::roots(server, profiles, faults);
    }
}

fn control(server: &Read<Server>, faults: &mut Vec<Fault>) {
    if server.value.mode == Mode::Switch && server.value.control.url.is_none() {
        let fault = server
            .document
            .fault("/mode", "a switch needs `url` in [control]");
        faults.push(fault.hint("url = \"https://office.example\", or mode = \"all-in-one\""));
    }
}

/// Beyond loopback the key that seals the disk must come from outside of it.
fn node_key(
    server: Option<&Read<Server>>,
    profiles: &[Read<Profile>],
    environment: &BTreeMap<String, String>,
    faults: &mut Vec<Fault>,
) {
    if environment
        .get("SIDETONE_NODE_KEY")
        .is_some_and(|key| !key.is_empty())
    {
        return;
    }
    let message = "a node that listens beyond loopback needs its key in SIDETONE_NODE_KEY";
    if let Some(open) = profiles.iter().find(|profile| !profile.value.is_loopback()) {
        faults.push(open.document.fault("/listen", message));
    } else if let Some(server) = server.filter(|server| !server.value.http.bind.ip().is_loopback())
    {
        faults.push(server.document.fault("/http/bind", message));
    }
}

fn codecs(profile: &Read<Profile>, known: &Known<'_>, faults: &mut Vec<Fault>) {
    for (at, codec) in profile.value.codecs.iter().enumerate() {
        let pointer = format!("/codecs/{at}");
        if !known.codecs.contains(&codec.as_str()) {
            let fault = profile
                .document
                .fault(&pointer, format!("there is no codec `{codec}`"));
            faults.push(fault.hint(format!("there is: {}", known.codecs.join(", "))));
        }
        if profile
            .value
            .codecs
            .iter()
            .take(at)
            .any(|earlier| earlier == codec)
        {
            faults.push(
                profile
                    .document
                    .fault(&pointer, format!("codec `{codec}` is listed twice")),
            );
        }
    }
}

fn access(profile: &Read<Profile>, faults: &mut Vec<Fault>) {
    let has_sources = profile
        .value
        .trunks
        .iter()
        .any(|trunk| !trunk.sources.is_empty());
    match profile.value.auth {
        Auth::None => {
            for (at, listen) in profile.value.listen.iter().enumerate() {
                if !listen.addr.ip().is_loopback() {
                    let message = format!("{listen} would take calls from everybody");
                    let fault = profile.document.fault(&format!("/listen/{at}"), message);
                    faults.push(fault.hint(
                        "auth = \"digest\", or \"acl\" with `sources` in a [[trunk]], or an address on 127.0.0.1",
                    ));
                }
            }
        }
        Auth::Acl if !has_sources => {
            let fault = profile
                .document
                .fault("/auth", "nobody may call: no [[trunk]] names `sources`");
            faults.push(fault.hint("sources = [\"192.76.120.10/32\"] in a [[trunk]]"));
        }
        Auth::Acl | Auth::Digest => {}
    }
    for (at, trunk) in profile.value.trunks.iter().enumerate() {
        login(profile, at, trunk, faults);
    }
}

/// What a trunk needs to register, and what its password is for.
fn login(profile: &Read<Profile>, at: usize, trunk: &Trunk, faults: &mut Vec<Fault>) {
    let mut fault = |field: &str, message: &str| {
        let pointer = format!("/trunk/{at}{field}");
        faults.push(profile.document.fault(&pointer, message));
    };
    if trunk.register && (trunk.username.is_none() || trunk.proxy.is_none()) {
        fault("/register", "a registration needs `proxy` and `username`");
    }
    if trunk.password.is_some() && trunk.username.is_none() && trunk.auth_user.is_none() {
        fault("/password", "a password goes with a `username`");
    }
}

/// What is listened on with TLS needs a certificate, and who checks clients needs to know against what.
fn tls(profile: &Read<Profile>, faults: &mut Vec<Fault>) {
    let tls = &profile.value.tls;
    let complete = tls.certificate.is_some() && tls.key.is_some();
    for (at, listen) in profile.value.listen.iter().enumerate() {
        if listen.transport.is_secure() && !complete {
            let message = format!("{listen} needs a certificate and its key");
            let fault = profile.document.fault(&format!("/listen/{at}"), message);
            faults.push(fault.hint("tls = { certificate = \"cert.pem\", key = \"key.pem\" }"));
        }
    }
    if tls.verify_clients && tls.ca.is_none() {
        let message = "`verify_clients` needs `ca`: the authority that their certificates are of";
        faults.push(profile.document.fault("/tls/verify_clients", message));
    }
}

fn rtp(profile: &Read<Profile>, faults: &mut Vec<Fault>) {
    let rtp = &profile.value.rtp;
    for (at, listen) in profile.value.listen.iter().enumerate() {
        let port = listen.addr.port();
        if listen.transport.is_datagram() && (rtp.first_port..=rtp.last_port).contains(&port) {
            let message = format!(
                "port {port} lies in the range for RTP, {}-{}",
                rtp.first_port, rtp.last_port
            );
            faults.push(profile.document.fault(&format!("/listen/{at}"), message));
        }
    }
}

fn context(profile: &Read<Profile>, dialplans: &Dialplans, faults: &mut Vec<Fault>) {
    if dialplans.context(&profile.value.context).is_none() {
        let message = format!("no dialplan has the context `{}`", profile.value.context);
        let names: Vec<&str> = dialplans.names().collect();
        let fault = profile.document.fault("/context", message);
        faults.push(fault.hint(format!("there is: {}", names.join(", "))));
    }
}

/// A socket and who wants it.
struct Claim<'a> {
    document: &'a Document,
    pointer: String,
    transport: Transport,
    addr: SocketAddr,
    owner: String,
}

fn sockets(server: Option<&Read<Server>>, profiles: &[Read<Profile>], faults: &mut Vec<Fault>) {
    let mut claims = Vec::new();
    for profile in profiles {
        for (at, listen) in profile.value.listen.iter().enumerate() {
            claims.push(Claim {
                document: &profile.document,
                pointer: format!("/listen/{at}"),
                transport: listen.transport,
                addr: listen.addr,
                owner: format!("profile `{}`", profile.value.name),
            });
        }
    }
    if let Some(server) = server {
        claims.push(server_claim(
            server,
            "/http/bind",
            server.value.http.bind,
            "[http]",
        ));
        claims.push(server_claim(
            server,
            "/ops/bind",
            server.value.ops.bind,
            "[ops]",
        ));
    }
    for (at, claim) in claims.iter().enumerate() {
        if let Some(earlier) = claims
            .iter()
            .take(at)
            .find(|earlier| collide(earlier, claim))
        {
            let message = format!(
                "{}://{} is taken by {} already",
                claim.transport, claim.addr, earlier.owner
            );
            faults.push(claim.document.fault(&claim.pointer, message));
        }
    }
}

fn server_claim<'a>(
    server: &'a Read<Server>,
    pointer: &str,
    addr: SocketAddr,
    owner: &str,
) -> Claim<'a> {
    Claim {
        document: &server.document,
        pointer: pointer.to_owned(),
        transport: Transport::Tcp,
        addr,
        owner: owner.to_owned(),
    }
}

/// `0.0.0.0` takes the port on every address.
fn collide(a: &Claim<'_>, b: &Claim<'_>) -> bool {
    let (x, y) = (a.addr.ip(), b.addr.ip());
    let overlap =
        x == y || (x.is_ipv4() == y.is_ipv4() && (x.is_unspecified() || y.is_unspecified()));
    a.transport.is_datagram() == b.transport.is_datagram()
        && a.addr.port() == b.addr.port()
        && a.addr.port() != 0
        && overlap
}

fn trunks(profiles: &[Read<Profile>], faults: &mut Vec<Fault>) {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for profile in profiles {
        let mut sources = BTreeMap::new();
        for (at, trunk) in profile.value.trunks.iter().enumerate() {
            let pointer = format!("/trunk/{at}");
            if let Some(owner) = names.insert(&trunk.name, &profile.value.name) {
                let message = format!(
                    "trunk `{}` is defined already, in profile `{owner}`",
                    trunk.name
                );
                faults.push(profile.document.fault(&format!("{pointer}/name"), message));
            }
            for (nth, source) in trunk.sources.iter().enumerate() {
                if outbound::is_told_apart(trunk) {
                    continue;
                }
                if let Some(other) = sources.insert(*source, &trunk.name) {
                    let message = format!("{source} belongs to trunk `{other}` already");
                    faults.push(
                        profile
                            .document
                            .fault(&format!("{pointer}/sources/{nth}"), message),
                    );
                }
            }
            if trunk.ping.is_some() && trunk.proxy.is_none() {
                faults.push(profile.document.fault(
                    &format!("{pointer}/ping"),
                    "`ping` needs `proxy`: nobody to ask",
                ));
            }
        }
    }
}

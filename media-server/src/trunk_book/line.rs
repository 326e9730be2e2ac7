//! One trunk as the running server uses it, whoever wrote it down.

use std::net::IpAddr;

use call_core::{
    country::{self, Country},
    trunk::{NumberPlan, Spelling},
};
use control_api::envelope::NodeSeal;
use model::{
    TenantId, TrunkId,
    trunk::{
        NumberSpelling, TrunkConfig, TrunkEntry, TrunkIdentityIn, TrunkIdentityOut, TrunkMode,
        TrunkNumbers, TrunkPace, TrunkStir, USUAL_PROFILE,
    },
};
use settings::{
    Cidr, IdentityIn, IdentityOut, Numbers, Pace, Secret, StirPolicy, Transport, Trunk,
};
use sip_core::{
    digest::Login,
    identity::{Caller, Named, Naming, Source},
    value::Uri,
};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkLine {
    /// Its name: an operator's own, or `tenant/name`.
    pub name: String,
    /// The profile that carries it.
    pub profile: String,
    /// Whose it is; none = the operator's.
    pub tenant: Option<TenantId>,
    /// Its id at the office: other switches have it too, its limits are for all together, and one of them registers. None
    /// for a trunk of the files.
    pub id: Option<TrunkId>,
    /// What is written about it, the carrier's part filled in.
    pub settings: Trunk,
    /// How it writes numbers.
    pub plan: NumberPlan,
    /// Which headers are asked who calls, in order.
    pub identity_in: Vec<Source>,
    /// How our callers are named to it.
    pub naming: Naming,
    /// The headers its calls must carry.
    pub headers: Vec<(String, String)>,
    /// With what we answer its challenges.
    pub login: Option<TrunkLogin>,
}

/// A user and a password, and the realm they are for.
#[derive(Debug, Clone, PartialEq)]
pub struct TrunkLogin {
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// Where it may be used; none = in any realm of the trunk's own hosts.
    pub realm: Option<String>,
}

impl TrunkLine {
    /// A trunk of the files; `None` when it belongs to a tenant that is not there.
    pub(super) fn of_file(
        profile: &settings::Profile,
        trunk: &Trunk,
        id: impl Fn(&str) -> Option<TenantId>,
    ) -> Option<TrunkLine> {
        let tenant = match &trunk.tenant {
            None => None,
            Some(slug) => Some(id(slug)?),
        };
        Some(TrunkLine::new(profile, trunk.clone(), tenant))
    }

    /// A trunk of the office; `None` when its profile is not there. What the office let pass and
    /// this server cannot read is left out of it, so that one wrong line costs one trunk.
    pub(super) fn of_office(
        settings: &settings::Settings,
        entry: &TrunkEntry,
        slug: &str,
        seal: &NodeSeal,
    ) -> Option<TrunkLine> {
        let wanted = entry.config.profile.as_deref().unwrap_or(USUAL_PROFILE);
        let mut profiles = settings.profiles.iter();
        let profile = profiles.find(|profile| profile.name == wanted)?;
        let mut trunk = of_config(&entry.config)?;
        trunk.name = format!("{slug}/{}", entry.name);
        let carrier = entry.config.carrier.as_deref();
        let mut carriers = settings.carriers.iter();
        if let Some(carrier) = carriers.find(|known| Some(known.name.as_str()) == carrier) {
            trunk.complete(carrier);
        }
        let mut line = TrunkLine::new(profile, trunk, Some(entry.tenant));
        line.login = login(entry, seal);
        line.id = Some(entry.id);
        Some(line)
    }

    fn new(profile: &settings::Profile, trunk: Trunk, tenant: Option<TenantId>) -> TrunkLine {
        let order = trunk.identity_in.clone();
        let order =
            order.unwrap_or_else(|| vec![IdentityIn::Pai, IdentityIn::Rpid, IdentityIn::From]);
        let named = trunk.identity_out.or(profile.identity_out);
        let headers = trunk.headers.iter();
        TrunkLine {
            name: trunk.name.clone(),
            profile: profile.name.clone(),
            tenant,
            id: None,
            plan: trunk.number_plan(),
            identity_in: order.into_iter().map(source).collect(),
            naming: naming(named.unwrap_or_default()),
            headers: headers
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            settings: trunk,
            login: None,
        }
    }

    /// What the trunk's challenges are answered with, in registrations and calls alike: in its realm, else in the host's
    /// that it is.
    pub fn answers(&self) -> Option<Login> {
        let own = self.host().map(ToOwned::to_owned);
        let realms = |realm: Option<&str>| match realm {
            // Whatever it calls itself first, and nothing else.
            Some("*") => Vec::new(),
            Some(realm) => vec![realm.to_owned()],
            None => own.into_iter().collect(),
        };
        if let Some(login) = &self.login {
            return Some(Login {
                user: login.username.clone(),
                password: login.password.expose().to_owned().into(),
                realms: realms(login.realm.as_deref()),
            });
        }
        let trunk = &self.settings;
        let user = trunk.auth_user.clone().or_else(|| trunk.username.clone())?;
        Some(Login {
            user,
            password: trunk.password.as_ref()?.expose().to_owned().into(),
            realms: realms(trunk.realm.as_deref()),
        })
    }

    /// The length of the network that a source fits.
    pub fn bits(&self, source: IpAddr) -> Option<u8> {
        let sources = self.settings.sources.iter();
        let fitting = sources.filter(|network| network.contains(source));
        fitting.map(Cidr::length).max()
    }

    /// The limits of our calls over it.
    pub fn pace(&self) -> Pace {
        self.settings.pace.clone().unwrap_or_default()
    }

    /// Its country.
    pub fn country(&self) -> Option<&'static Country> {
        self.settings.country.as_deref().and_then(country::by_code)
    }

    /// The host it is reached at, without its port.
    pub fn host(&self) -> Option<&str> {
        let proxy = self.settings.proxy.as_deref()?;
        let host = match proxy.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            Some(_) | None => proxy,
        };
        Some(host.trim_matches(['[', ']']))
    }

    /// The Request-URI for a number (E.164, or an emergency code) over this trunk.
    pub fn target(&self, number: &str) -> Option<Uri> {
        let proxy = self.settings.proxy.as_deref()?;
        let user = Uri::sip(Some(&self.plan.written(number)), "x.invalid", None).ok()?;
        let user = user
            .user_raw()
            .map(|raw| String::from_utf8_lossy(raw).into_owned())?;
        let phone = if self.user_phone() { ";user=phone" } else { "" };
        format!("sip:{user}@{proxy}{phone}").parse().ok()
    }

    /// From and the identity headers of a call of ours: `number` is who calls (E.164), or nobody
    /// we may name; then the trunk's own number stands in.
    pub fn named(
        &self,
        number: Option<&str>,
        display: Option<&str>,
        hidden: bool,
        host: &str,
    ) -> Option<Named> {
        let number = number.or(self.settings.caller.as_deref());
        let caller = Caller {
            display: display.map(ToOwned::to_owned),
            user: number.map_or_else(|| "anonymous".to_owned(), |n| self.own(n)),
            host: host.to_owned(),
            hidden: hidden || number.is_none(),
            user_phone: self.user_phone(),
        };
        let naming = match number {
            Some(_) => self.naming,
            None => Naming::FromAlone,
        };
        caller.named(naming)
    }

    /// A caller's number as the carrier wants it; technical prefixes are for called numbers.
    fn own(&self, number: &str) -> String {
        let plan = NumberPlan {
            template: None,
            ..self.plan.clone()
        };
        plan.written(number)
    }

    fn user_phone(&self) -> bool {
        self.settings.numbers.as_ref().is_some_and(|n| n.user_phone)
    }
}

/// The credentials, opened. One that does not open costs the trunk its challenges, not its calls.
fn login(entry: &TrunkEntry, seal: &NodeSeal) -> Option<TrunkLogin> {
    let username = entry.config.username.clone()?;
    let place = format!("trunks.password/{}", entry.id);
    if entry.sealed.is_empty() {
        return None;
    }
    let opened = seal.open(&place, &entry.sealed).inspect_err(|error| {
        tracing::error!(trunk = %entry.id, %error, "the trunk's password cannot be opened");
    });
    Some(TrunkLogin {
        username,
        password: Secret::new(opened.ok()?.to_string()),
        realm: entry.config.realm.clone(),
    })
}

fn source(written: IdentityIn) -> Source {
    match written {
        IdentityIn::Pai => Source::Asserted,
        IdentityIn::Rpid => Source::RemoteParty,
        IdentityIn::From => Source::From,
        IdentityIn::Diversion => Source::Diversion,
    }
}

fn naming(written: IdentityOut) -> Naming {
    match written {
        IdentityOut::Pai => Naming::Asserted,
        IdentityOut::Rpid => Naming::RemoteParty,
        IdentityOut::From => Naming::FromAlone,
    }
}

/// The office's words as the files would say it. `None` where a network cannot be read: a trunk
/// that takes calls from fewer places than its owner thinks is worse than none.
fn of_config(config: &TrunkConfig) -> Option<Trunk> {
    let sources = config.sources.iter().map(|text| text.parse().ok());
    let mut trunk = Trunk::named(String::new());
    trunk.sources = sources.collect::<Option<Vec<Cidr>>>()?;
    trunk.hosts.clone_from(&config.hosts);
    trunk.headers.clone_from(&config.headers);
    trunk.proxy.clone_from(&config.proxy);
    trunk.transport = match config.transport.as_deref() {
        Some("udp") => Some(Transport::Udp),
        Some("tcp") => Some(Transport::Tcp),
        Some("tls") => Some(Transport::Tls),
        Some(_) | None => None,
    };
    trunk.register = config.mode == TrunkMode::Register;
    trunk.username.clone_from(&config.username);
    trunk.country.clone_from(&config.country);
    trunk.caller.clone_from(&config.caller);
    trunk.ping = config
        .ping_s
        .map(|s| std::time::Duration::from_secs(s.into()));
    trunk.numbers = config.numbers.as_ref().map(numbers);
    let order = config.identity_in.as_ref();
    trunk.identity_in = order.map(|order| order.iter().copied().map(identity_in).collect());
    trunk.identity_out = config.identity_out.map(identity_out);
    trunk.stir = config.stir.map(stir);
    trunk.priority = config.priority;
    trunk.weight = config.weight.unwrap_or(trunk.weight);
    trunk.pace = config.pace.as_ref().map(pace);
    Some(trunk)
}

fn numbers(config: &TrunkNumbers) -> Numbers {
    let spelling = |written| match written {
        NumberSpelling::Auto => Spelling::Auto,
        NumberSpelling::Plus => Spelling::Plus,
        NumberSpelling::Bare => Spelling::Bare,
        NumberSpelling::National => Spelling::National,
    };
    Numbers {
        inbound: spelling(config.inbound),
        outbound: spelling(config.outbound),
        strip: config.strip.clone(),
        template: config.template.clone(),
        user_phone: config.user_phone,
    }
}

fn identity_in(written: TrunkIdentityIn) -> IdentityIn {
    match written {
        TrunkIdentityIn::Pai => IdentityIn::Pai,
        TrunkIdentityIn::Rpid => IdentityIn::Rpid,
        TrunkIdentityIn::From => IdentityIn::From,
        TrunkIdentityIn::Diversion => IdentityIn::Diversion,
    }
}

fn identity_out(written: TrunkIdentityOut) -> IdentityOut {
    match written {
        TrunkIdentityOut::Pai => IdentityOut::Pai,
        TrunkIdentityOut::Rpid => IdentityOut::Rpid,
        TrunkIdentityOut::From => IdentityOut::From,
    }
}

fn stir(written: TrunkStir) -> StirPolicy {
    match written {
        TrunkStir::Off => StirPolicy::Off,
        TrunkStir::Note => StirPolicy::Note,
        TrunkStir::Refuse => StirPolicy::Refuse,
    }
}

fn pace(config: &TrunkPace) -> Pace {
    Pace {
        cps: config.cps,
        burst: config.burst,
        wait: std::time::Duration::from_millis(config.wait_ms.into()),
        calls: config.calls,
    }
}

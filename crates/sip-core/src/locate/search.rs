//! One search: questions out, answers in, targets in the end.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::{
    Ability, Answer, LocateError, MAX_QUESTIONS, MAX_RECORDS, MAX_TARGETS, Naptr, Question, Srv,
    Target, Wanted, by_priority_and_weight,
};
use crate::flow::Transport;

/// See the module. Ask [`Self::poll_question`], give [`Self::answer`], until there is no question left.
#[derive(Debug)]
pub struct Search {
    wanted: Wanted,
    ability: Ability,
    seed: u64,
    /// What to do, the best first.
    steps: VecDeque<Step>,
    asked: usize,
    /// Whether the answer to the first step is still outstanding.
    asking: bool,
    /// Whether the domain named its transports itself; else one that it has is enough (§4.1).
    by_naptr: bool,
    found: Vec<Target>,
    failure: Option<String>,
}

#[derive(Clone, Debug)]
enum Step {
    /// §4.1: which transports does the domain offer?
    Naptr,
    /// §4.1, §4.2: which hosts?
    Srv { transport: Transport, name: String },
    /// §4.2: no SRV record of any transport: the host itself.
    Plain,
    /// Which addresses?
    Addresses {
        transport: Transport,
        name: String,
        port: u16,
    },
}

impl Search {
    /// Begins; `seed` is the randomness for SRV weights.
    pub fn new(wanted: Wanted, ability: Ability, seed: u64) -> Self {
        let mut search = Self {
            wanted,
            ability,
            seed,
            steps: VecDeque::new(),
            asked: 0,
            asking: false,
            by_naptr: false,
            found: Vec::new(),
            failure: None,
        };
        search.begin();
        search
    }

    fn begin(&mut self) {
        if let Some(ip) = self.wanted.host.ip() {
            let transport = self.transport_unasked();
            let port = self.wanted.port.unwrap_or(transport.default_port());
            return self.found(transport, ip, port);
        }
        let name = self.wanted.host.to_string();
        let unasked = self.transport_unasked();
        match (self.wanted.port, self.wanted.transport) {
            // §4.2: with a port there are no SRV records to look for, §4.1: nor NAPTR.
            (Some(port), _) => self.steps.push_back(Step::Addresses {
                transport: unasked,
                name,
                port,
            }),
            // §4.1: "if a transport protocol is specified, it is used".
            (None, Some(transport)) => self.srv_steps(&[transport]),
            (None, None) => self.steps.push_back(Step::Naptr),
        }
    }

    /// §4.1 for literal addresses and explicit ports: UDP for `sip:`, TLS for `sips:`.
    fn transport_unasked(&self) -> Transport {
        let default = if self.wanted.secure {
            Transport::Tls
        } else {
            Transport::Udp
        };
        self.wanted.transport.unwrap_or(default)
    }

    fn srv_steps(&mut self, transports: &[Transport]) {
        let host = self.wanted.host.to_string();
        for transport in transports {
            if let Some(prefix) = srv_prefix(*transport) {
                self.steps.push_back(Step::Srv {
                    transport: *transport,
                    name: format!("{prefix}.{host}"),
                });
            }
        }
        self.steps.push_back(Step::Plain);
    }

    /// The next question, or none when the search is over.
    pub fn poll_question(&mut self) -> Option<Question> {
        while !self.asking {
            if self.asked >= MAX_QUESTIONS || self.found.len() >= MAX_TARGETS {
                self.steps.clear();
            }
            match self.steps.front()? {
                Step::Plain => self.plain(),
                Step::Naptr | Step::Srv { .. } | Step::Addresses { .. } => {
                    self.asking = true;
                    self.asked += 1;
                }
            }
        }
        Some(match self.steps.front()? {
            Step::Naptr | Step::Plain => Question::Naptr(self.wanted.host.to_string()),
            Step::Srv { name, .. } => Question::Srv(name.clone()),
            Step::Addresses { name, .. } => Question::Addresses(name.clone()),
        })
    }

    /// §4.2: "if no SRV records were found, the client performs an A or AAAA record lookup of the domain name".
    fn plain(&mut self) {
        self.steps.pop_front();
        let transport = self.transport_unasked();
        self.steps.push_back(Step::Addresses {
            transport,
            name: self.wanted.host.to_string(),
            port: transport.default_port(),
        });
    }

    /// The answer to the last question.
    pub fn answer(&mut self, answer: Answer) {
        if !std::mem::take(&mut self.asking) {
            return;
        }
        let Some(step) = self.steps.pop_front() else {
            return;
        };
        if let Answer::Failed(why) = &answer {
            self.failure.get_or_insert(why.clone());
        }
        match (step, answer) {
            (Step::Naptr, Answer::Naptr(records)) => self.offered(records),
            (Step::Naptr, _) => self.offered(Vec::new()),
            (Step::Srv { transport, .. }, Answer::Srv(records)) => {
                self.served(transport, records);
            }
            (
                Step::Addresses {
                    transport, port, ..
                },
                Answer::Addresses(ips),
            ) => self.resolved(transport, port, &ips),
            (Step::Srv { .. } | Step::Addresses { .. } | Step::Plain, _) => {}
        }
    }

    /// §4.1: the services we speak, by order and preference; without any, the transports we prefer.
    fn offered(&mut self, mut records: Vec<Naptr>) {
        records.truncate(MAX_RECORDS);
        records.sort_by_key(|record| (record.order, record.preference));
        let mut services = Vec::new();
        for record in records.iter().filter(|r| r.flags.eq_ignore_ascii_case("s")) {
            let transport = transport_of_service(&record.services);
            if let Some(transport) = transport.filter(|t| self.speaks(*t)) {
                services.push(Step::Srv {
                    transport,
                    name: record.replacement.clone(),
                });
            }
        }
        if !services.is_empty() {
            self.by_naptr = true;
            self.steps.extend(services);
            return self.steps.push_back(Step::Plain);
        }
        let ours = self.ability.transports.clone();
        let ours: Vec<_> = ours.into_iter().filter(|t| self.speaks(*t)).collect();
        self.srv_steps(&ours);
    }

    /// §4.1: for `sips:` only what is secured counts.
    fn speaks(&self, transport: Transport) -> bool {
        let known = self.ability.transports.contains(&transport);
        known && (transport.is_secure() || !self.wanted.secure)
    }

    /// The hosts of one service, in the order of RFC 2782; they replace the question for the bare host.
    fn served(&mut self, transport: Transport, mut records: Vec<Srv>) {
        records.truncate(MAX_RECORDS);
        let offered: Vec<Srv> = records.into_iter().filter(|r| r.target != ".").collect();
        if offered.is_empty() {
            return;
        }
        let by_naptr = self.by_naptr;
        self.steps.retain(|step| match step {
            Step::Srv { .. } => by_naptr,
            Step::Plain | Step::Naptr => false,
            Step::Addresses { .. } => true,
        });
        let hosts = by_priority_and_weight(offered, self.seed);
        for record in hosts.into_iter().rev() {
            self.steps.push_front(Step::Addresses {
                transport,
                name: record.target,
                port: record.port,
            });
        }
    }

    fn resolved(&mut self, transport: Transport, port: u16, ips: &[IpAddr]) {
        let reachable = |v4: bool| move |ip: &&IpAddr| ip.is_ipv4() == v4;
        // Where both can be reached, IPv4 first: SIP's far sides are seldom tested over IPv6.
        let ordered = ips.iter().filter(reachable(true));
        let ordered = ordered.chain(ips.iter().filter(reachable(false)));
        for ip in ordered.take(MAX_RECORDS).copied().collect::<Vec<_>>() {
            if self.ability.reaches(ip) {
                self.found(transport, ip, port);
            }
        }
    }

    fn found(&mut self, transport: Transport, ip: IpAddr, port: u16) {
        let target = Target {
            transport,
            remote: SocketAddr::new(ip, port),
            name: self.wanted.host.clone(),
        };
        if self.found.len() < MAX_TARGETS && !self.found.contains(&target) {
            self.found.push(target);
        }
    }

    /// What was found, the best first: never empty.
    ///
    /// # Errors
    /// The name leads nowhere, or nobody could say.
    pub fn targets(self) -> Result<Vec<Target>, LocateError> {
        let name = self.wanted.host.to_string();
        match self.failure {
            _ if !self.found.is_empty() => Ok(self.found),
            Some(why) => Err(LocateError::Failed { name, why }),
            None => Err(LocateError::Nowhere(name)),
        }
    }
}

/// §4.1, §4.2 and RFC 7118 §9: the label under which a transport is announced. WebSocket servers are found by their URLs.
fn srv_prefix(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Udp => Some("_sip._udp"),
        Transport::Tcp => Some("_sip._tcp"),
        Transport::Tls => Some("_sips._tcp"),
        Transport::Ws | Transport::Wss => None,
    }
}

/// §4.1 and RFC 7118 §9.
fn transport_of_service(service: &str) -> Option<Transport> {
    let known = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
        ("SIP+D2W", Transport::Ws),
        ("SIPS+D2W", Transport::Wss),
    ];
    let mut fitting = known
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(service));
    fitting.next().map(|(_, transport)| *transport)
}

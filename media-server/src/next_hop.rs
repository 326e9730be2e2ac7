//! Where a request goes, and where it goes when that fails (RFC 3263).
//!
//! `sip_core::locate` decides what is asked and in which order the places are tried; here the
//! questions go to the name service, and what has just failed is tried last.

mod hops;
mod names;

pub use hops::{Hop, Hops};

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sip_core::{
    flow::Transport,
    locate::{Ability, Answer, Question, Search, Target, Wanted},
};
use tokio::time::{Instant, timeout};

use crate::entropy;
use names::Names;

/// A name service that has not said all in this time has failed.
const LIMIT: Duration = Duration::from_secs(5);
/// So long a place that failed is tried after all others.
const MISTRUST: Duration = Duration::from_secs(30);
/// Places remembered as failed; beyond, the oldest is forgotten.
const MAX_MISTRUSTED: usize = 1_024;

/// See the module. One per node.
pub struct NextHop {
    names: Names,
    failed: Mutex<HashMap<(Transport, SocketAddr), Instant>>,
}

impl NextHop {
    /// Asks the name servers of the settings, without any the system's.
    pub fn new(dns: &settings::Dns) -> Self {
        Self {
            names: Names::new(&dns.servers),
            failed: Mutex::default(),
        }
    }

    /// The places to try, in order; never empty.
    ///
    /// # Errors
    /// The name has no address, or no name server answered within 5 s; worded for the log.
    pub async fn find(&self, wanted: Wanted, ability: &Ability) -> Result<Vec<Target>, String> {
        let name = wanted.host.to_string();
        let found = timeout(LIMIT, self.search(wanted, ability)).await;
        let mut targets = found.map_err(|_| format!("dns: {name} was not answered"))??;
        self.trusted_first(&mut targets);
        Ok(targets)
    }

    async fn search(&self, wanted: Wanted, ability: &Ability) -> Result<Vec<Target>, String> {
        let local = self.names.is_local(&wanted.host.to_string());
        let seed = entropy::u128() as u64;
        let mut search = Search::new(wanted, ability.clone(), seed);
        while let Some(question) = search.poll_question() {
            let answer = match &question {
                // What stands in /etc/hosts is a host and has no service records.
                Question::Naptr(_) | Question::Srv(_) if local => Answer::Nothing,
                Question::Naptr(_) | Question::Srv(_) | Question::Addresses(_) => {
                    self.names.ask(&question).await
                }
            };
            search.answer(answer);
        }
        search.targets().map_err(|error| format!("dns: {error}"))
    }

    fn trusted_first(&self, targets: &mut [Target]) {
        let failed = self.failed();
        let lately = |target: &Target| {
            let at = failed.get(&(target.transport, target.remote));
            at.is_some_and(|at| at.elapsed() < MISTRUST)
        };
        targets.sort_by_key(lately);
    }

    /// This place could not be reached, did not answer, or said 503.
    pub fn failed_at(&self, transport: Transport, remote: SocketAddr) {
        let mut failed = self.failed();
        failed.retain(|_, at| at.elapsed() < MISTRUST);
        if failed.len() >= MAX_MISTRUSTED {
            let oldest = failed.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(place, _)| *place) {
                failed.remove(&oldest);
            }
        }
        failed.insert((transport, remote), Instant::now());
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<(Transport, SocketAddr), Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

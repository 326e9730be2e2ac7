//! Seeds: taken after each transition, and carried on from after a crash.

use std::time::Duration;

use bytes::Bytes;

use super::far_invite::{Accepted, FarInvite};
use super::far_request::FarRequest;
use super::near_invite::{Kind, NearInvite};
use super::ties::Ties;
use super::{
    Dialog, DialogConfig, DialogSeed, FinishedTransaction, OpenKind, OpenTransaction, Phase,
    RINGING_REPEAT, Role, Stage,
};
use crate::message::{Framing, Message, Request, parse};
use crate::offer_answer::Session;
use crate::tokens::TokenSource;
use crate::transaction::{InviteClient, InviteServer, ServerInput, ServerTransaction};
use crate::value::{Uri, ValueError};

impl Dialog {
    /// The dialog as it stands, to be kept: valid after each transition.
    pub fn seed(&self) -> DialogSeed {
        DialogSeed {
            id: self.ties.id.clone(),
            role: self.ties.role,
            stage: self.stage(),
            remote_tag: self.ties.remote_tag.clone(),
            local: self.ties.local.clone(),
            remote: self.ties.remote.clone(),
            target: self.ties.target.raw().clone(),
            routes: self.ties.routes.clone(),
            local_cseq: self.highest_cseq(),
            remote_cseq: self.ties.remote_cseq,
            flow: self.ties.flow,
            session: self.session.seed(),
            session_timer: self.timer.interval(),
            allows_update: self.ties.allows_update,
            secure: self.ties.secure,
            invite: self.open_invite_bytes(),
            invite_key: self.invite_key,
            merge_key: self.merge_key,
            open: self.open_transactions(),
        }
    }

    /// While it rings each fork counts by itself (RFC 3262 §4): who carries on goes on after the highest number.
    fn highest_cseq(&self) -> u32 {
        let forks = self.near_invites.iter().flat_map(NearInvite::forks);
        forks.fold(self.ties.local_cseq, |highest, fork| {
            highest.max(fork.ties.local_cseq)
        })
    }

    fn open_invite_bytes(&self) -> Option<Bytes> {
        match &self.phase {
            Phase::Invited { invite, .. } => Some(invite.to_bytes()),
            Phase::Calling { .. } => {
                let call = |near: &&NearInvite| matches!(near.kind, Kind::Call { .. });
                let near = self.near_invites.iter().rev().find(call);
                near.map(|near| near.request.clone())
            }
            Phase::Confirmed | Phase::Ended => None,
        }
    }

    fn open_transactions(&self) -> Vec<OpenTransaction> {
        let invites = self.far_invites.iter().filter_map(|far| {
            let (kind, response) = match &far.accepted {
                Some(accepted) => {
                    let offered = far.offered;
                    (
                        OpenKind::Unacknowledged { offered },
                        Some(&accepted.response),
                    )
                }
                None if far.tx.awaits_ack() => (OpenKind::Refused, far.tx.last_response()),
                None if far.tx.is_accepted() => (OpenKind::Acknowledged, None),
                None => return None,
            };
            Some(OpenTransaction {
                key: far.key,
                cseq: far.cseq,
                flow: far.flow,
                response: response.cloned(),
                kind,
            })
        });
        let requests = self.far_requests.iter().filter_map(|far| {
            let (response, _) = far.tx.completed()?;
            Some(OpenTransaction {
                key: far.key,
                cseq: far.cseq,
                flow: far.flow,
                response: Some(response.clone()),
                kind: OpenKind::Plain,
            })
        });
        invites.chain(requests).collect()
    }

    /// What the endpoint must remember once this dialog is dropped: answers for late retransmissions.
    pub fn finished(&self) -> Vec<FinishedTransaction> {
        let until = self.now + self.config.timers.sixty_four_t1();
        let invites = self.far_invites.iter().map(|far| FinishedTransaction {
            key: far.key,
            response: None,
            flow: far.flow,
            until,
        });
        let requests = self.far_requests.iter().filter_map(|far| {
            let (response, until) = far.tx.completed()?;
            Some(FinishedTransaction {
                key: far.key,
                response: Some(response.clone()),
                flow: far.flow,
                until,
            })
        });
        invites.chain(requests).collect()
    }

    /// Carries on from a seed: an unacknowledged 2xx is re-sent, retransmissions get their answers, `Hangup` sends what is owed
    /// (BYE, CANCEL or a refusal). The error is a seed whose target cannot be read: nothing could be sent for it.
    pub fn resume(
        now: Duration,
        config: DialogConfig,
        tokens: TokenSource,
        seed: &DialogSeed,
    ) -> Result<Self, ValueError> {
        let ties = Ties {
            id: seed.id.clone(),
            role: seed.role,
            remote_tag: seed.remote_tag.clone(),
            local: seed.local.clone(),
            remote: seed.remote.clone(),
            target: Uri::parse(&seed.target)?,
            routes: seed.routes.clone(),
            local_cseq: seed.local_cseq,
            remote_cseq: seed.remote_cseq,
            flow: seed.flow,
            allows_update: seed.allows_update,
            secure: seed.secure,
        };
        let mut dialog = Self::start(now, config, tokens, ties, Phase::Ended);
        let secret = dialog.tokens.secret();
        dialog.session =
            Session::resume(dialog.config.media.clone(), seed.session.clone()).keyed(secret);
        dialog.invite_key = seed.invite_key;
        dialog.merge_key = seed.merge_key;
        for open in &seed.open {
            dialog.reopen(open);
        }
        match (seed.stage, seed.role) {
            (Stage::Early, Role::Uas) => dialog.resume_invited(seed),
            (Stage::Early, Role::Uac) => dialog.resume_calling(seed),
            (Stage::Confirmed, Role::Uas | Role::Uac) => {
                dialog.phase = Phase::Confirmed;
                dialog.timer.resume(now, seed.session_timer);
            }
            (Stage::Ended, Role::Uas | Role::Uac) => {}
        }
        dialog.settle();
        Ok(dialog)
    }

    /// A server transaction as it was, with its full time before it.
    fn reopen(&mut self, open: &OpenTransaction) {
        let reliable = open.flow.transport.is_reliable();
        let timers = self.config.timers;
        let response = open.response.clone().unwrap_or_default();
        if open.kind == OpenKind::Plain {
            let mut tx = ServerTransaction::new(timers, reliable);
            let status = 200;
            let bytes = response;
            tx.handle(self.now, ServerInput::Respond { status, bytes });
            let _sent_before = tx.poll_effect();
            self.far_requests.push_back(FarRequest {
                key: open.key,
                cseq: open.cseq,
                flow: open.flow,
                tx,
            });
            return;
        }
        let mut tx = InviteServer::new(timers, reliable);
        let status = if open.kind == OpenKind::Refused {
            500
        } else {
            200
        };
        let bytes = response.clone();
        tx.handle(self.now, ServerInput::Respond { status, bytes });
        let owed = open.kind != OpenKind::Acknowledged;
        if !owed {
            let _sent_before = tx.poll_effect();
        }
        let (accepted, offered) = match open.kind {
            OpenKind::Unacknowledged { offered } => {
                (Some(Accepted::new(self.now, timers, response)), offered)
            }
            OpenKind::Plain | OpenKind::Refused | OpenKind::Acknowledged => (None, false),
        };
        self.far_invites.push(FarInvite {
            key: open.key,
            cseq: open.cseq,
            flow: open.flow,
            tx,
            initial: Some(open.key) == self.invite_key,
            offered,
            accepted,
        });
    }

    fn resume_invited(&mut self, seed: &DialogSeed) {
        let Some(invite) = request_of(seed.invite.as_ref()) else {
            return;
        };
        self.open_invite(seed.flow, &invite, true);
        self.phase = Phase::Invited {
            invite: Box::new(invite),
            repeat_at: self.now + RINGING_REPEAT,
        };
    }

    fn resume_calling(&mut self, seed: &DialogSeed) {
        let Some(invite) = request_of(seed.invite.as_ref()) else {
            return;
        };
        let (Some(branch), Some(media)) = (invite.via().branch(), self.session.address()) else {
            return;
        };
        let names = (Bytes::copy_from_slice(branch), invite.cseq());
        let bytes = seed.invite.clone().unwrap_or_default();
        let reliable = seed.flow.transport.is_reliable();
        let tx = InviteClient::resumed(self.now, self.config.timers, reliable, bytes.clone());
        let near = NearInvite::resumed(tx, names, seed.flow, bytes, media);
        self.near_invites.push(near);
        self.session.reopen_offer();
        self.phase = Phase::Calling { ring_until: None };
    }
}

fn request_of(bytes: Option<&Bytes>) -> Option<Request> {
    match parse(bytes?, Framing::Datagram) {
        Ok(Message::Request(request)) => Some(request),
        Ok(Message::Response(_)) | Err(_) => None,
    }
}

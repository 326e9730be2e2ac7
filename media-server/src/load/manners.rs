//! How the generator's dialogs speak, placed or answered.

use std::net::SocketAddr;

use media_core::codec::CodecSpec;
use sip_core::{
    dialog::DialogConfig,
    digest::Login,
    offer_answer::{CodecCapability, MediaPolicy, Negotiation, SrtpPolicy},
};

/// One codec and keys; `login` is `user:password` for whoever challenges.
pub(super) fn dialog_config(
    local: SocketAddr,
    codec: &CodecSpec,
    login: Option<&str>,
) -> DialogConfig {
    let codec = CodecCapability {
        name: codec.name.into(),
        payload_type: codec.static_pt.unwrap_or(0),
        clock_rate_hz: codec.rtp_clock,
        channels: 1,
        fmtp: None,
    };
    let media = MediaPolicy {
        codecs: vec![codec],
        telephone_event: Some(101),
        negotiation: Negotiation::Local,
        ptime_ms: 20,
        rtcp_mux: false,
        srtp: SrtpPolicy::Off,
    };
    let login = login.and_then(|login| login.split_once(':'));
    DialogConfig {
        login: login.map(|(user, password)| Login {
            user: user.to_owned(),
            password: password.to_owned().into(),
            realms: Vec::new(),
        }),
        ..DialogConfig::new(local.ip().to_string(), local.port(), media)
    }
}

//! The phone's command line.

use std::path::PathBuf;

use anyhow::Context;
use sip_core::digest::Login;

use super::script::{Reply, Step};

/// Place a real SIP call from the terminal.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Whom to call: `sip:+15550100@127.0.0.1:5060`.
    pub uri: String,
    /// Say this when the other side has fallen silent. May be repeated.
    #[arg(long, value_name = "TEXT")]
    say: Vec<String>,
    /// Interrupt: say this 1.4 s into what the other side says next. After all `--say`.
    #[arg(long, value_name = "TEXT")]
    barge: Vec<String>,
    /// Steps in order, `say:TEXT`, `tell:TEXT` (at once), `barge:TEXT`, `wait:2s`, `dtmf:123`, `press:1` (at once), `play:FILE`, `hangup`.
    #[arg(long, value_name = "STEP")]
    step: Vec<Step>,
    /// After the last step: when the other side falls silent and said WORDS (or, after |, others), say TEXT. The
    /// first that fits counts. Needs --office. May be repeated.
    #[arg(long, value_name = "WORDS=TEXT")]
    pub(super) reply: Vec<Reply>,
    /// Play a WAV file into the call.
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// Type lines and have them spoken; Enter while it speaks interrupts.
    #[arg(long = "type")]
    pub typing: bool,
    /// Who calls.
    #[arg(long, default_value = "+15550123")]
    pub from: String,
    /// The extension that calls, `1001@pbx.example`, where a password is asked for; with --password-file.
    #[arg(long, value_name = "NAME@DOMAIN", requires = "password_file")]
    pub user: Option<String>,
    /// The file with its password.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// Hang up after so many seconds.
    #[arg(long, default_value_t = 120)]
    pub seconds: u64,
    /// How long the other side must be silent before the next line, milliseconds.
    #[arg(long, default_value_t = 900)]
    pub silence_ms: u64,
    /// Stay on the line after the last step until the other side hangs up.
    #[arg(long)]
    pub stay: bool,
    /// Events as JSON lines instead of the picture.
    #[arg(long)]
    pub json: bool,
    /// Keep the events too: JSON lines in a file, beside the picture.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Keep the sound: stereo WAV, left what was heard, right what was said.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// `udp`, `tcp` or `tls`; without it the URI says (`sips:`, `;transport=tls`), or its name's DNS records.
    #[arg(long)]
    pub transport: Option<String>,
    /// PEM file with an authority that is trusted beside the system's, for TLS.
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Do not ask whose certificate it is.
    #[arg(long)]
    pub tls_insecure: bool,
    /// Codecs to offer, in order.
    #[arg(long, value_delimiter = ',', default_value = "PCMU,PCMA")]
    pub codecs: Vec<String>,
    /// The voice of the phone (`slt`, `awb`, `kal`).
    #[arg(long)]
    pub voice: Option<String>,
    /// The office whose live transcript is shown, `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL")]
    pub office: Option<String>,
    /// The file with the office's API key.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

impl Args {
    /// Who answers a challenge: the extension, to nobody but its own domain.
    pub(super) fn login(&self) -> anyhow::Result<Option<Login>> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else {
            return Ok(None);
        };
        let (name, domain) = user.rsplit_once('@').context("--user is NAME@DOMAIN")?;
        let password = std::fs::read_to_string(file);
        let password = password.with_context(|| file.display().to_string())?;
        Ok(Some(Login {
            user: name.to_owned(),
            password: password.trim_end().to_owned().into(),
            realms: vec![domain.to_owned()],
        }))
    }

    /// All steps, in the order they are carried out.
    pub(super) fn steps(&self) -> Vec<Step> {
        let says = self.say.iter().cloned().map(Step::Say);
        let barges = self.barge.iter().cloned().map(Step::Barge);
        let wav = self.wav.iter().cloned().map(Step::Play);
        let written = self.step.iter().cloned();
        wav.chain(says).chain(barges).chain(written).collect()
    }
}

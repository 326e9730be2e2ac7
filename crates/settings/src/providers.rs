//! Language models, voices and recognisers that agents name.

use std::collections::BTreeMap;

use call_core::document::Fault;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::check::Read;
use crate::{Known, Secret, Server};

/// What agents call the server of `[llm]`.
const DEFAULT: &str = "default";
/// What is built in, by the names that agents use; nobody may be called so.
const BUILT_IN: [&str; 2] = ["local", "fake"];

/// A language model, a voice or a recogniser elsewhere, `[providers.NAME]`; agents name it so.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What it speaks. Language models: `openai` (chat completions, also of compatible servers), `openai-responses`, `anthropic`.
    /// Voices: `elevenlabs`, `elevenlabs-http`, `openai-speech`. Recognisers: `deepgram`, `openai-transcription`.
    #[serde(default = "chat")]
    pub kind: String,
    /// Base URL, up to and including `/v1`.
    #[schemars(with = "String", extend("format" = "http-url"))]
    pub url: String,
    /// Its key.
    #[serde(default)]
    pub key: Option<Secret>,
    /// The model to ask; of language models, when an agent says `default`.
    #[serde(default)]
    pub model: Option<String>,
    /// The voice that speaks when an agent says `default`, or when it stands in for another.
    #[serde(default)]
    pub voice: Option<String>,
    /// Others of its sort to ask, in turn, when it fails. The local voice and the local recogniser stand in last of all by themselves.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub fallbacks: Vec<String>,
}

pub(crate) fn chat() -> String {
    "openai".to_owned()
}

/// The tables of [`Known`], with what their rows are.
fn sorts<'a>(known: &Known<'a>) -> [(&'static str, &'a [&'a str]); 3] {
    [
        ("language model", known.language_models),
        ("voice", known.voices),
        ("recogniser", known.recognisers),
    ]
}

impl Server {
    /// Every provider by the name that agents use, the language model of `[llm]` as `default`.
    pub fn all_providers(&self) -> BTreeMap<String, Provider> {
        let mut all = self.providers.clone();
        if let Some(url) = &self.llm.url {
            let llm = &self.llm;
            let default = Provider {
                kind: llm.kind.clone(),
                url: url.clone(),
                key: llm.key.clone(),
                model: llm.model.clone(),
                voice: None,
                fallbacks: llm.fallbacks.clone(),
            };
            all.insert(DEFAULT.to_owned(), default);
        }
        all
    }
}

/// Kinds that do not exist, fallbacks that nobody declared.
pub(crate) fn check(server: &Read<Server>, known: &Known<'_>, faults: &mut Vec<Fault>) {
    let document = &server.document;
    if server.value.llm.url.is_some() && server.value.providers.contains_key(DEFAULT) {
        let pointer = "/providers/default";
        faults.push(document.fault(pointer, "`default` is the language model of [llm]"));
    }
    for name in BUILT_IN {
        if server.value.providers.contains_key(name) {
            let message = format!("`{name}` is built in: call it otherwise");
            faults.push(document.fault(&format!("/providers/{name}"), message));
        }
    }
    let all = server.value.all_providers();
    for (name, provider) in &all {
        let at = match name.as_str() {
            DEFAULT => "/llm".to_owned(),
            name => format!("/providers/{name}"),
        };
        let sort = sorts(known)
            .into_iter()
            .find(|(_, kinds)| kinds.contains(&provider.kind.as_str()))
            .filter(|(sort, _)| name != DEFAULT || *sort == "language model");
        if sort.is_none() {
            faults.push(unknown_kind(server, name, provider, known, &at));
        }
        let sort = sort.map_or("provider", |(sort, _)| sort);
        fallbacks(server, (name, provider), &all, (sort, known), &at, faults);
    }
}

fn unknown_kind(
    server: &Read<Server>,
    name: &str,
    provider: &Provider,
    known: &Known<'_>,
    at: &str,
) -> Fault {
    let kinds = match name {
        DEFAULT => known.language_models.join(", "),
        _ => sorts(known).map(|(_, kinds)| kinds.join(", ")).join(", "),
    };
    let message = match name {
        DEFAULT => format!("there is no language model of the kind '{}'", provider.kind),
        _ => format!("there is no provider of the kind '{}'", provider.kind),
    };
    let fault = server.document.fault(&format!("{at}/kind"), message);
    fault.hint(format!("one of {kinds}"))
}

fn fallbacks(
    server: &Read<Server>,
    (name, provider): (&str, &Provider),
    all: &BTreeMap<String, Provider>,
    (sort, known): (&str, &Known<'_>),
    at: &str,
    faults: &mut Vec<Fault>,
) {
    // What a kind is that does not exist nobody can say; that fault is told by itself.
    let is = |kind: &str| {
        let of = |(_, kinds): &(&str, &[&str])| kinds.contains(&kind);
        sorts(known).into_iter().find(of).map(|(sort, _)| sort)
    };
    let same = |other: &str| {
        let kind = all.get(other).map(|other| is(&other.kind));
        kind.is_some_and(|kind| sort == "provider" || kind.is_none_or(|kind| kind == sort))
    };
    for (nth, fallback) in provider.fallbacks.iter().enumerate() {
        if fallback == name || !same(fallback) {
            let message = format!("there is no other {sort} '{fallback}'");
            let names = all.keys().filter(|other| *other != name && same(other));
            let hint = names.cloned().collect::<Vec<_>>().join(", ");
            let pointer = format!("{at}/fallbacks/{nth}");
            let fault = server.document.fault(&pointer, message);
            faults.push(fault.hint(format!("there are: {hint}")));
        }
    }
}

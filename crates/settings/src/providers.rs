//! Language models that agents name.

use std::collections::BTreeMap;

use call_core::document::Fault;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::check::Read;
use crate::{Known, Secret, Server};

/// What agents call the server of `[llm]`.
const DEFAULT: &str = "default";

/// A language model server, `[providers.NAME]`; agents name it so.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LanguageModel {
    /// What it speaks: `openai` (chat completions, also of compatible servers), `openai-responses` or `anthropic`.
    #[serde(default = "chat")]
    pub kind: String,
    /// Base URL, up to and including `/v1`.
    #[schemars(with = "String", extend("format" = "http-url"))]
    pub url: String,
    /// Its key.
    #[serde(default)]
    pub key: Option<Secret>,
    /// The model to ask when an agent says `default`.
    #[serde(default)]
    pub model: Option<String>,
    /// Others to ask, in turn, when it fails before its first word.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub fallbacks: Vec<String>,
}

pub(crate) fn chat() -> String {
    "openai".to_owned()
}

impl Server {
    /// Every language model by the name that agents use, that of `[llm]` as `default`.
    pub fn language_models(&self) -> BTreeMap<String, LanguageModel> {
        let mut all = self.providers.clone();
        if let Some(url) = &self.llm.url {
            let llm = &self.llm;
            let default = LanguageModel {
                kind: llm.kind.clone(),
                url: url.clone(),
                key: llm.key.clone(),
                model: llm.model.clone(),
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
    let all = server.value.language_models();
    for (name, model) in &all {
        let at = match name.as_str() {
            DEFAULT => "/llm".to_owned(),
            name => format!("/providers/{name}"),
        };
        if !known.language_models.contains(&model.kind.as_str()) {
            let message = format!("there is no language model of the kind '{}'", model.kind);
            let hint = format!("one of {}", known.language_models.join(", "));
            faults.push(document.fault(&format!("{at}/kind"), message).hint(hint));
        }
        for (nth, fallback) in model.fallbacks.iter().enumerate() {
            if fallback == name || !all.contains_key(fallback) {
                let message = format!("there is no other language model '{fallback}'");
                let names = all.keys().filter(|other| *other != name);
                let hint = names.cloned().collect::<Vec<_>>().join(", ");
                let fault = document.fault(&format!("{at}/fallbacks/{nth}"), message);
                faults.push(fault.hint(format!("there are: {hint}")));
            }
        }
    }
}

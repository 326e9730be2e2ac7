//! What a process has of providers.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Class, ProviderError,
    llm::{self, Llm, fake::FakeLlm},
    stt::{self, Stt, fake::FakeStt},
    tts::{self, Tts, fake::FakeTts},
};

/// What providers are made of.
#[derive(Clone)]
pub struct Shared {
    /// The way out.
    pub egress: egress::Egress,
    /// The recogniser's threads, where the models are installed.
    pub pool: Option<local_speech::Pool>,
    /// The voices' threads.
    pub voices: Option<local_speech::Voices>,
    /// The scripts of the fakes.
    pub fakes: Fakes,
}

/// The fakes, each with its script.
#[derive(Clone, Default)]
pub struct Fakes {
    /// The voice.
    pub tts: Arc<FakeTts>,
    /// The recogniser.
    pub stt: Arc<FakeStt>,
    /// The language model.
    pub llm: Arc<FakeLlm>,
}

/// A language model, a voice or a recogniser that the operator declared.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// As agents name it.
    pub name: String,
    /// A row of [`llm::ALL`], [`tts::ALL`] or [`stt::ALL`].
    pub kind: String,
    /// Base URL (`http://127.0.0.1:8000/v1`).
    pub url: String,
    /// API key.
    pub key: Option<String>,
    /// The model to ask; of language models, when an agent says `default`.
    pub model: Option<String>,
    /// The voice when an agent says `default`, or when it stands in for another.
    pub voice: Option<String>,
    /// Other entries of its sort to ask, in turn, when this one fails.
    pub fallbacks: Vec<String>,
}

impl Entry {
    /// What is built in needs no more than its name.
    pub fn built_in(name: &str) -> Self {
        Self {
            name: name.into(),
            kind: name.into(),
            url: String::new(),
            key: None,
            model: None,
            voice: None,
            fallbacks: Vec::new(),
        }
    }

    /// Its base URL without the last slash.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn base(&self) -> Result<&str, ProviderError> {
        match self.url.trim_end_matches('/') {
            "" => Err(ProviderError::new(
                &self.name,
                Class::Fatal,
                "no url is declared for it",
            )),
            base => Ok(base),
        }
    }

    /// Its key, unless that is empty.
    pub(crate) fn secret(&self) -> Option<String> {
        self.key.clone().filter(|key| !key.is_empty())
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("key", &self.key.as_ref().map(|_| "***"))
            .field("model", &self.model)
            .field("fallbacks", &self.fallbacks)
            .finish_non_exhaustive()
    }
}

/// All providers of a process; a cheap handle.
#[derive(Clone)]
pub struct Providers {
    llms: Arc<BTreeMap<String, Arc<dyn Llm>>>,
    voices: Arc<BTreeMap<String, tts::Opened>>,
    recognisers: Arc<BTreeMap<String, stt::Opened>>,
}

impl Providers {
    /// Opens what the operator declared.
    ///
    /// # Errors
    /// An entry of an unknown kind, or with a fallback that is not declared.
    pub fn new(shared: &Shared, entries: &[Entry]) -> Result<Self, ProviderError> {
        let elsewhere = [tts::kinds(), stt::kinds()].concat();
        let (speech, models): (Vec<Entry>, Vec<Entry>) = entries
            .iter()
            .cloned()
            .partition(|entry| elsewhere.contains(&entry.kind.as_str()));
        Ok(Self {
            llms: Arc::new(llm::open_all(shared, &models)?),
            voices: Arc::new(tts::open_all(shared, &speech)?),
            recognisers: Arc::new(stt::open_all(shared, &speech)?),
        })
    }

    /// A voice provider by name.
    ///
    /// # Errors
    /// No such row, or what it needs is not there.
    pub fn tts(&self, name: &str) -> Result<Arc<dyn Tts>, ProviderError> {
        let names: Vec<&str> = self.voices.keys().map(String::as_str).collect();
        let found = self.voices.get(name).cloned();
        found.unwrap_or_else(|| Err(ProviderError::unknown("voice", name, &names)))
    }

    /// A recogniser by name.
    ///
    /// # Errors
    /// No such row, or what it needs is not there.
    pub fn stt(&self, name: &str) -> Result<Arc<dyn Stt>, ProviderError> {
        let names: Vec<&str> = self.recognisers.keys().map(String::as_str).collect();
        let found = self.recognisers.get(name).cloned();
        found.unwrap_or_else(|| Err(ProviderError::unknown("recogniser", name, &names)))
    }

    /// A language model by the operator's name for it.
    ///
    /// # Errors
    /// It is not declared.
    pub fn llm(&self, name: &str) -> Result<Arc<dyn Llm>, ProviderError> {
        let names: Vec<&str> = self.llms.keys().map(String::as_str).collect();
        let found = self.llms.get(name).cloned();
        found.ok_or_else(|| match names.is_empty() {
            true => ProviderError::new(name, Class::FailOver, "no language model is declared"),
            false => ProviderError::unknown("language model", name, &names),
        })
    }
}

//! `control-api rekey`: every sealed text under the newest key, so that the older ones can go.

use crate::{
    envelope::{EnvelopeError, Keys},
    store::{Db, SEALED, SealedText, StoreError},
};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Sealed anew.
    pub changed: usize,
    /// Under the newest key already.
    pub kept: usize,
}

/// Why a text could not be sealed anew. What was done before stands; running again goes on.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A text does not open.
    #[error("{place}: {fault}")]
    Sealed {
        /// Which.
        place: String,
        /// Why.
        fault: EnvelopeError,
    },
}

/// Seals everything anew that is not under the newest key. May run while the office serves: a text
/// that changes meanwhile is sealed under the newest key by that change.
///
/// # Errors
/// [`RekeyError`]
pub async fn rekey(db: &Db, keys: &Keys) -> Result<Rekeyed, RekeyError> {
    let mut done = Rekeyed::default();
    for (table, column) in SEALED {
        let mut after = String::new();
        loop {
            let texts = db.sealed_texts(table, column, &after).await?;
            let Some(last) = texts.last() else { break };
            after.clone_from(&last.id);
            for text in &texts {
                match anew(keys, text)? {
                    Some(new) if db.replace_sealed(table, column, text, &new).await? => {
                        done.changed += 1;
                    }
                    Some(_) | None => done.kept += 1,
                }
            }
        }
    }
    Ok(done)
}

fn anew(keys: &Keys, text: &SealedText) -> Result<Option<String>, RekeyError> {
    let sealed = |fault| RekeyError::Sealed {
        place: text.place.clone(),
        fault,
    };
    keys.reseal(&text.place, &text.text).map_err(sealed)
}

//! From token numbers to text: reads `tokenizer.json` (BPE with byte fallback).

use std::collections::HashMap;
use std::path::Path;

use crate::error::SpeechError;

const MODEL: &str = "moonshine-tokenizer";
/// The real file has 2 MB.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// The real vocabulary has 32,000 pieces.
const MAX_PIECES: usize = 200_000;
/// The mark that stands for a space before a word.
const SPACE: char = '\u{2581}';

#[derive(serde::Deserialize)]
struct TokenizerFile {
    model: BpeModel,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(serde::Deserialize)]
struct BpeModel {
    vocab: HashMap<String, u32>,
}

#[derive(serde::Deserialize)]
struct AddedToken {
    id: u32,
    #[serde(default)]
    special: bool,
}

/// What one token stands for.
enum Piece {
    Text(Box<str>),
    Byte(u8),
    /// Start, end and other marks: they are never spoken.
    Silent,
}

/// Token number → text.
pub(crate) struct Tokens {
    pieces: Vec<Piece>,
}

impl Tokens {
    pub(crate) fn load(path: &Path) -> Result<Tokens, SpeechError> {
        let bad = |reason: String| SpeechError::BadModel {
            model: MODEL,
            reason,
        };
        let length = std::fs::metadata(path)
            .map_err(|e| bad(e.to_string()))?
            .len();
        if length > MAX_FILE_BYTES {
            return Err(bad(format!("{length} bytes is too large for a tokenizer")));
        }
        let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        Tokens::parse(&bytes).map_err(bad)
    }

    /// Reads the file's bytes; the error is a sentence.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Tokens, String> {
        let file: TokenizerFile = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let top = file.model.vocab.values().max().copied().unwrap_or(0) as usize;
        if top >= MAX_PIECES {
            return Err(format!("token number {top} is out of bounds"));
        }
        let mut pieces: Vec<Piece> = (0..=top).map(|_| Piece::Silent).collect();
        for (text, id) in file.model.vocab {
            if let Some(slot) = pieces.get_mut(id as usize) {
                *slot = piece(&text);
            }
        }
        for token in file.added_tokens.iter().filter(|t| t.special) {
            if let Some(slot) = pieces.get_mut(token.id as usize) {
                *slot = Piece::Silent;
            }
        }
        Ok(Tokens { pieces })
    }

    /// The text of a token sequence; unknown numbers and marks are left out, bytes that
    /// are no UTF-8 become the replacement character.
    pub(crate) fn text(&self, tokens: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(tokens.len() * 5);
        for token in tokens {
            match self.pieces.get(*token as usize) {
                Some(Piece::Text(text)) => bytes.extend_from_slice(text.as_bytes()),
                Some(Piece::Byte(byte)) => bytes.push(*byte),
                Some(Piece::Silent) | None => {}
            }
        }
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

fn piece(text: &str) -> Piece {
    let byte = text
        .strip_prefix("<0x")
        .and_then(|t| t.strip_suffix('>'))
        .and_then(|t| u8::from_str_radix(t, 16).ok());
    match byte {
        Some(byte) => Piece::Byte(byte),
        None => Piece::Text(text.replace(SPACE, " ").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tokens {
        let json = r#"{"added_tokens":[{"id":1,"special":true}],"model":{"vocab":
            {"<s>":1,"<0xC3>":2,"<0xA9>":3,"▁caf":4,"▁for":5,"s":6}}}"#;
        Tokens::parse(json.as_bytes()).expect("a tokenizer")
    }

    #[test]
    fn pieces_join_with_spaces_and_bytes_form_characters() {
        assert_eq!(sample().text(&[1, 4, 2, 3, 6, 5]), "cafés for");
    }

    #[test]
    fn unknown_numbers_and_broken_bytes_do_no_harm() {
        assert_eq!(sample().text(&[99_999, 5, 2]), "for\u{fffd}");
    }

    #[test]
    fn a_token_number_out_of_bounds_is_refused() {
        let json = r#"{"model":{"vocab":{"x":4000000000}}}"#;
        assert!(Tokens::parse(json.as_bytes()).is_err());
    }
}

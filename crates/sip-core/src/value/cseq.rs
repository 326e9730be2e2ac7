//! CSeq (RFC 3261 §20.16).

use bytes::Bytes;

use super::ValueError;
use super::scan::{decimal, is_space, is_token, share, trim};
use crate::message::Method;

/// A sequence number below 2³¹ and a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The number.
    pub number: u32,
    /// The method it counts.
    pub method: Method,
}

impl CSeq {
    /// Reads `314159 INVITE`.
    pub fn parse(raw: &Bytes) -> Result<Self, ValueError> {
        let text = trim(raw);
        let gap = text
            .iter()
            .position(|byte| is_space(*byte))
            .ok_or(ValueError::new("a CSeq without a method", 0))?;
        let (number, method) = text.split_at(gap);
        let number = decimal(number, 0x7fff_ffff)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or(ValueError::new("the CSeq number is not below 2^31", 0))?;
        let method = trim(method);
        if !is_token(method) {
            return Err(ValueError::new("the CSeq method is not a token", gap));
        }
        Ok(Self {
            number,
            method: Method::from_bytes(&share(raw, method)),
        })
    }
}

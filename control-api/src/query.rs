//! Query parameters: each read once, unknown ones refused, all faults at once.

use std::{collections::BTreeMap, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{ApiError, FaultCode, Faults},
    store::{PageAsk, Rows},
};

/// The parameters of a request that are still to be read.
pub struct Params {
    left: BTreeMap<String, String>,
    faults: Faults,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        type Pairs = axum::extract::Query<Vec<(String, String)>>;
        let pairs = Pairs::from_request_parts(parts, state).await;
        let mut params = Self {
            left: BTreeMap::new(),
            faults: Faults::default(),
        };
        let Ok(axum::extract::Query(pairs)) = pairs else {
            let message = "the query cannot be read";
            params.fault(FaultCode::InvalidFormat, "", message);
            return Ok(params);
        };
        for (name, value) in pairs {
            if params.left.insert(name.clone(), value).is_some() {
                params.fault(FaultCode::Inconsistent, &name, "is given twice");
            }
        }
        Ok(params)
    }
}

impl Params {
    fn fault(&mut self, code: FaultCode, name: &str, message: &str) {
        let shown: String = name.chars().take(60).collect();
        let message = format!("{shown} {message}");
        self.faults.add(code, format!("/query/{shown}"), message);
    }

    /// A parameter as text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.left.remove(name).filter(|value| !value.is_empty())
    }

    /// A parameter that parses.
    pub fn parsed<T: FromStr>(&mut self, name: &str, what: &str) -> Option<T> {
        self.read(name, what, |text| text.parse().ok())
    }

    /// A parameter that `read` understands.
    pub fn read<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.fault(FaultCode::InvalidFormat, name, &format!("must be {what}"));
        }
        value
    }

    /// `limit` (1 to `most`) and `cursor`.
    pub fn page(&mut self, usual: u32, most: u32) -> PageAsk {
        let what = format!("a number from 1 to {most}");
        let limit = self.read("limit", &what, |text| {
            let limit: u32 = text.parse().ok()?;
            (1..=most).contains(&limit).then_some(limit)
        });
        let after = self.read("cursor", "a cursor that a page gave", read_cursor);
        PageAsk {
            limit: limit.unwrap_or(usual),
            after,
        }
    }

    /// Notes that a parameter is missing.
    pub fn missing(&mut self, name: &str) {
        self.fault(FaultCode::Required, name, "is required");
    }

    /// Notes that a parameter has no form that can be read.
    pub fn wrong(&mut self, name: &str) {
        self.fault(FaultCode::InvalidFormat, name, "cannot be read");
    }

    /// Nothing wrong and nothing left over, or a 422 with everything that is.
    pub fn finish(mut self) -> Result<(), ApiError> {
        for name in std::mem::take(&mut self.left).into_keys() {
            self.fault(FaultCode::UnknownField, &name, "is unknown here");
        }
        self.faults.finish()
    }
}

fn read_cursor(text: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|id| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows, the newest first.
    pub data: Vec<T>,
    /// How to go on.
    pub page: PageInfo,
}

/// How to go on after a page.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageInfo {
    /// Send it as `cursor` for the next page; null on the last one.
    pub next_cursor: Option<String>,
    /// Whether there are more rows.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// The page that holds these rows.
    pub fn of<R>(rows: Rows<R>, show: impl Fn(R) -> T) -> Self {
        let next_cursor = rows.next.map(|id| URL_SAFE_NO_PAD.encode(id));
        Self {
            data: rows.rows.into_iter().map(show).collect(),
            page: PageInfo {
                has_more: next_cursor.is_some(),
                next_cursor,
            },
        }
    }
}

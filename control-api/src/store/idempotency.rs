//! Requests that must happen once: their key, and the answer they got.

use super::{Db, StoreError, sql::sql};

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers worth repeating, as a JSON object.
    pub headers: String,
    /// The body; base64 of ciphertext when sealed.
    pub body: String,
    /// Whether the body is sealed.
    pub sealed: bool,
}

/// What a claim on a key found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody used it: go on, then `keep_answer` or `release_claim`.
    Fresh,
    /// The same request was answered.
    Done(Answer),
    /// The same request is still running, or its process died in it.
    Running,
    /// The key was used with another body.
    Mismatch,
}

impl Db {
    /// Claims `key_hash` in `scope` for a request whose body has `body_hash`. Claims older than
    /// `expired_ms` count for nothing.
    pub async fn claim(
        &self,
        scope: &str,
        key_hash: &str,
        body_hash: &str,
        now: i64,
        expired_ms: i64,
    ) -> Result<Claim, StoreError> {
        let old =
            sql("delete from idempotency where scope = $1 and key_hash = $2 and created_ms < $3");
        self.run(old.bind(scope).bind(key_hash).bind(expired_ms))
            .await?;
        let query = sql("insert into idempotency (scope, key_hash, body_hash, done, sealed, created_ms) values ($1, $2, $3, $4, $4, $5) on conflict do nothing")
            .bind(scope)
            .bind(key_hash)
            .bind(body_hash)
            .bind(false)
            .bind(now);
        if self.run(query).await? == 1 {
            return Ok(Claim::Fresh);
        }
        self.known_claim(scope, key_hash, body_hash).await
    }

    async fn known_claim(
        &self,
        scope: &str,
        key_hash: &str,
        body_hash: &str,
    ) -> Result<Claim, StoreError> {
        let query = sql("select * from idempotency where scope = $1 and key_hash = $2");
        let Some(row) = self.one(query.bind(scope).bind(key_hash)).await? else {
            return Ok(Claim::Running);
        };
        if row.get::<String>("body_hash")? != body_hash {
            return Ok(Claim::Mismatch);
        }
        if !row.get::<bool>("done")? {
            return Ok(Claim::Running);
        }
        Ok(Claim::Done(Answer {
            status: row.int("status")?,
            headers: row.get("headers")?,
            body: row.get("body")?,
            sealed: row.get("sealed")?,
        }))
    }

    /// Keeps the answer of a claimed request.
    pub async fn keep_answer(
        &self,
        scope: &str,
        key_hash: &str,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        let query = sql("update idempotency set done = $3, status = $4, headers = $5, body = $6, sealed = $7 where scope = $1 and key_hash = $2")
            .bind(scope)
            .bind(key_hash)
            .bind(true)
            .bind(answer.status)
            .bind(&answer.headers)
            .bind(&answer.body)
            .bind(answer.sealed);
        self.run(query).await?;
        Ok(())
    }

    /// Gives a claim back: the request failed on our side and may be tried again.
    pub async fn release_claim(&self, scope: &str, key_hash: &str) -> Result<(), StoreError> {
        let query = sql("delete from idempotency where scope = $1 and key_hash = $2");
        self.run(query.bind(scope).bind(key_hash)).await?;
        Ok(())
    }

    /// Forgets claims older than `before_ms`.
    pub async fn prune_claims(&self, before_ms: i64) -> Result<u64, StoreError> {
        self.run(sql("delete from idempotency where created_ms < $1").bind(before_ms))
            .await
    }
}

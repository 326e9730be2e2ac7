//! Which columns hold sealed secrets: what `rekey` walks, and what a start needs the keys of.

use std::collections::BTreeSet;

use super::{
    Db, StoreError,
    sql::{Query, Row},
};
use crate::envelope;

/// Table and column of every sealed secret; its place is `table.column/id`.
pub const SEALED: &[(&str, &str)] = &[("extensions", "password"), ("trunks", "password")];

/// The place of a secret: what its seal is bound to.
pub fn place(table: &str, column: &str, id: impl std::fmt::Display) -> String {
    format!("{table}.{column}/{id}")
}

impl Db {
    /// The names of the keys that the secrets of this database are sealed with.
    pub async fn sealed_key_ids(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut ids = BTreeSet::new();
        for (table, column) in SEALED {
            // e1.KEYID.BODY: thirty characters hold the name, and distinct ones are few in front of it.
            let text = format!(
                "select distinct substr({column}, 1, 12) as head from {table} where {column} <> ''"
            );
            for row in self.all(Query::text(text)).await? {
                ids.insert(head(&row)?);
            }
        }
        Ok(ids)
    }
}

fn head(row: &Row) -> Result<String, StoreError> {
    let head: String = row.get("head")?;
    let id = envelope::key_id(&head);
    id.map(ToOwned::to_owned)
        .map_err(|_| StoreError::corrupt("a sealed secret", &head))
}

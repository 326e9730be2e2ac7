//! Sealed texts, wherever they are kept, for sealing them anew.

use super::{
    Db, StoreError,
    sql::{Query, Row},
};

/// A sealed text and where it is.
#[derive(Debug, Clone)]
pub struct SealedText {
    /// `table.column/id`: what it is bound to.
    pub place: String,
    /// The row.
    pub id: String,
    /// The text.
    pub text: String,
}

/// Rows read at once.
const STEP: i64 = 200;

impl Db {
    /// Sealed texts of a column, in the order of their rows, from behind `after` on.
    pub async fn sealed_texts(
        &self,
        table: &'static str,
        column: &'static str,
        after: &str,
    ) -> Result<Vec<SealedText>, StoreError> {
        let text = format!(
            "select id, {column} as sealed from {table} where {column} is not null and id > $1 order by id limit $2"
        );
        let rows = self.all(Query::text(text).bind(after).bind(STEP)).await?;
        let read = |row: &Row| {
            let id: String = row.get("id")?;
            Ok(SealedText {
                place: format!("{table}.{column}/{id}"),
                id,
                text: row.get("sealed")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Puts a text sealed anew in the place of the old one; false when that has changed meanwhile.
    pub async fn replace_sealed(
        &self,
        table: &'static str,
        column: &'static str,
        old: &SealedText,
        new: &str,
    ) -> Result<bool, StoreError> {
        let text = format!("update {table} set {column} = $3 where id = $1 and {column} = $2");
        let query = Query::text(text).bind(&old.id).bind(&old.text).bind(new);
        Ok(self.run(query).await? == 1)
    }
}

//! One query, two engines: text with `$1` placeholders and typed values that run on SQLite and
//! PostgreSQL alike.

use std::{borrow::Cow, str::FromStr};

use sqlx::{
    AssertSqlSafe, Decode, Postgres, Sqlite, Type,
    postgres::{PgArguments, PgRow},
    query::Query as SqlxQuery,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::StoreError;

/// A value bound to a placeholder. It keeps its type when it is null: PostgreSQL wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, ids and JSON.
    Text(Option<String>),
    /// Integers and instants.
    Int(Option<i64>),
    /// Flags.
    Bool(Option<bool>),
}

macro_rules! into_value {
    ($($from:ty => $variant:ident, $convert:expr;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(Some($convert(value)))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map($convert))
            }
        }
    )*};
}

into_value! {
    &str => Text, storable;
    String => Text, storable;
    &String => Text, |text: &String| storable(text.as_str());
    model::TenantId => Text, |id: model::TenantId| id.to_string();
    model::AgentId => Text, |id: model::AgentId| id.to_string();
    model::NumberId => Text, |id: model::NumberId| id.to_string();
    model::CallId => Text, |id: model::CallId| id.to_string();
    model::KeyId => Text, |id: model::KeyId| id.to_string();
    model::BookingId => Text, |id: model::BookingId| id.to_string();
    model::DomainId => Text, |id: model::DomainId| id.to_string();
    model::ExtensionId => Text, |id: model::ExtensionId| id.to_string();
    model::TrunkId => Text, |id: model::TrunkId| id.to_string();
    model::NodeId => Text, |id: model::NodeId| id.to_string();
    model::CommandId => Text, |id: model::CommandId| id.to_string();
    i64 => Int, |n| n;
    u32 => Int, i64::from;
    u16 => Int, i64::from;
    u8 => Int, i64::from;
    u64 => Int, |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    bool => Bool, |flag| flag;
}

impl Value {
    /// Whether there is nothing in it.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Text(None) | Self::Int(None) | Self::Bool(None))
    }
}

/// PostgreSQL takes no NUL in text; a wire that carries one must not block the journal.
fn storable<'a>(text: impl Into<Cow<'a, str>>) -> String {
    let text = text.into();
    if text.contains('\0') {
        return text.replace('\0', "\u{FFFD}");
    }
    text.into_owned()
}

/// The placeholder of inserts with many rows. SQLite looks a `$n` up by its name in a list, which
/// costs the square of their number; a `?` has no name.
const IN_ORDER: &str = "?";

/// Inserts have so many rows, and lists of values so many places: a few texts serve all, so that their
/// statements stay prepared. Compiling one takes longer than running it.
const LENGTHS: [usize; 4] = [64, 16, 4, 1];

/// A query with its values.
#[derive(Debug, Clone)]
pub struct Query {
    text: Cow<'static, str>,
    values: Vec<Value>,
    /// Its text comes again and again: it stays prepared.
    lasting: bool,
}

/// A fixed query.
pub fn sql(text: &'static str) -> Query {
    Query {
        text: Cow::Borrowed(text),
        values: Vec::new(),
        lasting: true,
    }
}

impl Query {
    /// Binds the next placeholder.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// A query that is built.
    pub fn text(text: String) -> Self {
        Self {
            text: Cow::Owned(text),
            values: Vec::new(),
            lasting: false,
        }
    }

    /// Adds ` and CONDITION $n`.
    #[must_use]
    pub fn and(self, condition: &str, value: Value) -> Self {
        self.then(&format!(" and {condition} "), value)
    }

    /// Adds `text` and a placeholder after it.
    #[must_use]
    pub fn then(mut self, text: &str, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.text = Cow::Owned(format!("{}{text}${}", self.text, self.values.len()));
        self.lasting = false;
        self
    }

    /// `TEXT in (…)`: one of these values, in as many queries as it takes.
    pub fn among<V: Into<Value> + Copy>(text: &str, values: &[V]) -> Vec<Self> {
        let most = LENGTHS[0];
        let query = |part: &[V]| {
            let places = LENGTHS.into_iter().rfind(|n| *n >= part.len());
            let places = places.unwrap_or(most);
            // What is named twice is found once: the last value fills the places that are left.
            let last = part.last().into_iter().cycle();
            let filled = part.iter().chain(last).take(places);
            Self {
                text: Cow::Owned(format!("{text} in ({})", vec![IN_ORDER; places].join(", "))),
                values: filled.map(|value| (*value).into()).collect(),
                lasting: true,
            }
        };
        values.chunks(most).map(query).collect()
    }

    /// `insert into TABLE (COLUMNS) values (…), (…)` followed by `suffix`, in as many queries as it
    /// takes. Every row has as many values as there are columns, which are at most 500.
    pub fn inserts(
        table: &str,
        columns: &[&str],
        mut rows: Vec<Vec<Value>>,
        suffix: &str,
    ) -> Vec<Self> {
        let mut queries = Vec::new();
        for length in LENGTHS {
            while rows.len() >= length {
                let rest = rows.split_off(length);
                queries.push(Self::insert(table, columns, rows, suffix));
                rows = rest;
            }
        }
        queries
    }

    fn insert(table: &str, columns: &[&str], rows: Vec<Vec<Value>>, suffix: &str) -> Self {
        let row = format!("({})", vec![IN_ORDER; columns.len()].join(", "));
        let rows_text = vec![row; rows.len()].join(", ");
        let columns = columns.join(", ");
        Self {
            text: Cow::Owned(format!(
                "insert into {table} ({columns}) values {rows_text} {suffix}"
            )),
            values: rows.into_iter().flatten().collect(),
            lasting: true,
        }
    }

    /// The text as PostgreSQL wants it: `?` become `$1`, `$2` …
    fn numbered(text: Cow<'static, str>) -> Cow<'static, str> {
        if !text.contains(IN_ORDER) {
            return text;
        }
        let mut numbered = String::with_capacity(text.len() * 2);
        for (index, part) in text.split(IN_ORDER).enumerate() {
            if index > 0 {
                numbered.push_str(&format!("${index}"));
            }
            numbered.push_str(part);
        }
        Cow::Owned(numbered)
    }

    pub(super) fn sqlite(self) -> SqlxQuery<'static, Sqlite, SqliteArguments> {
        let query = sqlx::query(AssertSqlSafe(self.text)).persistent(self.lasting);
        self.values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Text(text) => query.bind(text),
                Value::Int(int) => query.bind(int),
                Value::Bool(flag) => query.bind(flag),
            })
    }

    pub(super) fn postgres(self) -> SqlxQuery<'static, Postgres, PgArguments> {
        let text = Self::numbered(self.text);
        let query = sqlx::query(AssertSqlSafe(text)).persistent(self.lasting);
        self.values
            .into_iter()
            .fold(query, |query, value| match value {
                Value::Text(text) => query.bind(text),
                Value::Int(int) => query.bind(int),
                Value::Bool(flag) => query.bind(flag),
            })
    }
}

/// A type that a column can be read as, on both engines.
pub trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

/// A row of either engine.
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

impl Row {
    /// The column `name`.
    pub fn get<T: Column>(&self, name: &str) -> Result<T, StoreError> {
        use sqlx::Row as _;
        Ok(match self {
            Self::Sqlite(row) => row.try_get(name)?,
            Self::Postgres(row) => row.try_get(name)?,
        })
    }

    /// The text column `name`, read as an id, an enum or anything else that parses.
    pub fn parse<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        let text: String = self.get(name)?;
        text.parse().map_err(|_| StoreError::corrupt(name, &text))
    }

    /// The same, where it may be null.
    pub fn parse_opt<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get(name)?;
        text.map(|text| text.parse().map_err(|_| StoreError::corrupt(name, &text)))
            .transpose()
    }

    /// The JSON column `name`.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let text: String = self.get(name)?;
        serde_json::from_str(&text).map_err(|_| StoreError::corrupt(name, &text))
    }

    /// The whole-number column `name`, in a smaller or unsigned type.
    pub fn int<T: TryFrom<i64>>(&self, name: &str) -> Result<T, StoreError> {
        let int: i64 = self.get(name)?;
        T::try_from(int).map_err(|_| StoreError::corrupt(name, &int.to_string()))
    }

    /// The same, where it may be null.
    pub fn int_opt<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let int: Option<i64> = self.get(name)?;
        int.map(|n| T::try_from(n).map_err(|_| StoreError::corrupt(name, &n.to_string())))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_get_numbered_placeholders() {
        let rows = vec![
            vec![Value::from(1_i64), Value::from("a")],
            vec![Value::from(2_i64), Value::from("b")],
        ];
        let query = Query::insert("t", &["n", "s"], rows, "on conflict do nothing");
        assert_eq!(query.values.len(), 4);
        assert_eq!(
            query.text,
            "insert into t (n, s) values (?, ?), (?, ?) on conflict do nothing"
        );
        assert_eq!(
            Query::numbered(query.text),
            "insert into t (n, s) values ($1, $2), ($3, $4) on conflict do nothing"
        );
    }

    #[test]
    fn many_rows_go_in_statements_of_a_few_lengths_in_their_order() {
        let rows: Vec<Vec<Value>> = (0..86_i64).map(|n| vec![Value::from(n)]).collect();
        let queries = Query::inserts("t", &["n"], rows.clone(), "");
        let lengths: Vec<usize> = queries.iter().map(|query| query.values.len()).collect();
        assert_eq!(lengths, [64, 16, 4, 1, 1]);
        let all: Vec<Value> = queries.into_iter().flat_map(|query| query.values).collect();
        assert_eq!(all, rows.concat());
        assert!(Query::inserts("t", &["n"], Vec::new(), "").is_empty());
    }

    #[test]
    fn a_list_is_filled_up_with_its_last_value() {
        let queries = Query::among("select 1 where n", &[1_i64, 2, 3]);
        assert_eq!(queries.len(), 1);
        assert_eq!(queries[0].text, "select 1 where n in (?, ?, ?, ?)");
        assert_eq!(queries[0].values, [1_i64, 2, 3, 3].map(Value::from));
        let many: Vec<i64> = (0..66).collect();
        let lengths: Vec<usize> = Query::among("n", &many)
            .iter()
            .map(|query| query.values.len())
            .collect();
        assert_eq!(lengths, [64, 4]);
        assert!(Query::among::<i64>("n", &[]).is_empty());
    }

    #[test]
    fn a_nul_in_text_becomes_a_replacement_mark() {
        assert_eq!(
            Value::from("a\0b"),
            Value::Text(Some("a\u{FFFD}b".to_owned()))
        );
    }
}

//! What a query answers.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, ColumnIndex, Row as _, TypeInfo as _};

use super::Error;

/// A row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Where a column is: its name, or its number from 0.
pub(crate) trait At: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> + Copy {}
impl<T: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> + Copy> At for T {}

impl Row {
    /// A column.
    pub(crate) fn get<T: Column>(&self, at: impl At) -> Result<T, Error> {
        T::column(self, at)
    }

    /// A column of text, without a copy.
    pub(crate) fn text(&self, at: impl At) -> Result<&str, Error> {
        match self {
            Self::Sqlite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
    }
}

/// A type that a column can be read as.
pub(crate) trait Column: Sized {
    fn column(row: &Row, at: impl At) -> Result<Self, Error>;
}

macro_rules! column {
    ($($kind:ty),*) => {$(
        impl Column for $kind {
            fn column(row: &Row, at: impl At) -> Result<Self, Error> {
                match row {
                    Row::Sqlite(row) => row.try_get(at),
                    Row::Postgres(row) => row.try_get(at),
                }
            }
        }
    )*};
}
column!(String, Option<String>, Vec<u8>, Option<Vec<u8>>);

impl Column for Option<i64> {
    fn column(row: &Row, at: impl At) -> Result<Self, Error> {
        match row {
            Row::Sqlite(row) => row.try_get(at),
            // `SELECT 1` is a smaller number here, and reads as well.
            Row::Postgres(row) => match row.column(at).type_info().name() {
                "INT2" | "INT4" => row.try_get_unchecked(at),
                _ => row.try_get(at),
            },
        }
    }
}

impl Column for i64 {
    fn column(row: &Row, at: impl At) -> Result<Self, Error> {
        let number: Option<i64> = row.get(at)?;
        number.ok_or_else(|| Error::Decode("a number is NULL that never is".into()))
    }
}

/// A type that a row can be read as: a column for rows of one, a tuple of columns, or the row itself.
pub(crate) trait Read: Sized {
    fn read(row: Row) -> Result<Self, Error>;
}

impl Read for Row {
    fn read(row: Row) -> Result<Self, Error> {
        Ok(row)
    }
}

impl<T: Column> Read for T {
    fn read(row: Row) -> Result<Self, Error> {
        row.get(0)
    }
}

macro_rules! tuple {
    ($($kind:ident $at:literal),*) => {
        impl<$($kind: Column),*> Read for ($($kind,)*) {
            fn read(row: Row) -> Result<Self, Error> {
                Ok(($(row.get::<$kind>($at)?,)*))
            }
        }
    };
}
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);

//! Queries of changing shape. Only text of the program goes into a query; everything else is bound.

use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::{Query, Value};

/// A query that is put together piece by piece.
pub(crate) struct Builder<'a> {
    text: String,
    values: Vec<Value<'a>>,
}

impl<'a> Builder<'a> {
    /// A query that begins like this.
    pub(crate) fn new(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Goes on with this text.
    pub(crate) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with these texts and `between` between them.
    pub(crate) fn push_list(&mut self, texts: &[&'static str], between: &'static str) -> &mut Self {
        self.text.push_str(&texts.join(between));
        self
    }

    /// Goes on with a value.
    pub(crate) fn push_bind(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        use std::fmt::Write;
        self.values.push(value.into());
        let _ = write!(self.text, "${}", self.values.len());
        self
    }

    /// Goes on with values and commas between them.
    pub(crate) fn push_values<T: Into<Value<'a>>>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.text.push_str(", ");
            }
            self.push_bind(value);
        }
        self
    }

    /// The query.
    pub(crate) fn build(self) -> Query<'a> {
        Query {
            // Nothing but pieces of the program and `$N` was put in.
            text: AssertSqlSafe(self.text).into_sql_str(),
            values: self.values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Builder;

    #[test]
    fn values_are_numbered_in_their_order() {
        let mut builder = Builder::new("SELECT a FROM b WHERE c = ");
        builder.push_bind(1).push(" AND d IN (");
        builder.push_values(["x", "y"]).push(") ORDER BY ");
        builder.push_list(&["c", "d"], ", ");
        let query = builder.build();
        assert_eq!(
            query.text.as_str(),
            "SELECT a FROM b WHERE c = $1 AND d IN ($2, $3) ORDER BY c, d"
        );
        assert_eq!(query.values.len(), 3);
    }
}

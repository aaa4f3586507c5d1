//! Tables: a header, aligned columns, `-` for what is empty. Nothing is cut, so that a table can be
//! read by `awk` as well.

use comfy_table::{Cell, Table, presets};
use serde_json::Value;

/// A column: its heading, and where its value is (a path of keys; alternatives are tried in order).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Heading.
    pub(crate) title: &'static str,
    /// Dotted paths, tried in order.
    pub(crate) paths: &'static [&'static str],
}

/// Renders rows; the header is there also without rows.
pub(crate) fn render(columns: &[Column], rows: &[Value]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| columns.iter().map(|column| cell(row, column)).collect())
        .collect();
    let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
    lines(&titles, &cells)
}

/// Aligns text cells under titles.
pub(crate) fn lines(titles: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(titles.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.iter().map(Cell::new));
    }
    table.discover_columns();
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text of one cell.
fn cell(row: &Value, column: &Column) -> String {
    let found = column.paths.iter().find_map(|path| {
        let mut at = row;
        for key in path.split('.') {
            at = at.get(key)?;
        }
        (!at.is_null()).then_some(at)
    });
    match found {
        None => "-".to_owned(),
        Some(value) => words(value),
    }
}

/// A value in one line.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => super::harmless(&text.replace(['\n', '\t'], " ")),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Object(map) if map.is_empty() => "-".to_owned(),
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            super::harmless(&value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[
        Column {
            title: "Id",
            paths: &["id"],
        },
        Column {
            title: "RunnerType",
            paths: &["configuration.type"],
        },
        Column {
            title: "BuiltIn",
            paths: &["built_in"],
        },
    ];

    #[test]
    fn columns_are_aligned_and_empty_cells_show_a_dash() {
        let rows = [
            json!({"id": "a", "configuration": {"type": "docker"}, "built_in": false}),
            json!({"id": "longer", "built_in": true}),
        ];
        insta::assert_snapshot!(render(COLUMNS, &rows), @r"
        Id      RunnerType  BuiltIn
        a       docker      false
        longer  -           true
        ");
    }

    #[test]
    fn an_empty_list_still_has_its_header() {
        assert_eq!(render(COLUMNS, &[]), "Id  RunnerType  BuiltIn\n");
    }
}

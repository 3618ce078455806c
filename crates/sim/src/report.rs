//! Result tables: named columns and rows of cells, written as aligned text for people, as JSON or as
//! CSV for programs and for the results that are recorded and compared on every change.
//!
//! JSON and CSV carry numbers with all their digits, so equal runs give equal files; text rounds
//! them to four significant digits. A number without a value (NaN, infinite) is empty: `null` in
//! JSON, nothing in CSV, `-` in text.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// Digits that text shows of a fraction: differences below 0.1 % are rarely worth a glance.
const SIGNIFICANT_DIGITS: i32 = 4;
/// Fractions below this are shown with an exponent.
const PLAIN_MIN: f64 = 1e-4;

/// One value of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A count or another whole number.
    Integer(i64),
    /// A measured or computed quantity.
    Number(f64),
    /// No value.
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        if number.is_finite() { Self::Number(number) } else { Self::Empty }
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

/// Counts beyond `i64::MAX` lose their last digits.
impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::Number(number as f64), Self::Integer)
    }
}

/// Counts beyond `i64::MAX` lose their last digits.
impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// Named columns and the rows below them; every row has one cell per column.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Makes a table without rows.
    ///
    /// # Panics
    /// If two columns have the same name, as one of them would be lost in JSON.
    pub fn new<N: Into<String>>(columns: impl IntoIterator<Item = N>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        for (index, name) in columns.iter().enumerate() {
            assert!(!columns[..index].contains(name), "two columns are named {name}");
        }
        Self { columns, rows: Vec::new() }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// Unless there is one cell per column.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = row.into_iter().collect();
        assert_eq!(row.len(), self.columns.len(), "a row has one cell per column");
        self.rows.push(row);
    }

    /// Returns the rows so far.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// Renders an array with one object per row, columns in order, one row per line.
    pub fn to_json(&self) -> String {
        let rows = self.rows.iter().map(|cells| Row { columns: &self.columns, cells });
        let lines: Vec<String> = rows
            .map(|row| serde_json::to_string(&row).expect("keys are strings and values are plain"))
            .collect();
        if lines.is_empty() { "[]\n".into() } else { format!("[\n  {}\n]\n", lines.join(",\n  ")) }
    }

    /// Renders comma-separated values after RFC 4180 with a header line; lines end with a newline
    /// alone.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let records = std::iter::once(self.columns.clone())
            .chain(self.rows.iter().map(|row| row.iter().map(exact).collect()));
        for record in records {
            writer.write_record(record).expect("a Vec takes every record of equal length");
        }
        let bytes = writer.into_inner().expect("a Vec takes all bytes");
        String::from_utf8(bytes).expect("strings were written")
    }
}

/// Aligned text: words to the left, numbers to the right.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(rounded).collect()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = rows.iter().map(|row| row[column].chars().count());
                cells.chain([self.columns[column].chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let is_words =
            |column: usize| self.rows.iter().any(|row| matches!(row[column], Cell::Text(_)));
        let rule = widths.iter().map(|&width| "-".repeat(width)).collect();
        for line in [&self.columns, &rule].into_iter().chain(&rows) {
            let cells = line.iter().zip(&widths).enumerate();
            let padded: Vec<String> = cells
                .map(|(column, (cell, &width))| match is_words(column) {
                    true => format!("{cell:<width$}"),
                    false => format!("{cell:>width$}"),
                })
                .collect();
            writeln!(f, "{}", padded.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// So that a report may embed tables; the same array as [`Table::to_json`].
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for cells in &self.rows {
            rows.serialize_element(&Row { columns: &self.columns, cells })?;
        }
        rows.end()
    }
}

/// A row as an object that keeps the order of its columns.
struct Row<'a> {
    columns: &'a [String],
    cells: &'a [Cell],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.cells) {
            object.serialize_entry(column, cell)?;
        }
        object.end()
    }
}

fn exact(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Integer(number) => number.to_string(),
        Cell::Number(number) if number.is_finite() => number.to_string(),
        Cell::Number(_) | Cell::Empty => String::new(),
    }
}

fn rounded(cell: &Cell) -> String {
    match cell {
        Cell::Number(number) if number.is_finite() => significant(*number),
        Cell::Number(_) | Cell::Empty => "-".into(),
        other => exact(other),
    }
}

fn significant(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 {
        return "0".into();
    }
    if size < PLAIN_MIN {
        return format!("{number:.2e}");
    }
    let whole_digits = size.log10().floor() as i32 + 1;
    let decimals = (SIGNIFICANT_DIGITS - whole_digits).max(0) as usize;
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(["matrix", "nodes", "delay_ms", "p"]);
        table.push(["king-like, 1".into(), 1740_usize.into(), 179.234_56.into(), 0.000_012.into()]);
        table.push(["say \"ü\"".into(), 8_u32.into(), f64::NAN.into(), Cell::Empty]);
        table
    }

    #[test]
    fn text_is_aligned_and_rounded() {
        let expected = "\
matrix        nodes  delay_ms        p
------------  -----  --------  -------
king-like, 1   1740     179.2  1.20e-5
say \"ü\"           8         -        -
";
        assert_eq!(sample().to_string(), expected);
    }

    #[test]
    fn json_is_an_array_of_objects_in_column_order() {
        let expected = r#"[
  {"matrix":"king-like, 1","nodes":1740,"delay_ms":179.23456,"p":0.000012},
  {"matrix":"say \"ü\"","nodes":8,"delay_ms":null,"p":null}
]
"#;
        let table = sample();
        assert_eq!(table.to_json(), expected);
        let embedded = serde_json::to_value(&table).expect("a table is plain data");
        let parsed: serde_json::Value = serde_json::from_str(expected).expect("valid JSON");
        assert_eq!(embedded, parsed);
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let expected = "\
matrix,nodes,delay_ms,p
\"king-like, 1\",1740,179.23456,0.000012
\"say \"\"ü\"\"\",8,,
";
        assert_eq!(sample().to_csv(), expected);
    }

    #[test]
    fn table_without_rows_keeps_its_columns() {
        let table = Table::new(["a", "b"]);
        assert_eq!(table.to_json(), "[]\n");
        assert_eq!(table.to_csv(), "a,b\n");
        assert_eq!(table.to_string(), "a  b\n-  -\n");
    }

    #[test]
    fn text_keeps_four_significant_digits() {
        let cases = [
            (0.0, "0"),
            (123_456.7, "123457"),
            (1234.56, "1235"),
            (12.3456, "12.35"),
            (-0.012_345_6, "-0.01235"),
        ];
        for (number, shown) in cases {
            assert_eq!(significant(number), shown);
        }
    }

    #[test]
    #[should_panic(expected = "one cell per column")]
    fn short_row_is_refused() {
        Table::new(["a", "b"]).push([Cell::Empty]);
    }

    #[test]
    #[should_panic(expected = "two columns are named a")]
    fn ambiguous_columns_are_refused() {
        Table::new(["a", "a"]);
    }
}

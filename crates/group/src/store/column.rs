//! How a column becomes a value: numbers and texts that were written by this folder.

use std::str::FromStr;

use pki::UnixTime;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::StoreError;

/// Reads the columns of a row by name.
pub(super) trait Columns {
    /// A number or an ID.
    fn number<T: From<i64>>(&self, name: &'static str) -> Result<T, StoreError>;
    /// A number or none.
    fn maybe_number(&self, name: &'static str) -> Result<Option<i64>, StoreError>;
    /// A text.
    fn text(&self, name: &'static str) -> Result<String, StoreError>;
    /// A text or none.
    fn maybe_text(&self, name: &'static str) -> Result<Option<String>, StoreError>;

    /// A number that is small.
    fn count(&self, name: &'static str) -> Result<u32, StoreError> {
        u32::try_from(self.number::<i64>(name)?).map_err(|_| StoreError::Corrupt(name))
    }

    /// Yes or no.
    fn flag(&self, name: &'static str) -> Result<bool, StoreError> {
        Ok(self.number::<i64>(name)? != 0)
    }

    /// A time.
    fn time(&self, name: &'static str) -> Result<UnixTime, StoreError> {
        self.maybe_time(name)?.ok_or(StoreError::Corrupt(name))
    }

    /// A time or none.
    fn maybe_time(&self, name: &'static str) -> Result<Option<UnixTime>, StoreError> {
        Ok(self.maybe_number(name)?.map(|seconds| UnixTime(seconds.max(0).unsigned_abs())))
    }

    /// A text with a form of its own.
    fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T, StoreError> {
        self.text(name)?.parse().map_err(|_| StoreError::Corrupt(name))
    }

    /// JSON.
    fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(name)?).map_err(|_| StoreError::Corrupt(name))
    }

    /// One of a few words.
    fn word<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, StoreError> {
        read_word(self.text(name)?).ok_or(StoreError::Corrupt(name))
    }

    /// One of a few words, or none.
    fn maybe_word<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, StoreError> {
        let Some(text) = self.maybe_text(name)? else { return Ok(None) };
        read_word(text).map(Some).ok_or(StoreError::Corrupt(name))
    }
}

impl Columns for AnyRow {
    fn number<T: From<i64>>(&self, name: &'static str) -> Result<T, StoreError> {
        Ok(self.try_get::<i64, _>(name)?.into())
    }

    fn maybe_number(&self, name: &'static str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn text(&self, name: &'static str) -> Result<String, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn maybe_text(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(name)?)
    }
}

/// Writes a variant without fields as its word.
pub(super) fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("only variants without fields are stored as words: {other:?}"),
    }
}

/// Writes a value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our types have only text keys and infallible fields")
}

/// Writes a time; the end of time is the largest number that the database has.
pub(super) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn read_word<T: DeserializeOwned>(text: String) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text)).ok()
}

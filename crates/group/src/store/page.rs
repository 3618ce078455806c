//! Lists in pieces: a page and where the next one begins.

use serde::{Deserialize, Serialize};

/// Most rows of one page: what a browser shows well and a query gives within milliseconds.
pub const PAGE_MAX: u32 = 500;
/// Usual rows of a page.
pub const PAGE_DEFAULT: u32 = 50;

/// Where a page begins: opaque to clients, given with the page before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// Which piece of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// After this, or from the start.
    pub after: Option<Cursor>,
    limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self::new(None, PAGE_DEFAULT)
    }
}

impl Page {
    /// A piece of at most `limit` rows, 1 to [`PAGE_MAX`].
    pub fn new(after: Option<Cursor>, limit: u32) -> Self {
        Self { after, limit: limit.clamp(1, PAGE_MAX) }
    }

    /// Returns the most rows of the page.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// One row more than is shown tells whether there is a next page.
    pub(super) const fn fetch(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// The number to begin after, where rows are numbered; a bad cursor begins at the start.
    pub(super) fn after_number(&self, start: i64) -> i64 {
        self.after.as_ref().and_then(|cursor| cursor.0.parse().ok()).unwrap_or(start)
    }

    /// The text to begin after, where rows are sorted by one.
    pub(super) fn after_text(&self) -> &str {
        self.after.as_ref().map_or("", |cursor| &cursor.0)
    }

    /// Cuts fetched rows to the page.
    pub(super) fn cut<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Paged<T> {
        let more = items.len() > self.limit as usize;
        items.truncate(self.limit as usize);
        let next = items.last().filter(|_| more).map(|last| Cursor(key(last)));
        Paged { items, next }
    }
}

/// A piece of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next piece begins; none at the end.
    pub next: Option<Cursor>,
}

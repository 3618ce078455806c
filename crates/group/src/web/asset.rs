//! The files that pages refer to: the stylesheet and the mark. Their addresses carry a digest of
//! their content, so that browsers may keep them for ever.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};

/// A file of the pages.
#[derive(Debug)]
pub struct Asset {
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub content: &'static str,
    path: String,
}

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, content: &'static str) -> Self {
        let digest = digest(&SHA256, content.as_bytes());
        let digest =
            digest.as_ref().first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first));
        Self { media_type, content, path: format!("/assets/{name}-{digest:016x}.{extension}") }
    }

    /// Its address.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// The stylesheet.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "style",
        "css",
        "text/css; charset=utf-8",
        concat!(include_str!("style.css"), include_str!("ring.css")),
    )
});

/// The mark, for tabs and bookmarks.
pub static MARK: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("mark", "svg", "image/svg+xml", include_str!("mark.svg")));

/// Finds the file at an address.
pub fn find(path: &str) -> Option<&'static Asset> {
    [&*STYLE, &*MARK].into_iter().find(|asset| asset.path() == path)
}

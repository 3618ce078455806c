//! Every page, rendered with samples: what must hold for all of them, and files to look at.
//!
//! The files go to `target/pages`, with the stylesheet; serve that directory to see them.

mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use group::web::asset;

#[test]
fn unit_wb_01_pages_have_no_script_and_no_inline_style() {
    for (name, html) in samples::pages() {
        for forbidden in ["<script", "style=", "javascript:", "<style", " on"] {
            let found = tags(&html).find(|tag| format!("<{tag}").contains(forbidden));
            assert!(found.is_none(), "{name}: {forbidden} in {found:?}");
        }
        assert!(!html.contains("http://"), "{name} refers to another site");
    }
}

#[test]
fn unit_wb_01_every_input_has_a_label_and_every_reference_a_target() {
    for (name, html) in samples::pages() {
        let ids: Vec<&str> = tags(&html).filter_map(|tag| value(tag, "id")).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: an id stands twice in {ids:?}");
        let labels: BTreeSet<&str> = tags(&html).filter_map(|tag| value(tag, "for")).collect();
        for tag in tags(&html) {
            for key in ["for", "aria-describedby", "aria-labelledby"] {
                for id in value(tag, key).into_iter().flat_map(str::split_whitespace) {
                    assert!(unique.contains(id), "{name}: {key} of {tag:?}");
                }
            }
            let entry = ["input ", "select ", "textarea "].iter().any(|e| tag.starts_with(e));
            let hidden = tag.contains("type=\"hidden\"") || tag.contains("aria-hidden");
            if entry && !hidden {
                let id = value(tag, "id").unwrap_or_default();
                assert!(labels.contains(id), "{name}: no label for {tag:?}");
            }
        }
    }
}

#[test]
fn unit_wb_01_every_form_that_changes_something_carries_the_token() {
    for (name, html) in samples::pages() {
        for form in html.split("<form").skip(1) {
            let (tag, rest) = form.split_once('>').unwrap();
            let content = rest.split("</form>").next().unwrap();
            let posts = tag.contains("method=\"post\"");
            let carries = content.contains("name=\"csrf\" value=\"sample-proof\"");
            assert_eq!(posts, carries, "{name}: <form{tag}>");
        }
    }
}

#[test]
fn unit_wb_01_tags_are_closed_and_each_page_has_one_title_and_heading() {
    const VOID: [&str; 4] = ["meta", "link", "input", "br"];
    for (name, html) in samples::pages() {
        let mut open = Vec::new();
        for tag in tags(&html) {
            let word = tag.split(|c: char| c.is_whitespace()).next().unwrap();
            match word.strip_prefix('/') {
                Some(word) => assert_eq!(open.pop(), Some(word), "{name}: <{tag}>"),
                None if word.starts_with('!') || VOID.contains(&word) || tag.ends_with('/') => {}
                None => open.push(word),
            }
        }
        assert!(open.is_empty(), "{name}: {open:?} stay open");
        assert_eq!(html.matches("<h1").count(), 1, "{name}");
        assert!(html.contains("<html lang=\"en\">"), "{name}");
    }
}

#[test]
fn unit_wb_01_pages_can_be_looked_at() {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../pages");
    fs::create_dir_all(place.join("assets")).unwrap();
    for asset in [&*asset::STYLE, &*asset::MARK] {
        fs::write(place.join(&asset.path()[1..]), asset.content).unwrap();
    }
    for (name, html) in samples::pages() {
        fs::write(place.join(format!("{name}.html")), html).unwrap();
    }
}

/// Returns what stands between `<` and `>`.
fn tags(html: &str) -> impl Iterator<Item = &str> {
    html.split('<').skip(1).filter_map(|rest| rest.split('>').next())
}

/// Returns the value of an attribute of a tag.
fn value<'a>(tag: &'a str, key: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {key}=\""))? + key.len() + 3;
    tag[start..].split('"').next()
}

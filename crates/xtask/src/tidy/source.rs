//! A text file of the repository, and its Rust code without comments and literals.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Finding;

pub(super) struct Source {
    /// Relative to the root of the repository.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The code with comments and the contents of literals blanked; line numbers stay.
    pub(super) fn code(&self) -> String {
        code_only(&self.text)
    }

    pub(super) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// Reads all text files that git tracks or would add.
pub(super) fn read_sources() -> Result<Vec<Source>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("git")
        // A container often has the tree mounted from another user, which git refuses by default.
        .args(["-c", "safe.directory=*"])
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .context("cannot start git")?;
    ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr).trim());
    let paths = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut sources = Vec::new();
    for path in paths.split_terminator('\0') {
        // A listed file may be deleted but not yet committed; images are not text.
        let Ok(bytes) = fs::read(root.join(path)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        sources.push(Source { path: path.to_owned(), text });
    }
    Ok(sources)
}

/// Whether `code` contains `word` with no other identifier character around it.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (skipped, blank) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), true),
            '/' if rest.starts_with("/*") => (block_comment(rest), true),
            '"' => (quoted(rest), true),
            '\'' => (character(rest), true),
            'r' if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') => raw(rest),
            'b' if rest.starts_with("br") && !code.ends_with(char::is_alphanumeric) => {
                let (length, blank) = raw(&rest[1..]);
                (length + 1, blank)
            }
            _ => (first.len_utf8(), false),
        };
        let (piece, tail) = rest.split_at(skipped);
        if blank {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push_str(piece);
        }
        rest = tail;
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            match rest.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => return at,
            }
        }
        if depth == 0 {
            return at;
        }
    }
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal, or of the quote that begins a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let is_escape = matches!(chars.next(), Some((_, '\\')));
    if is_escape {
        let _ = chars.next();
        return chars.find(|&(_, c)| c == '\'').map_or(1, |(at, _)| at + 1);
    }
    match chars.next() {
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}

/// The length of a raw string and that it is to be blanked, or of the letter `r`.
fn raw(text: &str) -> (usize, bool) {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let body = &text[1 + hashes..];
    if !body.starts_with('"') {
        return (1, false);
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body[1..].find(&end).map_or(body.len(), |at| 1 + at + end.len());
    (1 + hashes + length, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_tidy_code_has_no_comments_and_literals() {
        let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" 'i' '\\'' &'static j br#\"k \" l\"# m";
        let words: Vec<_> =
            code_only(text).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words, ["a", "f", "&", "static", "j", "m"]);
    }

    #[test]
    fn unit_tidy_code_keeps_line_numbers() {
        assert_eq!(code_only("\"a\nb\"\n/*\n*/c").matches('\n').count(), 3);
    }

    #[test]
    fn unit_tidy_code_survives_unfinished_text() {
        for text in ["\"", "'", "'\\", "r#\"", "br", "/*", "r", "'é", "\"\\"] {
            assert_eq!(code_only(text).chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn unit_tidy_words_are_whole() {
        assert!(has_word("a::Mutex<u8>", "Mutex"));
        assert!(!has_word("MutexLike my_Mutex", "Mutex"));
    }
}

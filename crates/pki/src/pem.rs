//! PEM and base64 text around DER bytes (RFC 7468).
//!
//! Only what this crate writes is read: one kind of block at a time, other text ignored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Longest accepted PEM text in bytes; a certificate is below 2 KB, a root and issuers below 16.
const TEXT_LEN_MAX: usize = 64 * 1024;
/// Characters per line (RFC 7468 section 2).
const LINE_LEN: usize = 64;

/// Writes one block.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // Room for everything at once: a growing string would leave copies of a key behind.
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE_LEN + 128));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(LINE_LEN));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// Reads every block with this label, in order; `None` when there is none or one is broken.
pub(crate) fn decode_all(label: &str, text: &str) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    if text.len() > TEXT_LEN_MAX {
        return None;
    }
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, tail) = after.split_once(&end)?;
        let compact: Zeroizing<String> =
            Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        blocks.push(Zeroizing::new(from_base64(&compact)?));
        rest = tail;
    }
    (!blocks.is_empty()).then_some(blocks)
}

/// Reads the only block with this label.
pub(crate) fn decode_one(label: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut blocks = decode_all(label, text)?;
    if blocks.len() == 1 { blocks.pop() } else { None }
}

pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_round_trip_among_other_text() {
        let text = format!("note\n{}{}", &*encode("A", &[1; 100]), &*encode("A", &[2; 48]));
        let blocks = decode_all("A", &text).expect("two blocks");
        assert_eq!(blocks.iter().map(|b| b.len()).collect::<Vec<_>>(), [100, 48]);
        assert!(decode_one("A", &text).is_none(), "one was asked for, two are there");
        assert!(decode_all("B", &text).is_none());
    }

    #[test]
    fn a_cut_block_is_refused() {
        let text = encode("A", &[1; 100]);
        assert!(decode_all("A", &text[..text.len() - 10]).is_none());
    }
}

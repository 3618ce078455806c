//! The colours of the stylesheet: contrast as WCAG 2.2 asks for it (level AA), in both schemes.

use std::collections::BTreeMap;

use group::web::asset::STYLE;

/// Text on what is behind it: 4.5 to 1 (success criterion 1.4.3).
const TEXT: [(&str, &[&str]); 7] = [
    ("ink", &["paper", "card", "sunk", "accent-wash", "caution-wash", "danger-wash"]),
    ("soft", &["paper", "card", "sunk"]),
    ("accent", &["paper", "card", "sunk", "accent-wash"]),
    ("danger", &["paper", "card", "sunk", "danger-wash"]),
    ("caution", &["card", "caution-wash"]),
    ("on-accent", &["accent"]),
    ("on-danger", &["danger"]),
];
/// Borders of what can be filled in, and focus: 3 to 1 (1.4.11).
const SHAPES: [(&str, &[&str]); 2] = [("edge", &["paper", "card"]), ("accent", &["paper", "card"])];

#[test]
fn unit_wb_01_colours_have_contrast_in_light_and_dark() {
    let (light, dark) =
        STYLE.content.split_once("prefers-color-scheme: dark").expect("two schemes");
    for (scheme, text) in [("light", light), ("dark", dark)] {
        let tokens = tokens(text);
        for (pairs, least) in [(&TEXT[..], 4.5), (&SHAPES[..], 3.0)] {
            for (front, backs) in pairs {
                for back in *backs {
                    let contrast = contrast(tokens[*front], tokens[*back]);
                    assert!(contrast >= least, "{scheme}: {front} on {back} is {contrast:.2}");
                }
            }
        }
    }
}

#[test]
fn unit_wb_01_colours_come_from_the_tokens_alone() {
    let tokens = STYLE.content.matches("  --").count();
    let colours = STYLE.content.lines().filter(|line| line.contains(": #")).count();
    let rest = STYLE.content.lines().filter(|line| line.contains('#') && !line.contains("  --"));
    assert!(colours > 0 && colours <= tokens);
    assert_eq!(rest.count(), 0, "a colour outside the tokens is the same in light and dark");
}

/// Reads `--name: #rrggbb;` of the first block.
fn tokens(text: &str) -> BTreeMap<&str, [u8; 3]> {
    let block = text.split_once("--").expect("has tokens").1.split('}').next().expect("ends");
    let lines = block.split(';').filter_map(|line| line.split_once(": #"));
    lines.map(|(name, hex)| (name.trim().trim_start_matches("--"), rgb(hex))).collect()
}

fn rgb(hex: &str) -> [u8; 3] {
    let number = u32::from_str_radix(hex.trim(), 16).expect("six digits");
    let [_, red, green, blue] = number.to_be_bytes();
    [red, green, blue]
}

fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Relative luminance of sRGB.
fn luminance(colour: [u8; 3]) -> f64 {
    let [red, green, blue] = colour.map(|value| match f64::from(value) / 255.0 {
        value if value <= 0.04045 => value / 12.92,
        value => ((value + 0.055) / 1.055).powf(2.4),
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

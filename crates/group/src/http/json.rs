//! What a body of JSON or a query says, and what is wrong with it: which field, and what that may be.
//!
//! How it works: the text becomes a tree, and the tree the type that is wanted. The library alone would
//! do it in one step, but its words quote values, and a value may be a password at the wrong place.
//! The words here are made of names and of what is expected.

use std::fmt::{self, Display, Write as _};
use std::vec;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

/// Longest name that is repeated to the one who sent it, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Reads a body; the error is a sentence for its sender.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if body.is_empty() {
        return Err("the body is empty; expected a JSON object".to_owned());
    }
    // A tree takes every value, so this fails on grammar alone, in words that quote nothing.
    let tree: Tree =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    T::deserialize(tree).map_err(|mismatch| mismatch.to_string())
}

/// Reads a query; the error is a sentence for its sender.
pub fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, String> {
    let wrong = |error: &dyn Display| format!("the query: {error}");
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|error| wrong(&error))?;
    let members = pairs.into_iter().map(|(name, word)| (name, Tree::Word(word)));
    T::deserialize(Tree::Object(members.collect())).map_err(|mismatch| wrong(&mismatch))
}

/// What was sent. Members stay in their order, and one that stands there twice stays twice.
enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// A value of a query: text, or a number or boolean, as is wanted.
    Word(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// Where the tree is not what is wanted, and what is.
#[derive(Debug)]
struct Mismatch {
    /// From the body down to the field; empty for the body itself.
    path: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Missing,
    Twice,
    Unknown(&'static [&'static str]),
    Wrong(String),
}

impl Mismatch {
    fn at(name: &str, what: What) -> Self {
        Self { path: name.chars().take(NAME_CHARS_MAX).collect(), what }
    }

    fn expected(what: impl Display) -> Self {
        Self::at("", What::Wrong(format!("expected {what}")))
    }

    /// The same, seen from one level above.
    fn inside(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        let outer: String = outer.chars().take(NAME_CHARS_MAX).collect();
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str("the body")?,
            path => write!(f, "field `{path}`")?,
        }
        match &self.what {
            What::Missing => f.write_str(" is missing"),
            What::Twice => f.write_str(" stands there twice"),
            What::Unknown([]) => f.write_str(" is not known; none is expected there"),
            What::Unknown(known) => write!(f, " is not known; known there: {}", one_of(known)),
            What::Wrong(what) => write!(f, ": {what}"),
        }
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    /// What one of our own types says of its text.
    fn custom<T: Display>(message: T) -> Self {
        Self::at("", What::Wrong(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(format_args!("{}, not {}", wanted(expected), kind(found)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(wanted(expected))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::expected(wanted(expected))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::expected(one_of(expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::at(field, What::Unknown(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at(field, What::Missing)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::at(field, What::Twice)
    }
}

/// The words of Rust's types in those of JSON.
fn wanted(expected: &dyn Expected) -> String {
    let number = |max: u64| format!("a whole number of 0 to {max}");
    let text = expected.to_string();
    match text.as_str() {
        "u8" => number(u8::MAX.into()),
        "u16" => number(u16::MAX.into()),
        "u32" => number(u32::MAX.into()),
        "u64" => number(u64::MAX),
        "i64" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "newtype variant" => "an object of that name and its value".to_owned(),
        _ => text,
    }
}

const fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a number",
        Unexpected::Float(_) => "a number with a fraction",
        Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::UnitVariant => "text",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "a list",
        _ => "an object",
    }
}

fn one_of(names: &[&str]) -> String {
    let mut all = String::new();
    for (index, name) in names.iter().enumerate() {
        let joint = match index {
            0 => "",
            _ if index + 1 == names.len() => " or ",
            _ => ", ",
        };
        let _ = write!(all, "{joint}`{name}`");
    }
    all
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

/// Takes every value.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Tree::Object(object))
    }
}

/// Numbers and booleans: in a query they are words.
macro_rules! words {
    ($($deserialize:ident $visit:ident,)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            let Self::Word(word) = self else { return self.deserialize_any(visitor) };
            match word.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Mismatch::expected(wanted(&visitor))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(value) | Self::Word(value) => visitor.visit_string(value),
            Self::List(list) => visitor.visit_seq(Items(list.into_iter().enumerate())),
            Self::Object(object) => {
                visitor.visit_map(Members { rest: object.into_iter(), value: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self {
            Self::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    /// An object alone: a list would be taken for the fields in the order of their declaration.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self {
            Self::Object(_) => self.deserialize_any(visitor),
            _ => Err(Mismatch::expected("an object")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self {
            Self::Text(text) | Self::Word(text) => {
                text.into_deserializer().deserialize_enum(name, variants, visitor)
            }
            Self::Object(object) if object.len() == 1 => {
                let members = Members { rest: object.into_iter(), value: None };
                MapAccessDeserializer::new(members).deserialize_enum(name, variants, visitor)
            }
            _ => Err(Mismatch::expected(one_of(variants))),
        }
    }

    words! {
        deserialize_bool visit_bool,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

/// What is in a list.
struct Items(std::iter::Enumerate<vec::IntoIter<Tree>>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Mismatch;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mismatch> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        let read = seed.deserialize(item).map_err(|error| error.inside(&format!("[{index}]")));
        read.map(Some)
    }
}

/// What is in an object.
struct Members {
    rest: vec::IntoIter<(String, Tree)>,
    value: Option<(String, Tree)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Mismatch;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Mismatch> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        let key = seed.deserialize(name.as_str().into_deserializer());
        self.value = Some((name, value));
        key.map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        let (name, value) = self.value.take().ok_or_else(|| Mismatch::expected("a value"))?;
        seed.deserialize(value).map_err(|error| error.inside(&name))
    }
}

#[cfg(test)]
mod tests {
    use pki::{Ipv4Subnet, NodeId, UnixTime};
    use zeroize::Zeroizing;

    use super::*;
    use crate::model::{Policies, RequestState};

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only errors are looked at")]
    struct Sample {
        name: String,
        subnet: Ipv4Subnet,
        password: Option<Zeroizing<String>>,
        node: Option<NodeId>,
        expires: Option<UnixTime>,
        #[serde(default)]
        policies: Policies,
    }

    fn complaint(more: &str) -> String {
        let body = format!(r#"{{"name": "team", "subnet": "10.42.0.0/16"{more}}}"#);
        read::<Sample>(body.as_bytes()).expect_err(more)
    }

    #[test]
    fn unit_wb_01_a_body_that_does_not_fit_is_told_which_field_and_what_it_may_be() {
        let more = r#", "node": null, "expires": 1800000000, "policies": {"quota": 3,
            "approval": {"automatic_up_to": 5}, "bootstrap": ["boot.example.org:7415"]}"#;
        let body = format!(r#"{{"name": "team", "subnet": "10.42.0.0/16"{more}}}"#);
        let read_well: Sample = read(body.as_bytes()).expect("fits");
        assert_eq!(read_well.policies.quota, 3);
        for (more, expected) in [
            (
                r#", "nmae": 1"#,
                "field `nmae` is not known; known there: `name`, `subnet`, `password`, `node`, `expires` or `policies`",
            ),
            (r#", "name": "x""#, "field `name` stands there twice"),
            (r#", "password": 7"#, "field `password`: expected text, not a number"),
            (
                r#", "expires": "now""#,
                "field `expires`: expected a whole number of 0 to 18446744073709551615, not text",
            ),
            (
                r#", "expires": -1"#,
                "field `expires`: expected a whole number of 0 to 18446744073709551615",
            ),
            (r#", "node": "01""#, "field `node`: expected 40 hexadecimal digits"),
            (r#", "policies": []"#, "field `policies`: expected an object"),
            (
                r#", "policies": {"quota": 1.5}"#,
                "field `policies.quota`: expected a whole number of 0 to 4294967295, not a number with a fraction",
            ),
            (
                r#", "policies": {"mtu": 70000}"#,
                "field `policies.mtu`: expected a whole number of 0 to 65535",
            ),
            (
                r#", "policies": {"approval": "none"}"#,
                "field `policies.approval`: expected `manual`, `automatic` or `automatic_up_to`",
            ),
            (
                r#", "policies": {"approval": {"automatic_up_to": "x"}}"#,
                "field `policies.approval.automatic_up_to`: expected a whole number of 0 to 4294967295, not text",
            ),
            (
                r#", "policies": {"approval": "automatic_up_to"}"#,
                "field `policies.approval`: expected an object of that name and its value, not text",
            ),
            (
                r#", "policies": {"bootstrap": ["a:1", 2]}"#,
                "field `policies.bootstrap[1]`: expected text, not a number",
            ),
            (
                r#", "policies": {"qouta": 1}"#,
                "field `policies.qouta` is not known; known there: `approval`, `quota`, `certificate_life_seconds`, `stale_policy`, `mtu`, `lease_seconds` or `bootstrap`",
            ),
        ] {
            assert_eq!(complaint(more), expected, "{more}");
        }
        let said = |body: &str| read::<Sample>(body.as_bytes()).expect_err(body);
        assert_eq!(said(r#"{"subnet": "10.42.0.0/16"}"#), "field `name` is missing");
        assert_eq!(said("[1]"), "the body: expected an object");
        assert_eq!(said(""), "the body is empty; expected a JSON object");
        assert!(said("{\"name\"").starts_with("the body is not JSON: EOF while parsing"));
        let wide = said(r#"{"name": "team", "subnet": "10.42.0.0/33"}"#);
        assert!(wide.starts_with("field `subnet`: ") && wide.contains('/'), "{wide}");
    }

    #[test]
    fn unit_wb_01_a_query_that_does_not_fit_is_told_which_field_and_what_it_may_be() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Query {
            after: Option<String>,
            limit: Option<u32>,
            #[serde(default)]
            own: bool,
            state: RequestState,
        }
        let whole: Query = read_query("after=7&limit=7&own=true&state=denied").expect("fits");
        let (after, limit) = (Some("7".to_owned()), Some(7));
        assert_eq!(whole, Query { after, limit, own: true, state: RequestState::Denied });
        for (query, expected) in [
            ("state=denied&limit=hunter2", "`limit`: expected a whole number of 0 to 4294967295"),
            ("state=denied&own=hunter2", "`own`: expected true or false"),
            ("state=hunter2", "`state`: expected `pending`, `approved`, `denied` or `withdrawn`"),
            ("state=denied&own=true&own=true", "`own` stands there twice"),
            ("limit=7", "`state` is missing"),
        ] {
            let said = read_query::<Query>(query).expect_err(query);
            assert_eq!(said, format!("the query: field {expected}"));
        }
    }

    #[test]
    fn no_value_is_repeated_and_no_long_name() {
        let secrets = [
            r#", "password": {"of": "hunter2"}"#,
            r#", "node": "hunter2""#,
            r#", "policies": {"approval": "hunter2"}"#,
            r#", "policies": {"stale_policy": "hunter2"}"#,
            r#", "policies": {"bootstrap": ["hunter2"]}"#,
            r#", "policies": "hunter2""#,
        ];
        for secret in secrets {
            assert!(!complaint(secret).contains("hunter2"), "{}", complaint(secret));
        }
        let long = complaint(&format!(", \"{}\": 1", "x".repeat(10_000)));
        assert!(long.len() < 300, "{long}");
    }
}

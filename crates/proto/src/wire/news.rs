//! News of the group's authority on their way between two members: notices, heads, group secrets.
//!
//! ```text
//! standing  notices 8 | head 8 | secret 4
//! items     n times: length 2 | notice, head (`pki::notice`) or group secret (`pki::keyring`)
//! ```
//! These are the bodies of the control messages `Standing`, `NewsAsk` and `News` (see `wire::control`); a
//! `Broadcast` carries one notice or head as it is; the routed protocol `Notices` a list of them. What an item says is proven by the authority's signature
//! in it, whoever brings it.

use super::{Malformed, Reader};
use pki::NOTICE_LEN_MAX;

/// Longest list of items in bytes: with frame and headers below 1,200, so that it fits every path.
pub const ITEMS_LEN_MAX: usize = 1_100;
/// Bytes before each item.
const ITEM_HEADER_LEN: usize = 2;

/// What a member knows of what its authority said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Number of the newest notice of the unbroken chain.
    pub notices: u64,
    /// When the newest head was issued, in seconds since 1970; 0 without one.
    pub head: u64,
    /// Newest generation of the group secret.
    pub secret: u32,
}

impl Standing {
    /// Whether a member that stands here knows less of anything than one that stands there.
    pub fn is_behind(self, there: Standing) -> bool {
        self.notices < there.notices || self.head < there.head || self.secret < there.secret
    }

    pub(super) fn parse(r: &mut Reader<'_>) -> Result<Standing, Malformed> {
        Ok(Standing { notices: r.u64()?, head: r.u64()?, secret: r.u32()? })
    }

    pub(super) fn emit(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.notices.to_be_bytes());
        out.extend_from_slice(&self.head.to_be_bytes());
        out.extend_from_slice(&self.secret.to_be_bytes());
    }
}

/// A list of items whose lengths are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    /// Takes a whole list.
    pub fn parse(bytes: &'a [u8]) -> Result<Items<'a>, Malformed> {
        if bytes.len() > ITEMS_LEN_MAX {
            return Err(Malformed::Field("items"));
        }
        let mut r = Reader::new(bytes);
        while r.remaining() > 0 {
            let length = usize::from(r.u16()?);
            if !(1..=NOTICE_LEN_MAX).contains(&length) {
                return Err(Malformed::Field("item length"));
            }
            r.take(length)?;
        }
        Ok(Items(bytes))
    }

    /// The items in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut r = Reader::new(self.0);
        std::iter::from_fn(move || {
            let length = r.u16().ok()?;
            r.take(length.into()).ok()
        })
    }

    pub(super) fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Writes items into as many lists as they need, in order.
pub fn lists<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> Vec<Vec<u8>> {
    let mut lists: Vec<Vec<u8>> = Vec::new();
    for item in items {
        let item = item.as_ref();
        debug_assert!((1..=NOTICE_LEN_MAX).contains(&item.len()));
        let need = ITEM_HEADER_LEN + item.len();
        if lists.last().is_none_or(|list| list.len() + need > ITEMS_LEN_MAX) {
            lists.push(Vec::with_capacity(ITEMS_LEN_MAX));
        }
        if let Some(list) = lists.last_mut() {
            list.extend_from_slice(&(item.len() as u16).to_be_bytes());
            list.extend_from_slice(item);
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn items_survive_being_cut_into_lists(
            items in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=NOTICE_LEN_MAX), 0..20),
        ) {
            let lists = lists(&items);
            let read: Vec<Vec<u8>> = lists
                .iter()
                .flat_map(|list| Items::parse(list).expect("own output").iter())
                .map(<[u8]>::to_vec)
                .collect();
            prop_assert_eq!(read, items);
        }

        #[test]
        fn hostile_lists_are_read_within_their_bounds_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..ITEMS_LEN_MAX + 50),
        ) {
            if let Ok(items) = Items::parse(&bytes) {
                let whole: usize = items.iter().map(|item| ITEM_HEADER_LEN + item.len()).sum();
                prop_assert_eq!(whole, bytes.len());
            }
        }
    }

    #[test]
    fn whoever_knows_less_of_anything_is_behind() {
        let here = Standing { notices: 3, head: 10, secret: 4 };
        assert!(!here.is_behind(here));
        for there in [
            Standing { notices: 4, ..here },
            Standing { head: 11, ..here },
            Standing { secret: 5, ..here },
        ] {
            assert!(here.is_behind(there) && !there.is_behind(here));
        }
    }
}

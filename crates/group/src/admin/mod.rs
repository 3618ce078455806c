//! What whoever has the machine can do: the admin command line.
//!
//! | file | question |
//! |---|---|
//! | `account` | how do accounts come to be without the web page |
//! | `backup` | how is the database copied while it is used |

pub mod account;
pub mod backup;

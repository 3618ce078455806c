//! What whoever has the machine can do: the admin command line.
//!
//! | file | question |
//! |---|---|
//! | `account` | how do accounts come to be without the web page |
//! | `backup` | how is the database copied while it is used |
//! | `list` | which accounts and groups are there |
//! | `revoke` | how is a member put out, and who knows it |
//! | `transfer` | how does the site get into another database |
//! | `audit` | how does the log get out |

pub mod account;
pub mod audit;
pub mod backup;
pub mod list;
pub mod revoke;
pub mod transfer;

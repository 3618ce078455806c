//! The pages: server-rendered HTML that works without script, by keyboard, and on small screens.
//!
//! How it works: `pages` turn views into markup and know nothing of HTTP; the stylesheet and the
//! mark are the only other files. Everything that changes something is a form with the CSRF token
//! of its session; what cannot be undone is asked about on a page of its own. There is no script
//! at all, so that the policy of the site can forbid all of it.
//!
//! | file | question |
//! |---|---|
//! | `page` | what every page has around its content |
//! | `parts`, `form` | which pieces pages are made of |
//! | `pages` | what each page shows |
//! | `ring` | how the ring is drawn |
//! | `asset` | which files the pages refer to |
//! | `routes` | which pages there are, who may see them, and what their forms do |

pub mod asset;
pub mod form;
pub mod page;
pub mod pages;
pub mod parts;
pub mod ring;
mod routes;

pub use routes::pages as routes;

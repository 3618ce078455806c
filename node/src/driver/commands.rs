//! Commands of clients that the node is still working on.

use std::collections::HashMap;

use proto::node::api::{Answer, Ticket};
use proto::overlay::crawl::{Report, Visited};
use tokio::sync::oneshot;

use crate::api::{self, Reply};

/// Commands that wait for their answer; more are refused.
const COMMANDS_MAX: usize = 256;

/// Who waits for which answer.
#[derive(Debug, Default)]
pub struct Commands {
    waiting: HashMap<Ticket, Waiter>,
    last_ticket: u64,
}

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// What the answer says by itself.
    Itself,
    /// Who knows the notice of this number.
    Notice(u64),
    /// The nodes of the ring with their links.
    Ring,
    /// Who holds an address.
    Holder,
}

#[derive(Debug)]
struct Waiter {
    about: About,
    reply: oneshot::Sender<Reply>,
}

impl Commands {
    /// Remembers who asked; `None`, and the asker is told, if too many wait.
    pub fn begin(&mut self, about: About, reply: oneshot::Sender<Reply>) -> Option<Ticket> {
        // Those who left are not waited for any more.
        self.waiting.retain(|_, waiter| !waiter.reply.is_closed());
        if self.waiting.len() >= COMMANDS_MAX {
            let _ = reply.send(Reply::Error("too many commands under way: try again".into()));
            return None;
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiting.insert(ticket, Waiter { about, reply });
        Some(ticket)
    }

    /// Passes the node's answer on.
    pub fn finish(&mut self, ticket: Ticket, answer: Answer) {
        let Some(Waiter { about, reply }) = self.waiting.remove(&ticket) else { return };
        let text = match answer {
            Answer::Pong { node: node_id, rtt, hops, path } => {
                let rtt_ms = rtt.as_secs_f64() * 1e3;
                Reply::of(&api::Pong { node_id, rtt_ms, hops, path: path.into() })
            }
            Answer::Values { records, complete } if about == About::Holder => {
                let node_id = records.first().map(|record| record.owner);
                Reply::of(&api::Holder { node_id, complete })
            }
            Answer::Values { records, complete } => {
                let values = records.into_iter().map(|record| api::Value {
                    owner: record.owner,
                    value: String::from_utf8_lossy(&record.payload).into_owned(),
                    expiry: record.expiry.as_secs(),
                });
                Reply::of(&api::Values { values: values.collect(), complete })
            }
            Answer::Stored { replicas, .. } => Reply::of(&api::Stored { replicas }),
            Answer::Crawl(report) => match about {
                About::Itself => Reply::of(&crawled(report)),
                About::Holder => Reply::Error("the node answered another question".into()),
                About::Ring => Reply::of(&ring(report)),
                About::Notice(number) => Reply::of(&acknowledged(number, &report)),
            },
            Answer::Failed(why) => Reply::Error(why),
        };
        // Whoever asked and left needs no answer.
        let _ = reply.send(text);
    }
}

fn crawled(report: Report) -> api::Crawl {
    let node = |node: &Visited| api::CrawledNode {
        node_id: node.id,
        consistent: node.consistent,
        notices: node.notices,
    };
    api::Crawl {
        consistent: report.consistent(),
        complete: report.complete,
        nodes: report.nodes.iter().map(node).collect(),
        silent: report.silent,
    }
}

fn ring(report: Report) -> api::Ring {
    let node = |node: Visited| api::RingNode {
        node_id: node.id,
        ipv4: node.ipv4,
        notices: node.notices,
        noticed_at: Some(node.noticed_at).filter(|&at| at > 0),
        links: node.right.into_iter().chain(node.far).collect(),
    };
    api::Ring { nodes: report.nodes.into_iter().map(node).collect(), complete: report.complete }
}

fn acknowledged(number: u64, report: &Report) -> api::Acknowledgements {
    let (acknowledged, last) = report.acknowledged(number);
    api::Acknowledgements {
        number,
        live: report.nodes.len(),
        acknowledged,
        last_at: Some(last).filter(|&at| at > 0),
        complete: report.complete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_commands_are_refused_and_those_given_up_make_room() {
        let mut commands = Commands::default();
        let mut begin = || {
            let (sender, receiver) = oneshot::channel();
            (commands.begin(About::Itself, sender), receiver)
        };
        let waiting: Vec<_> = (0..COMMANDS_MAX).map(|_| begin()).collect();
        assert!(waiting.iter().all(|(ticket, _)| ticket.is_some()));
        let (ticket, mut refused) = begin();
        assert_eq!(ticket, None);
        assert!(matches!(refused.try_recv(), Ok(Reply::Error(_))));
        drop(waiting);
        assert!(begin().0.is_some());
    }
}

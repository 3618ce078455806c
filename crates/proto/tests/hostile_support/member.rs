//! A member of the group that says what it likes: true sessions, true seals, any content.

use super::world::{VICTIM, World, endpoint};
use std::net::SocketAddr;
use warren_proto::NodeId;
use warren_proto::link::{Context, Effect, Links};
use warren_proto::overlay::Instance;
use warren_proto::path::Path;
use warren_proto::rng::Rng;
use warren_proto::wire::control::CloseReason;

/// Exchanges after one message, enough for a whole handshake. Then the member falls silent: a welcome too many
/// is answered by both ends for ever, unless one has enough.
const ROUNDS_MAX: usize = 20;

/// A member that is linked with the victim, or links again as soon as it is not.
pub struct Member {
    links: Links,
    rng: Rng,
    at: SocketAddr,
    victim: NodeId,
}

impl Member {
    /// Links with the victim from this address, as the member `n` of the group.
    pub fn join(world: &mut World, at: SocketAddr, n: u8) -> Member {
        let mut rng = Rng::new([n; 32]);
        let links = Links::new(
            vec![(world.group.suite(n), vec![world.group.gate()])],
            None,
            &mut rng,
            world.now,
        );
        let victim = world.node(VICTIM).id();
        let mut member = Member { links, rng, at, victim };
        member.dial(world);
        member
    }

    /// Whether both ends have a session.
    pub fn is_linked(&self, world: &World) -> bool {
        let me = self.links.suite(Instance(0)).node_id();
        let theirs = world.node(VICTIM).links().session(Instance(0), me);
        theirs.is_some() && self.links.session(Instance(0), self.victim).is_some()
    }

    fn dial(&mut self, world: &mut World) {
        let (victim, paths) = (self.victim, vec![Path::Direct(endpoint(VICTIM))]);
        self.act(world, |links, cx| links.dial(Instance(0), Some(victim), paths, cx));
    }

    /// Seals this as a control message and sends it, over a new session if the victim ended the last one.
    pub fn say(&mut self, world: &mut World, message: &[u8]) {
        let victim = self.victim;
        if !self.is_linked(world) {
            let reason = CloseReason::Unneeded;
            self.act(world, |links, cx| links.close(Instance(0), victim, reason, cx));
            self.dial(world);
        }
        self.act(world, |links, cx| {
            links.send(Instance(0), victim, message, cx);
        });
    }

    /// Lets it act, and everything that follows happen, without delay.
    fn act(&mut self, world: &mut World, call: impl FnOnce(&mut Links, &mut Context<'_>)) {
        let mut effects = Vec::new();
        let (now, rng) = (world.now(), &mut self.rng);
        call(&mut self.links, &mut Context { now, rng, effects: &mut effects });
        let mut cx = Context { now, rng: &mut self.rng, effects: &mut effects };
        self.links.handle_timeout(&mut cx);
        for _ in 0..ROUNDS_MAX {
            for effect in std::mem::take(&mut effects) {
                if let Effect::Transmit { path, mut bytes, .. } = effect
                    && path == Path::Direct(endpoint(VICTIM))
                {
                    world.inject(VICTIM, self.at, &mut bytes);
                }
            }
            let mail = std::mem::take(&mut world.mail);
            let mine = mail.into_iter().filter(|(to, _)| *to == self.at);
            let (from, rng) = (Path::Direct(endpoint(VICTIM)), &mut self.rng);
            let mut cx = Context { now, rng, effects: &mut effects };
            mine.for_each(|(_, mut bytes)| {
                self.links.handle_datagram(from, None, &mut bytes, &mut cx);
            });
            if effects.is_empty() {
                return;
            }
        }
    }
}

//! A member of the group that says what it likes: true sessions, true seals, any content.

use super::world::{VICTIM, World, endpoint};
use std::net::SocketAddr;
use warren_proto::NodeId;
use warren_proto::link::{Context, Effect, Links};
use warren_proto::overlay::Instance;
use warren_proto::path::Path;
use warren_proto::rng::Rng;

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
        let links = Links::new(vec![(world.group.suite(n), vec![])], &mut rng, world.now);
        let victim = world.node(VICTIM).id();
        let mut member = Member { links, rng, at, victim };
        member.dial(world);
        member
    }

    pub fn is_linked(&self) -> bool {
        self.links.session(Instance(0), self.victim).is_some()
    }

    fn dial(&mut self, world: &mut World) {
        let (victim, paths) = (self.victim, vec![Path::Direct(endpoint(VICTIM))]);
        self.act(world, |links, cx| links.dial(Instance(0), Some(victim), paths, cx));
    }

    /// Seals this as a control message and sends it; dials if there is no session for it.
    pub fn say(&mut self, world: &mut World, message: &[u8]) {
        let victim = self.victim;
        let mut is_said = false;
        self.act(world, |links, cx| is_said = links.send(Instance(0), victim, message, cx));
        if !is_said {
            self.dial(world);
        }
    }

    /// Lets it act, and everything that follows happen, without delay.
    fn act(&mut self, world: &mut World, call: impl FnOnce(&mut Links, &mut Context<'_>)) {
        let mut effects = Vec::new();
        let (now, rng) = (world.now(), &mut self.rng);
        call(&mut self.links, &mut Context { now, rng, effects: &mut effects });
        let mut cx = Context { now, rng: &mut self.rng, effects: &mut effects };
        self.links.handle_timeout(&mut cx);
        loop {
            for effect in std::mem::take(&mut effects) {
                if let Effect::Transmit { path: Path::Direct(to), mut bytes, .. } = effect {
                    if to == endpoint(VICTIM) {
                        world.inject(VICTIM, self.at, &mut bytes);
                    }
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

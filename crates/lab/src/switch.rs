//! An Ethernet switch: a bridge in a namespace of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::namespace::Namespace;

/// Connects the hosts that are attached to it, see [`crate::Host::attach`].
#[derive(Debug)]
pub struct Switch {
    namespace: Arc<Namespace>,
    ports: AtomicU32,
}

impl Switch {
    pub(crate) fn new() -> Result<Self> {
        let namespace = Namespace::new("switch")?;
        // Without snooping and delay, neighbour discovery works from the first packet.
        namespace.ip("link add br0 type bridge mcast_snooping 0 forward_delay 0")?;
        namespace.ip("link set br0 up")?;
        Ok(Self { namespace: Arc::new(namespace), ports: AtomicU32::new(0) })
    }

    /// Connects a new port to `interface` of `host` and returns the port.
    pub(crate) fn plug(&self, host: &Namespace, interface: &str) -> Result<Port> {
        let name = format!("port{}", self.ports.fetch_add(1, Ordering::Relaxed));
        let switch = self.namespace.path();
        host.ip(&format!("link add {interface} type veth peer name {name} netns {switch}"))?;
        self.namespace.ip(&format!("link set {name} master br0 up"))?;
        Ok(Port { namespace: Arc::clone(&self.namespace), name })
    }
}

/// The switch's end of a cable.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) name: String,
}

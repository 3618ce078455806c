//! The kinds of address translation that matter for hole punching, as nftables rules.
//!
//! Names follow RFC 4787. All kinds drop unsolicited packets to the router itself: without that
//! the kernel notes a connection for a peer's early packet, and gives the host's own packet another
//! port when it leaves.

/// How a router translates the IPv4 addresses of the hosts behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// One outside port per inside socket, open to everybody ("full cone", UDP only).
    FullCone,
    /// One outside port per inside socket, open to those it has sent to; most home routers.
    PortRestricted,
    /// Another random outside port for each destination; hole punching fails.
    Symmetric,
}

impl Nat {
    /// Rules for a router whose interface `outside` has the public address.
    pub(crate) fn rules(self, outside: &str) -> String {
        let source = match self {
            Self::FullCone => {
                "meta l4proto udp update @inside { udp sport : ip saddr . udp sport }\n\
                 masquerade"
            }
            // The kernel keeps the port of the inside socket as long as it is free.
            Self::PortRestricted => "masquerade",
            Self::Symmetric => "masquerade random,fully-random",
        };
        let destination = match self {
            Self::FullCone => format!("iifname \"{outside}\" dnat to udp dport map @inside"),
            Self::PortRestricted | Self::Symmetric => String::new(),
        };
        format!(
            "table ip translate {{
                map inside {{
                    type inet_service : ipv4_addr . inet_service
                    flags dynamic, timeout
                    size 4096; timeout 5m
                }}
                chain source {{
                    type nat hook postrouting priority srcnat
                    oifname != \"{outside}\" return
                    {source}
                }}
                chain destination {{
                    type nat hook prerouting priority dstnat
                    {destination}
                }}
                chain to_router {{
                    type filter hook input priority filter
                    iifname \"{outside}\" ct state new udp dport != 0 drop
                }}
                chain through_router {{
                    type filter hook forward priority filter
                    iifname \"{outside}\" ct state new ct status & dnat == 0 drop
                }}
            }}\n"
        )
    }
}

//! From a virtual address back to a user (row SE-07): what is written down, and who holds it now.

use std::net::Ipv4Addr;

use super::problem::Problem;
use super::site::Site;
use crate::model::Caller;
use crate::view::NodeView;

impl Site {
    /// Finds the nodes that have, or had, a virtual address or an ID, for administrators; who holds
    /// the address now comes first.
    pub async fn trace(
        &self,
        caller: &Caller,
        group: &str,
        address_or_id: &str,
    ) -> Result<Vec<NodeView>, Problem> {
        let mut found = self.service.find_nodes(caller, group, address_or_id).await?;
        let Ok(address) = address_or_id.parse::<Ipv4Addr>() else { return Ok(found) };
        let Some(holder) = self.daemons.holder(group, address).await else { return Ok(found) };
        // The daemon may be a member of a group that was deleted and made anew.
        let Ok(holder) = self.service.node(caller, group, holder).await else { return Ok(found) };
        found.retain(|node| node.node != holder.node);
        let address = Some(address.to_string());
        found.insert(0, NodeView { address, ..holder });
        Ok(found)
    }
}

//! Tells systemd that the daemon has started (`sd_notify(3)`), if it wants to know.

/// Everything is open.
pub fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

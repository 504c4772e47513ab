//! What fuzzing holds against the readers of what managers print: bytes go in, and a law that breaks is a panic. No
//! part of the interface.

use crate::managers::{compose, supervisor, systemd, upstart};

/// `systemctl show` of several units.
pub fn systemd(bytes: &[u8]) {
    systemd::fuzz(bytes);
}

/// An answer of supervisord.
pub fn supervisor(bytes: &[u8]) {
    supervisor::fuzz(bytes);
}

/// `initctl status` of one job.
pub fn upstart(bytes: &[u8]) {
    upstart::fuzz(bytes);
}

/// `docker inspect` of a container.
pub fn compose(bytes: &[u8]) {
    compose::fuzz(bytes);
}

#[cfg(test)]
mod tests {
    use record::fuzz::replay;

    #[test]
    fn the_corpora_of_managers_break_no_law() {
        assert!(replay("systemd", 64, super::systemd) > 3);
        assert!(replay("supervisor", 64, super::supervisor) > 3);
        assert!(replay("upstart", 64, super::upstart) > 3);
        assert!(replay("compose", 64, super::compose) > 3);
    }
}

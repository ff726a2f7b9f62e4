use std::fmt;

use super::PROTOCOL_VERSION;

/// Why a server refused a client. The server sends it as a version other than 0, the only form that QEMU reports.
///
/// A QEMU that starts prints "server sent version -2, expecting 0" and exits; in a running QEMU, `device_add` fails with this
/// text. So the numbers are small, negative and never change. -1 is not used because it announces the memory later in the
/// protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// -2: the server's limit of connected clients is reached.
    TooManyClients,
    /// -3: the server has no descriptors left for another client's interrupts.
    OutOfDescriptors,
    /// -4: no id is free: each one is in use or was announced to a connected client.
    IdsSpent,
    /// -5: the connecting user has used up the share of ids that one user may have.
    IdsOfUserSpent,
    /// -6: the server does not admit the connecting user.
    NotAdmitted,
    /// -7: the server is stopping.
    Stopping,
    /// -8: the connecting user has exceeded the server's limit of connections per time.
    TooOften,
    /// -9: the server has no memory left for another client.
    OutOfMemory,
    /// Any other number, from another kind of server or a newer one.
    Unknown(i64),
}

impl Refusal {
    /// All reasons of a server of this version, in the order -2, -3 and so on.
    pub const ALL: [Self; 8] = [
        Self::TooManyClients,
        Self::OutOfDescriptors,
        Self::IdsSpent,
        Self::IdsOfUserSpent,
        Self::NotAdmitted,
        Self::Stopping,
        Self::TooOften,
        Self::OutOfMemory,
    ];

    /// A name for programs. It never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyClients => "too-many-clients",
            Self::OutOfDescriptors => "out-of-descriptors",
            Self::IdsSpent => "ids-spent",
            Self::IdsOfUserSpent => "ids-of-user-spent",
            Self::NotAdmitted => "not-admitted",
            Self::Stopping => "stopping",
            Self::TooOften => "too-often",
            Self::OutOfMemory => "out-of-memory",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The number to send instead of the version. It is never 0, which is the version itself.
    pub fn version(self) -> i64 {
        match self {
            Self::TooManyClients => -2,
            Self::OutOfDescriptors => -3,
            Self::IdsSpent => -4,
            Self::IdsOfUserSpent => -5,
            Self::NotAdmitted => -6,
            Self::Stopping => -7,
            Self::TooOften => -8,
            Self::OutOfMemory => -9,
            Self::Unknown(PROTOCOL_VERSION) => i64::MIN,
            Self::Unknown(other) => other,
        }
    }

    /// The refusal that a received version represents; `None` for 0, which is not a refusal.
    pub fn from_version(version: i64) -> Option<Self> {
        Some(match version {
            PROTOCOL_VERSION => return None,
            -2 => Self::TooManyClients,
            -3 => Self::OutOfDescriptors,
            -4 => Self::IdsSpent,
            -5 => Self::IdsOfUserSpent,
            -6 => Self::NotAdmitted,
            -7 => Self::Stopping,
            -8 => Self::TooOften,
            -9 => Self::OutOfMemory,
            other => Self::Unknown(other),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyClients => f.write_str("too many clients are connected to the server"),
            Self::OutOfDescriptors => f.write_str("the server has no descriptors left"),
            Self::IdsSpent => f.write_str("no id is left that no living client has seen"),
            Self::IdsOfUserSpent => f.write_str("this user's share of ids is spent"),
            Self::NotAdmitted => f.write_str("the server does not admit this user"),
            Self::Stopping => f.write_str("the server is stopping"),
            Self::TooOften => f.write_str("this user connects too often"),
            Self::OutOfMemory => f.write_str("the server has no memory left"),
            Self::Unknown(version) => {
                write!(f, "the server speaks version {version}, this library version {PROTOCOL_VERSION}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_comes_back_from_its_number_and_none_is_the_version() {
        assert_eq!(Refusal::from_version(PROTOCOL_VERSION), None);
        for version in (-20..20).chain([i64::MIN, i64::MAX]).filter(|v| *v != PROTOCOL_VERSION) {
            let refusal = Refusal::from_version(version).unwrap();
            assert_eq!(refusal.version(), version);
            assert_eq!(Refusal::from_version(refusal.version()), Some(refusal));
        }
        assert!(Refusal::from_version(Refusal::Unknown(PROTOCOL_VERSION).version()).is_some());
    }

    #[test]
    fn all_reasons_have_the_numbers_from_minus_2_down_and_a_word_each() {
        let versions: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.version()).collect();
        assert_eq!(versions, [-2, -3, -4, -5, -6, -7, -8, -9]);
        let words: std::collections::BTreeSet<_> =
            Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        assert_eq!(words.len(), Refusal::ALL.len());
        assert!(!words.contains(Refusal::Unknown(-10).name()));
    }

    #[test]
    fn an_unknown_number_is_told_as_a_version() {
        let text = Refusal::Unknown(3).to_string();
        assert_eq!(text, "the server speaks version 3, this library version 0");
    }
}

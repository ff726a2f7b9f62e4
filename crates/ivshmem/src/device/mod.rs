//! The ways into a region; each composes the rooms before it into one `Device`.

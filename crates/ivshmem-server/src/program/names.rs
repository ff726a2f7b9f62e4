//! Users and groups as arguments: by name or by number.

use std::fmt::Display;

use crate::sys::process::{group_named, user_named};

/// User and group that a file is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's id.
    pub uid: Option<u32>,
    /// The group's id.
    pub gid: Option<u32>,
}

pub(crate) fn user(text: &str) -> Result<u32, String> {
    id(text, "user", user_named)
}

pub(crate) fn group(text: &str) -> Result<u32, String> {
    id(text, "group", group_named)
}

/// Parses `USER`, `USER:GROUP` or `:GROUP`.
///
/// # Errors
/// A description of the problem, for the user who typed the argument.
pub fn owner(text: &str) -> Result<Owner, String> {
    let (name, group_name) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    if name.is_empty() && group_name.is_none_or(str::is_empty) {
        return Err("a user, a user and a group, or a group, like qemu, qemu:kvm or :kvm".to_owned());
    }
    Ok(Owner {
        uid: (!name.is_empty()).then(|| user(name)).transpose()?,
        gid: group_name.map(group).transpose()?,
    })
}

/// The highest number is not an id: the system interprets it as "leave unchanged".
const NONE: u32 = u32::MAX;

fn id<E: Display>(
    text: &str,
    what: &str,
    look_up: impl FnOnce(&str) -> Result<Option<u32>, E>,
) -> Result<u32, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse()
            .ok()
            .filter(|id| *id != NONE)
            .ok_or_else(|| format!("{what}s are 0 to 4294967294"));
    }
    match look_up(text) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => {
            Err(format!("no {what} of this name here; use a number, or getent to see which there are"))
        }
        Err(e) => Err(format!("looking up the {what}: {e}; use a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_names_or_numbers() {
        assert_eq!((user("root"), group("root")), (Ok(0), Ok(0)));
        assert_eq!((user("64055"), user("4294967294")), (Ok(64_055), Ok(4_294_967_294)));
        for bad in
            ["", "no-such-name-here", "-1", "+1", "4294967295", "4294967296", "1 ", "root:root", "a\0b"]
        {
            assert!(user(bad).is_err() && group(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_owner_is_a_user_a_group_or_both() {
        let owned = |uid, gid| Ok(Owner { uid, gid });
        assert_eq!(owner("64055:108"), owned(Some(64_055), Some(108)));
        assert_eq!(owner("root:root"), owned(Some(0), Some(0)));
        assert_eq!(owner("root"), owned(Some(0), None));
        assert_eq!(owner(":108"), owned(None, Some(108)));
        for bad in ["", ":", "root:", "0:0:0", "nobody-there:0", "0:nobody-there", "-1:0"] {
            assert!(owner(bad).is_err(), "{bad:?}");
        }
    }
}

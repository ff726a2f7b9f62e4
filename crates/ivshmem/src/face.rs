/// Whose names the text of an error uses for what it advises.
///
/// `Display` of an error speaks to programs in Rust. `text` of the same error speaks to others who use this library through a
/// face of their own, and know its methods by other names, or none.
///
/// # Examples
/// ```
/// use ivshmem::Face;
///
/// let error = ivshmem::plain("/nonexistent").open().unwrap_err();
/// assert!(error.to_string().contains("size()"));
/// assert!(error.text(Face::Command).contains("ivshmem create plain:/nonexistent"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Face {
    /// This library.
    Rust,
    /// The library Ivshmem4j for Java.
    Java,
    /// The command `ivshmem`.
    Command,
}

impl Face {
    /// The words for this face.
    pub(crate) fn pick<T>(self, rust: T, java: T, command: T) -> T {
        match self {
            Self::Rust => rust,
            Self::Java => java,
            Self::Command => command,
        }
    }
}

/// A word as a shell takes it.
pub fn shell_word(word: impl std::fmt::Display) -> String {
    let word = word.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_for_a_shell_where_it_must_be() {
        for (word, quoted) in [
            ("plain:/dev/shm/x", "plain:/dev/shm/x"),
            ("a b", "'a b'"),
            ("a&b", "'a&b'"),
            ("a'b", r"'a'\''b'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }
}

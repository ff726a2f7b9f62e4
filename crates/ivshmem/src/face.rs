/// The interface whose names an error's remedy uses.
///
/// `Display` of an error uses the names of the Rust API. `text` of the same error uses the names of another interface to
/// this library, such as the methods of the Java library or the verbs of the command.
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
    /// This crate.
    Rust,
    /// The library Ivshmem4j for Java.
    Java,
    /// The command `ivshmem`.
    Command,
}

impl Face {
    /// Selects the words for this face.
    pub(crate) fn pick<T>(self, rust: T, java: T, command: T) -> T {
        match self {
            Self::Rust => rust,
            Self::Java => java,
            Self::Command => command,
        }
    }
}

/// The remedy for an error of the operating system, to append to the line that reports the error; empty if none is known.
pub fn remedy(error: &std::io::Error) -> &'static str {
    const KNOWN: &[(i32, &str)] = &[
        (1, "; this user may not, another one may"),
        (2, "; look whether the path is right, and create its directory"),
        (11, "; try again, or raise the limits of threads and memory (ulimit -u, -v)"),
        (12, "; make room in memory, or raise the limit (ulimit -v)"),
        (13, "; change the mode or owner of the path, or the user"),
        (20, "; a part of the path is a file, where a directory must be"),
        (21, "; it is a directory, so name a file"),
        (23, "; the system may have no more open files: raise fs.file-max"),
        (24, "; this process may have no more open files: raise its limit (ulimit -n)"),
        (28, "; free some space, or name a path in another file system"),
        (30, "; the file system is read only, so name a path in another one"),
        (36, "; name a shorter path"),
        (40, "; its links lead in a circle"),
        (91, "; it is a socket of another type than a server's, so name the one of an ivshmem server"),
        (111, "; nobody listens there, so start the server first"),
    ];
    // Windows uses other error numbers.
    let number = error.raw_os_error().filter(|_| cfg!(unix));
    KNOWN.iter().find(|(known, _)| Some(*known) == number).map_or("", |(_, remedy)| remedy)
}

/// Quotes text as one word of a POSIX shell, if it needs quotes.
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
            ("a,b=c:1", "a,b=c:1"),
            ("$x`y`", "'$x`y`'"),
            ("~", "'~'"),
            ("ä", "'ä'"),
            ("a b", "'a b'"),
            ("a&b", "'a&b'"),
            ("a'b", r"'a'\''b'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }
}

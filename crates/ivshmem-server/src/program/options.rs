use std::path::{Path, PathBuf};

use super::names;
use crate::builder::Builder;
use crate::memory::Backing;
use crate::server::Server;
use crate::size::parse_size;

/// What a server is to be like, as it is typed: the same for the daemon and for `ivshmem serve`.
#[derive(Debug, clap::Args)]
pub struct ServerOptions {
    /// Take the memory from a file in this directory: a tmpfs or hugetlbfs
    #[arg(short = 'm', long, value_name = "DIR")]
    memory_dir: Option<PathBuf>,

    /// Share the named object, in /dev/shm unless -m says otherwise; created if missing, and then removed at the end
    #[arg(short = 'M', long, value_name = "NAME", value_parser = object_name)]
    memory_name: Option<String>,

    /// Size of the memory, 4K to 1T, rounded up to a power of two; suffixes K, M, G, T
    #[arg(short = 'l', long, default_value = "4M", value_parser = parse_size, allow_hyphen_values = true)]
    size: u64,

    /// Vectors (kinds of interrupts) of each client, 0 to 256; with 0, clients share the memory and nobody is announced
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, allow_hyphen_values = true,
        value_parser = clap::value_parser!(u32).range(0..=256))]
    vectors: u32,

    /// Clients at the same time, 1 to 65536
    #[arg(long, value_name = "N", default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_clients: u32,

    /// Messages sent and not yet read, all clients together, 1 to 1048576; each takes some 768 bytes of kernel memory
    /// and at most one descriptor. Half of the limit of open files, at most 65536, without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_in_flight: Option<u32>,

    /// Connections of one user in a second, 1 to 1000000; no limit without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connection_rate: Option<u32>,

    /// Permissions of the socket and of a named object that is created, in octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal)]
    mode: u32,

    /// Owner and group of these, by name or number; those of this process without it
    #[arg(long, value_name = "USER[:GROUP]", value_parser = names::owner)]
    owner: Option<names::Owner>,

    /// Admit these users only, by name or number, and those of --allow-gid
    #[arg(long, value_name = "USER[,..]", value_delimiter = ',', value_parser = names::user)]
    allow_uid: Vec<u32>,

    /// Admit members of these groups only, by name or number, and those of --allow-uid
    #[arg(long, value_name = "GROUP[,..]", value_delimiter = ',', value_parser = names::group)]
    allow_gid: Vec<u32>,

    /// Send the state of the server as JSON to each connection to this socket
    #[arg(long, value_name = "PATH", value_parser = socket_path)]
    status: Option<PathBuf>,

    /// Permissions of the status socket, in octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal, requires = "status")]
    status_mode: u32,

    /// Take all of the memory from the host at once; always so for -m and -M
    #[arg(long)]
    prealloc: bool,
}

impl ServerOptions {
    /// Where the memory comes from.
    pub fn backing(&self) -> Backing {
        match (&self.memory_dir, &self.memory_name) {
            (None, None) => Backing::Sealed,
            (Some(dir), None) => Backing::Unnamed(dir.clone()),
            (None, Some(name)) => Backing::Named(Path::new("/dev/shm").join(name)),
            (Some(dir), Some(name)) => Backing::Named(dir.join(name)),
        }
    }

    /// A builder with these options, for this socket.
    pub fn builder(&self, socket: &Path) -> Builder {
        let mut builder = Server::builder(socket)
            .size(self.size)
            .vectors(self.vectors)
            .backing(self.backing())
            .prealloc(self.prealloc)
            .max_clients(self.max_clients)
            .mode(self.mode)
            .allow_uids(self.allow_uid.iter().copied())
            .allow_gids(self.allow_gid.iter().copied())
            .status_mode(self.status_mode);
        if let Some(owner) = self.owner {
            builder = builder.owner(owner.uid, owner.gid);
        }
        if let Some(messages) = self.max_in_flight {
            builder = builder.max_in_flight(messages);
        }
        if let Some(rate) = self.connection_rate {
            builder = builder.connection_rate(rate);
        }
        if let Some(path) = &self.status {
            builder = builder.status_socket(path);
        }
        builder
    }
}

/// Parses the path of a socket. Refuses text that looks like a target: as a path it would create a socket of that name.
///
/// # Errors
/// A description of the problem with the text to type instead.
pub fn socket_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("the path is missing; name one, as /run/ivshmem.sock".to_owned());
    }
    let scheme = |(scheme, rest): (&str, &str)| {
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
        is_scheme.then(|| rest.split('?').next().unwrap_or_default().to_owned())
    };
    match text.split_once(':').and_then(scheme) {
        None if text == "auto" => {
            Err("auto is a target, and a socket is a path; write ./auto if it shall have that name"
                .to_owned())
        }
        None => Ok(text.into()),
        Some(path) if path.is_empty() => Err("it looks like a target, and a socket is a path".to_owned()),
        Some(path) => Err(format!(
            "it looks like a target, and a socket is a path; write {path}, or ./{text} if it shall have that name"
        )),
    }
}

/// Parses a name as shm_open takes it, with or without a leading slash.
fn object_name(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('/').unwrap_or(text);
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err("a name without slashes, like ivshmem".to_owned());
    }
    Ok(name.to_owned())
}

/// Parses permissions.
///
/// # Errors
/// When the text is not an octal number of 0 to 777.
pub fn octal(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
    mode.ok_or_else(|| "permissions are octal, 0 to 777, like 660".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_target_is_no_path_of_a_socket() {
        for path in ["/run/a.sock", "a.sock", "./doorbell:x", "/run/a:b", "dir/plain:x", "A:b", "1:2"] {
            assert_eq!(socket_path(path), Ok(path.into()));
        }
        for (target, remedy) in [
            ("doorbell:/tmp/z", "write /tmp/z, or ./doorbell:/tmp/z"),
            ("plain:/dev/shm/x?size=4K", "write /dev/shm/x, or"),
            ("bogus:x", "write x, or ./bogus:x"),
            ("auto", "write ./auto"),
            ("doorbell:", "a socket is a path"),
            ("", "the path is missing"),
        ] {
            let error = socket_path(target).unwrap_err();
            assert!(error.contains(remedy), "{target:?}: {error}");
        }
    }
}

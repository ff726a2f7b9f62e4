//! What can be typed. Parsing touches nothing but the words.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

const AFTER_HELP: &str = "\
Targets:
  plain:PATH             a file that is shared memory, as in plain:/dev/shm/x; it must exist
  plain:PATH?size=SIZE   the same, created or grown to SIZE
  plain:PATH?readonly    the same, for those who may only read it
  doorbell:SOCKET        the memory of a server, and interrupts; as in doorbell:/run/ivshmem.sock

Offsets, lengths and sizes are bytes: 4096, 0x1000 or 4K; K, M, G and T are powers of 1024.

Exit status: 0 done; 1 failed; 2 wrong arguments; 3 `listen --timeout` ended before --count interrupts came.";

/// Share memory and interrupts with QEMU virtual machines.
#[derive(Parser, Debug)]
#[command(name = "ivshmem", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Run a server: virtual machines and programs that connect to its socket share one memory
    ///
    /// It stays in the foreground and ends with Ctrl-C. The daemon ivshmem-server has more options: a named memory, who
    /// may connect, the background.
    Serve {
        /// The Unix socket to listen on
        socket: PathBuf,
        /// Size of the shared memory, 4K to 1T, rounded up to a power of two
        #[arg(long, value_parser = bytes, default_value = "4M")]
        size: u64,
        /// Interrupt vectors of each client, 1 to 256
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256), default_value = "1")]
        vectors: u16,
    },
    /// Show what a target is: its size, and for a doorbell its id, its vectors and the peers
    Info {
        /// plain:PATH or doorbell:SOCKET; `ivshmem --help` explains targets
        target: String,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Copy memory to standard output
    Read {
        /// plain:PATH or doorbell:SOCKET; `ivshmem --help` explains targets
        target: String,
        /// First byte
        #[arg(value_parser = bytes, default_value = "0")]
        offset: u64,
        /// Bytes to copy [default: up to the end]
        #[arg(value_parser = bytes)]
        length: Option<u64>,
        /// Text in hexadecimal and ASCII instead of the bytes
        #[arg(long)]
        hex: bool,
    },
    /// Copy standard input to memory
    Write {
        /// plain:PATH or doorbell:SOCKET; `ivshmem --help` explains targets
        target: String,
        /// First byte
        #[arg(value_parser = bytes, default_value = "0")]
        offset: u64,
    },
    /// Interrupt a peer
    Ring {
        /// plain:PATH or doorbell:SOCKET; `ivshmem --help` explains targets
        target: String,
        /// The peer's id, as `info` shows it
        peer: u16,
        /// The peer's vector, from 0
        vector: u16,
        /// Ring so many times; those that the peer has not taken yet merge into one
        #[arg(long, value_name = "N", default_value = "1")]
        count: u64,
    },
    /// Print each interrupt, and the peers that come and go
    Listen {
        /// plain:PATH or doorbell:SOCKET; `ivshmem --help` explains targets
        target: String,
        /// Vectors to listen on [default: all]
        vectors: Vec<u16>,
        /// End after so many interrupts
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// End after so many seconds; with --count and too few interrupts that is exit status 3
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        timeout: Option<Duration>,
        /// One JSON object a line instead of text
        #[arg(long)]
        json: bool,
    },
}

/// A number of bytes: decimal or 0x..., and with K, M, G or T a multiple of it.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.trim_end_matches(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']) {
        number if number.len() == text.len() => (number, 1),
        number if number.len() + 1 == text.len() => (number, multiple(&text[number.len()..])),
        _ => return Err("one unit at most: K, M, G or T".to_owned()),
    };
    let parsed = match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => return Err("not a number of bytes".to_owned()),
        Some(digits) => u64::from_str_radix(digits, 16),
        None if number.starts_with('+') => return Err("not a number of bytes".to_owned()),
        None => number.parse(),
    };
    let number = parsed.map_err(|_| "not a number of bytes, such as 4096, 0x1000 or 4K".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "more than 64 bits can say".to_owned())
}

fn multiple(unit: &str) -> u64 {
    match unit.to_ascii_uppercase().as_str() {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => 1 << 40,
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds, such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "not a time: it must be 0 or more and finite".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_every_form() {
        let good = [
            ("0", 0),
            ("4096", 4096),
            ("0x1000", 4096),
            ("4K", 4096),
            ("4k", 4096),
            ("0x10M", 16 << 20),
            ("1G", 1 << 30),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, value) in good {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_of_bytes_is_refused() {
        for text in [
            "",
            "K",
            "0x",
            "-1",
            "+1",
            "0x+1",
            "1KK",
            "1KM",
            "1.5K",
            "1Z",
            "4 K",
            "16777216T",
            "18446744073709551616",
        ] {
            assert!(bytes(text).is_err(), "{text:?} gave {:?}", bytes(text));
        }
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "x", "-1", "nan", "inf", "1e300"] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_command_is_put_together_rightly() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}

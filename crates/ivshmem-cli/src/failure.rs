use std::error::Error;
use std::io;

use ivshmem::device::OpenError;
use ivshmem::doorbell::DoorbellError;
use ivshmem::region::MemoryError;

/// Why a verb ended without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Doorbell(#[from] DoorbellError),
    #[error(transparent)]
    Server(#[from] ivshmem_server::Error),
    #[error("offset {offset} is outside the memory, which has {size} bytes")]
    Outside { offset: u64, size: u64 },
    #[error("the input has {length} bytes, the memory {room} from offset {offset} on; nothing was written")]
    TooLong { length: u64, room: u64, offset: u64 },
    #[error(
        "the input is longer than the memory: its first {written} bytes are at offset {offset}, the rest was left"
    )]
    Cut { written: u64, offset: u64 },
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error("{interrupts} of {count} interrupts came in time")]
    TimeOver { count: u64, interrupts: u64 },
}

impl Failure {
    /// The failure and what caused it, in one line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Some texts have their cause in them already.
            if !line.ends_with(&text) {
                line = format!("{line}: {text}");
            }
            source = error.source();
        }
        line.replace('\n', " ")
    }

    /// As `ivshmem --help` documents it. 2 is clap's.
    pub(crate) fn exit_status(&self) -> u8 {
        if matches!(self, Self::TimeOver { .. }) { 3 } else { 1 }
    }
}

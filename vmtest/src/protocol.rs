//! The messages between a host and the agent in its guest.
//!
//! Messages are serialised by postcard and framed by COBS: a zero byte ends each frame and occurs nowhere else, so after a
//! reboot in the middle of a frame both sides are synchronised again at the next one.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The name of the port, as the guest's kernel shows it.
pub const PORT: &str = "vmtest";

/// Maximum length of a frame in bytes. Output is sent in much smaller pieces.
const LONGEST: usize = 1 << 20;

/// The id of a program: a number that the host chooses and uses once.
pub type Id = u32;

/// A request of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Start a program whose standard streams are pipes to the host: the program with its arguments, and additions to the
    /// agent's environment.
    Start(Id, Vec<String>, BTreeMap<String, String>),
    /// Bytes for its standard input.
    Input(Id, Vec<u8>),
    /// The end of its standard input.
    EndOfInput(Id),
    /// Kill it with SIGKILL.
    Kill(Id),
}

/// A report of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The guest is up. The first message after each boot.
    Ready,
    /// Bytes that a program wrote.
    Output(Id, Stream, Vec<u8>),
    /// A program has ended, and all of its output was sent.
    Ended(Id, Ending),
}

/// The stream that a program wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It exited with this status.
    Status(i32),
    /// This signal ended it.
    Signal(i32),
    /// It could not be started, with the reason.
    NotStarted(String),
}

/// Sends one message.
///
/// # Errors
/// Those of the stream.
pub fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let frame = postcard::to_stdvec_cobs(message).map_err(io::Error::other)?;
    stream.write_all(&frame)
}

/// The receiving end of a stream of messages.
#[derive(Debug)]
pub struct Receiver<R> {
    stream: R,
    /// Received bytes of an incomplete frame.
    pending: Vec<u8>,
}

impl<R: Read> Receiver<R> {
    /// Receives from `stream`.
    pub fn new(stream: R) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// Returns the next message; `None` at the end of the stream; an error of the kind `InvalidData` for an invalid frame,
    /// after which later frames can be received.
    ///
    /// # Errors
    /// Those of the stream, or as above.
    pub fn receive<M: DeserializeOwned>(&mut self) -> io::Result<Option<M>> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == 0) {
                let mut frame: Vec<_> = self.pending.drain(..=end).collect();
                let message = postcard::from_bytes_cobs(&mut frame);
                return message
                    .map(Some)
                    .map_err(|e| invalid(format!("a frame of {} bytes is no message: {e}", end + 1)));
            }
            if self.pending.len() > LONGEST {
                self.pending.clear();
                return Err(invalid(format!("a frame is longer than {LONGEST} bytes")));
            }
            let mut buffer = [0; 16 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent_in_any_pieces() {
        let sent = [
            Report::Ready,
            Report::Output(7, Stream::Err, vec![0; 300]),
            Report::Ended(7, Ending::Signal(9)),
        ];
        let mut bytes = Vec::new();
        for message in &sent {
            send(&mut bytes, message).unwrap();
        }
        for size in [1, 3, bytes.len()] {
            let mut receiver = Receiver::new(Pieces { bytes: &bytes, size });
            for message in &sent {
                assert_eq!(receiver.receive().unwrap().as_ref(), Some(message));
            }
            assert_eq!(receiver.receive::<Report>().unwrap(), None);
        }
    }

    #[test]
    fn what_follows_a_broken_frame_arrives() {
        let mut bytes = b"half a mess\0".to_vec();
        send(&mut bytes, &Report::Ready).unwrap();
        let mut receiver = Receiver::new(&bytes[..]);
        assert_eq!(receiver.receive::<Report>().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(receiver.receive().unwrap(), Some(Report::Ready));
    }

    #[test]
    fn a_frame_without_an_end_is_refused() {
        let bytes = vec![1; LONGEST + (64 << 10)];
        let error = Receiver::new(&bytes[..]).receive::<Report>().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    struct Pieces<'a> {
        bytes: &'a [u8],
        size: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.size.min(self.bytes.len()).min(buffer.len());
            let (now, later) = self.bytes.split_at(n);
            buffer[..n].copy_from_slice(now);
            self.bytes = later;
            Ok(n)
        }
    }
}

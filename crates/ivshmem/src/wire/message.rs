use std::fmt;

/// The version that a server sends first. A client that receives another one must disconnect.
pub const PROTOCOL_VERSION: i64 = 0;
/// The length of a message in bytes.
pub const MESSAGE_LEN: usize = 8;
/// The maximum number of peers. Ids are 16 bits wide, the upper half of the device's doorbell register.
pub const MAX_PEERS: u32 = 65_536;
/// The maximum number of vectors of a peer, because QEMU's slow path masks the vector with 0xff.
pub const MAX_VECTORS: u16 = 256;

/// The number that a server assigns to a connected client: a QEMU process or a program on the host.
///
/// It is not an identity: the processes inside one virtual machine share an id, a rebooted guest keeps its id, and a server
/// reuses ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u16> for PeerId {
    fn from(id: u16) -> Self {
        PeerId(id)
    }
}

/// One message of the stream: a number and, for some messages, a descriptor.
#[derive(Debug, PartialEq, Eq)]
pub struct RawMessage<F> {
    /// The number, already in the processor's byte order.
    pub value: i64,
    /// The descriptor that arrived with the message's bytes.
    pub fd: Option<F>,
}

impl<F> RawMessage<F> {
    /// The bytes to send. The descriptor must be sent with the first of them.
    pub fn to_bytes(&self) -> [u8; MESSAGE_LEN] {
        self.value.to_le_bytes()
    }
}

/// Assembles messages from the pieces of a stream, wherever it is split.
///
/// The kernel merges separately sent messages into one read, and ends a read after the bytes that have a descriptor.
/// Therefore a read beyond the end of a message leaves unknown to which message its descriptor belongs. The rule: never read
/// more than [`missing`] bytes; then a descriptor belongs to the current message. QEMU reads in the same way.
///
/// [`missing`]: MessageReader::missing
#[derive(Debug)]
pub struct MessageReader<F> {
    bytes: [u8; MESSAGE_LEN],
    filled: usize,
    fd: Option<F>,
}

impl<F> Default for MessageReader<F> {
    fn default() -> Self {
        Self { bytes: [0; MESSAGE_LEN], filled: 0, fd: None }
    }
}

impl<F> MessageReader<F> {
    /// The number of bytes up to the end of the current message, 1 to 8. Read at most this many.
    pub fn missing(&self) -> usize {
        MESSAGE_LEN - self.filled
    }

    /// Adds the result of one receive. Returns the message once it is complete.
    ///
    /// # Errors
    /// Returns the descriptor if the message already has one: the server is broken if it sends two with one message. Nothing
    /// is added then.
    ///
    /// # Panics
    /// If `bytes` is longer than [`missing`](Self::missing), which is a bug of the caller.
    pub fn push(&mut self, bytes: &[u8], fd: Option<F>) -> Result<Option<RawMessage<F>>, F> {
        match fd {
            Some(second) if self.fd.is_some() => return Err(second),
            Some(first) => self.fd = Some(first),
            None => {}
        }
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        if self.filled < MESSAGE_LEN {
            return Ok(None);
        }
        self.filled = 0;
        Ok(Some(RawMessage { value: i64::from_le_bytes(self.bytes), fd: self.fd.take() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_any_cut_and_keeps_its_descriptor() {
        let bytes = 7_i64.to_le_bytes();
        for cut in 1..MESSAGE_LEN {
            let mut reader = MessageReader::default();
            assert_eq!(reader.push(&bytes[..cut], Some("fd")), Ok(None));
            assert_eq!(reader.missing(), MESSAGE_LEN - cut);
            assert_eq!(reader.push(&bytes[cut..], None), Ok(Some(RawMessage { value: 7, fd: Some("fd") })));
            assert_eq!(reader.push(&bytes, None), Ok(Some(RawMessage { value: 7, fd: None })));
        }
    }

    #[test]
    fn a_second_descriptor_for_one_message_comes_back() {
        let mut reader = MessageReader::default();
        assert_eq!(reader.push(&[0; 3], Some(1)), Ok(None));
        assert_eq!(reader.push(&[0; 5], Some(2)), Err(2));
        assert_eq!(reader.missing(), 5);
    }
}

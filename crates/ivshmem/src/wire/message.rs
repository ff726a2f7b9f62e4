use std::fmt;

/// The version that a server announces first; a client that sees another one must go.
pub const PROTOCOL_VERSION: i64 = 0;
/// Bytes of one message.
pub const MESSAGE_LEN: usize = 8;
/// Ids are 16 bits wide: the upper half of the device's doorbell register.
pub const MAX_PEERS: u32 = 65_536;
/// QEMU's slow path masks the vector with 0xff, so a peer has at most this many vectors.
pub const MAX_VECTORS: u16 = 256;

/// The number by which a server knows one connected client: a QEMU process or a program on the host.
///
/// Not an identity: the processes inside one virtual machine share an id, a rebooted guest keeps its id, and a server
/// gives ids out again.
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

/// One message as it stood in the stream: a number and, for some, a descriptor.
#[derive(Debug, PartialEq, Eq)]
pub struct RawMessage<F> {
    /// The number, already in the processor's byte order.
    pub value: i64,
    /// The descriptor that arrived with the message's bytes.
    pub fd: Option<F>,
}

impl<F> RawMessage<F> {
    /// The bytes to send. The descriptor must go with the first of them.
    pub fn to_bytes(&self) -> [u8; MESSAGE_LEN] {
        self.value.to_le_bytes()
    }
}

/// Puts messages together from a stream, wherever it was cut.
///
/// The kernel glues what was sent apart into one read and lets a read end behind the bytes of a descriptor, so a read
/// over a message's end cannot tell whose descriptor it got. Hence the rule: never read more than [`missing`] bytes;
/// then a descriptor belongs to the message that is being read. QEMU reads the same way.
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
    /// Bytes up to the end of the message that is being read, 1 to 8. Read at most this many.
    pub fn missing(&self) -> usize {
        MESSAGE_LEN - self.filled
    }

    /// Takes what one receive gave; the message when it is whole now.
    ///
    /// # Errors
    /// Gives the descriptor back when the message has one already: two for one message is a broken server. Nothing is
    /// taken then.
    ///
    /// # Panics
    /// When `bytes` is longer than [`missing`](Self::missing), which is a bug of the caller.
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

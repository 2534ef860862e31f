//! The bytes on election ports: hellos, frames, notifications. All integers are big-endian.
//!
//! A connection carries, on top of TCP or TLS: one [`Hello`] from the side that dialled, SASL if the servers use it, and then
//! frames in both directions. A frame is a length of 4 bytes and a [`Notification`].

use std::ops::RangeInclusive;

use crate::notification::{Format, Notification};
use crate::vote::{Epoch, Round, ServerId, ServerState, Vote, Zxid};

/// The longest notification that a server accepts, in bytes. It closes the connection if a longer one is announced.
pub const MAX_FRAME_BYTES: usize = 512 * 1024;

/// The lengths that a server accepts for the addresses of a [`Hello`], in bytes.
const ADDRESS_BYTES: RangeInclusive<i32> = 1..=2048;

/// The first long of a [`Hello`] with one address, which ZooKeeper sends since 3.5.
const ONE_ADDRESS: i64 = -65536;

/// The first long of a [`Hello`] with several addresses, which ZooKeeper sends since 3.6 with `multiAddress.enabled`.
const SEVERAL_ADDRESSES: i64 = -65535;

/// The first message of the side that dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The id of the server that dials.
    pub from: ServerId,
    /// The addresses of its election port, so that the other side can dial back.
    pub addresses: Addresses,
}

/// The election addresses in a [`Hello`], each as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// None: only the id is sent. Every version accepts it. The id must not be negative.
    None,
    /// One. ZooKeeper accepts it since 3.4.6.
    One(String),
    /// Several, separated by `|`. ZooKeeper accepts them since 3.6.
    Several(String),
}

/// Why bytes are not a hello, a frame or a notification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A notification is shorter than its fields.
    #[error("a notification has {bytes} bytes, not 28, 36, 40, or 44 and a text")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// A notification has an unknown format number.
    #[error("a notification has format number {format}, and 1 is the lowest")]
    Format {
        /// The format number.
        format: i32,
    },
    /// A notification has an unknown state.
    #[error("a notification has state {state}, not 0 (LOOKING) to 3 (OBSERVING)")]
    State {
        /// The number of the state.
        state: i32,
    },
    /// A notification announces more bytes of configuration than it has.
    #[error("a notification announces {announced} bytes of configuration, and has {present}")]
    ConfigLength {
        /// The announced length, in bytes.
        announced: i32,
        /// The number of bytes present.
        present: usize,
    },
    /// A text is not UTF-8.
    #[error("a text on an election port is not UTF-8")]
    Text,
    /// A frame announces a length that the servers refuse.
    #[error("a frame announces {announced} bytes, not 1 to {MAX_FRAME_BYTES}")]
    FrameLength {
        /// The announced length, in bytes.
        announced: i32,
    },
    /// A hello has an unknown version.
    #[error("a hello has version {version}, not {ONE_ADDRESS} or {SEVERAL_ADDRESSES}")]
    HelloVersion {
        /// The version.
        version: i64,
    },
    /// A hello announces addresses of a length that the servers refuse.
    #[error(
        "a hello announces {announced} bytes of addresses, not {} to {}",
        ADDRESS_BYTES.start(),
        ADDRESS_BYTES.end()
    )]
    AddressLength {
        /// The announced length, in bytes.
        announced: i32,
    },
}

impl Hello {
    /// Encodes the hello. Send it in one write immediately after connecting: a server accepts one connection after the other
    /// and waits for the hello of each.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (version, addresses) = match &self.addresses {
            Addresses::None => (None, None),
            Addresses::One(address) => (Some(ONE_ADDRESS), Some(address)),
            Addresses::Several(addresses) => (Some(SEVERAL_ADDRESSES), Some(addresses)),
        };
        bytes.extend(version.into_iter().flat_map(i64::to_be_bytes));
        bytes.extend(self.from.0.to_be_bytes());
        if let Some(addresses) = addresses {
            bytes.extend(length(addresses));
            bytes.extend(addresses.as_bytes());
        }
        bytes
    }

    /// Decodes a hello at the start of `bytes`. Returns it with its length, or `None` while it is incomplete.
    ///
    /// # Errors
    /// The bytes are not a hello.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut reader = Reader(bytes);
        let Some(first) = reader.long() else { return Ok(None) };
        if first >= 0 {
            return Ok(Some((
                Self { from: ServerId(first), addresses: Addresses::None },
                reader.read_of(bytes),
            )));
        }
        if first != ONE_ADDRESS && first != SEVERAL_ADDRESSES {
            return Err(DecodeError::HelloVersion { version: first });
        }
        let (Some(from), Some(announced)) = (reader.long(), reader.int()) else { return Ok(None) };
        if !ADDRESS_BYTES.contains(&announced) {
            return Err(DecodeError::AddressLength { announced });
        }
        let Some(text) = reader.text(announced) else { return Ok(None) };
        let addresses = if first == ONE_ADDRESS { Addresses::One(text?) } else { Addresses::Several(text?) };
        Ok(Some((Self { from: ServerId(from), addresses }, reader.read_of(bytes))))
    }
}

impl Notification {
    /// Encodes the notification, without the length of the frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Vote { epoch, zxid, leader } = self.vote;
        let state: i32 = match self.state {
            ServerState::Looking => 0,
            ServerState::Following => 1,
            ServerState::Leading => 2,
            ServerState::Observing => 3,
        };
        let mut bytes = Vec::with_capacity(44);
        bytes.extend(state.to_be_bytes());
        for long in [leader.0, zxid.0, self.round.0] {
            bytes.extend(long.to_be_bytes());
        }
        if self.format != Format::WithoutEpoch {
            bytes.extend(epoch.0.to_be_bytes());
        }
        match &self.format {
            Format::WithoutEpoch | Format::WithEpoch => {}
            Format::Numbered => bytes.extend(1_i32.to_be_bytes()),
            Format::Configured(text) => {
                bytes.extend(2_i32.to_be_bytes());
                bytes.extend(length(text));
                bytes.extend(text.as_bytes());
            }
        }
        bytes
    }

    /// Decodes a complete notification. As in ZooKeeper, a format number greater than 2 is read as 2, and bytes after the
    /// fields are ignored.
    ///
    /// # Errors
    /// The bytes are not a notification.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let too_short = || DecodeError::Length { bytes: bytes.len() };
        let mut reader = Reader(bytes);
        let long = |reader: &mut Reader<'_>| reader.long().ok_or_else(too_short);
        let state = reader.int().ok_or_else(too_short)?;
        let leader = ServerId(long(&mut reader)?);
        let zxid = Zxid(long(&mut reader)?);
        let round = Round(long(&mut reader)?);
        let (epoch, format) = if reader.0.is_empty() {
            (zxid.epoch(), Format::WithoutEpoch)
        } else {
            let epoch = Epoch(long(&mut reader)?);
            (epoch, if reader.0.is_empty() { Format::WithEpoch } else { reader.format(bytes.len())? })
        };
        let state = match state {
            0 => ServerState::Looking,
            1 => ServerState::Following,
            2 => ServerState::Leading,
            3 => ServerState::Observing,
            state => return Err(DecodeError::State { state }),
        };
        Ok(Self { state, vote: Vote { epoch, zxid, leader }, round, format })
    }

    /// Encodes the notification as a frame: its length, then its bytes.
    #[must_use]
    pub fn encode_frame(&self) -> Vec<u8> {
        let body = self.encode();
        let length = i32::try_from(body.len()).unwrap_or(i32::MAX);
        [&length.to_be_bytes()[..], &body].concat()
    }
}

/// Decodes the length of a frame from its first bytes. That many bytes of notification follow.
///
/// # Errors
/// The servers refuse a frame of this length.
pub fn frame_length(first: [u8; 4]) -> Result<usize, DecodeError> {
    let announced = i32::from_be_bytes(first);
    let allowed = |length: &usize| (1..=MAX_FRAME_BYTES).contains(length);
    usize::try_from(announced).ok().filter(allowed).ok_or(DecodeError::FrameLength { announced })
}

/// The length of a text as it is encoded.
fn length(text: &str) -> [u8; 4] {
    i32::try_from(text.len()).unwrap_or(i32::MAX).to_be_bytes()
}

/// The bytes that are still to be decoded.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn int(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A text of this length; `None` if the length is negative or there are fewer bytes.
    fn text(&mut self, length: i32) -> Option<Result<String, DecodeError>> {
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(String::from_utf8(text.to_vec()).map_err(|_| DecodeError::Text))
    }

    /// The format number and the fields that follow from it.
    fn format(&mut self, bytes: usize) -> Result<Format, DecodeError> {
        match self.int().ok_or(DecodeError::Length { bytes })? {
            1 => Ok(Format::Numbered),
            format if format < 1 => Err(DecodeError::Format { format }),
            _ => {
                let announced = self.int().ok_or(DecodeError::Length { bytes })?;
                let present = self.0.len();
                let text = self.text(announced).ok_or(DecodeError::ConfigLength { announced, present })?;
                text.map(Format::Configured)
            }
        }
    }

    /// The number of bytes decoded so far.
    fn read_of(&self, bytes: &[u8]) -> usize {
        bytes.len() - self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(format: Format) -> Notification {
        let vote = Vote { epoch: Epoch(1), zxid: Zxid(0x1_0000_0008), leader: ServerId(3) };
        Notification { state: ServerState::Leading, vote, round: Round(2), format }
    }

    #[test]
    fn notifications_of_all_formats_are_read_as_they_are_written() {
        let config = Format::Configured("server.1=größe:2888:3888:participant\nversion=0".into());
        let formats = [Format::WithoutEpoch, Format::WithEpoch, Format::Numbered, config];
        for (format, length) in formats.into_iter().zip([28, 36, 40, 92]) {
            let notification = notification(format);
            let bytes = notification.encode();
            assert_eq!(bytes.len(), length);
            assert_eq!(Notification::decode(&bytes), Ok(notification));
        }
    }

    #[test]
    fn what_is_cut_off_is_refused_and_nothing_else_is() {
        let bytes = notification(Format::Configured("version=0".into())).encode();
        for length in 0..bytes.len() {
            let decoded = Notification::decode(&bytes[..length]);
            assert_eq!(decoded.is_ok(), [28, 36].contains(&length), "{length}: {decoded:?}");
        }
        assert!(Notification::decode(&[&bytes[..], b"more"].concat()).is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let with = |at: usize, int: i32| {
            let mut bytes = notification(Format::Configured("version=0".into())).encode();
            bytes[at..at + 4].copy_from_slice(&int.to_be_bytes());
            Notification::decode(&bytes)
        };
        for state in [-1, 4, i32::MAX] {
            assert_eq!(with(0, state), Err(DecodeError::State { state }));
        }
        for format in [0, -1, i32::MIN] {
            assert_eq!(with(36, format), Err(DecodeError::Format { format }));
        }
        for announced in [-1, i32::MIN, 10, 10_000_000, i32::MAX] {
            assert_eq!(with(40, announced), Err(DecodeError::ConfigLength { announced, present: 9 }));
        }
        assert!(with(36, 3).is_ok());
        let mut bytes = notification(Format::Configured("version=0".into())).encode();
        bytes[44] = 0xff;
        assert_eq!(Notification::decode(&bytes), Err(DecodeError::Text));
    }

    #[test]
    fn frames_have_a_length_that_servers_accept() {
        assert_eq!(notification(Format::Numbered).encode_frame()[..4], 40_i32.to_be_bytes());
        for length in [1_i32, 40, 524_288] {
            assert_eq!(frame_length(length.to_be_bytes()), Ok(usize::try_from(length).unwrap()));
        }
        for announced in [0, -1, 524_289, 10_000_000, i32::MIN] {
            assert_eq!(frame_length(announced.to_be_bytes()), Err(DecodeError::FrameLength { announced }));
        }
    }

    #[test]
    fn greetings_are_read_as_they_are_written_and_only_when_they_are_complete() {
        let address = "10.0.0.1:3888".to_owned();
        let several = format!("{address}|{address}");
        for addresses in [Addresses::None, Addresses::One(address), Addresses::Several(several)] {
            let hello = Hello { from: ServerId(3), addresses };
            let bytes = hello.encode();
            for length in 0..bytes.len() {
                assert_eq!(Hello::decode(&bytes[..length]), Ok(None));
            }
            let followed = [&bytes[..], b"\0\0\0\x28"].concat();
            assert_eq!(Hello::decode(&followed), Ok(Some((hello, bytes.len()))));
        }
        assert_eq!(Hello::decode(&(-1_i64).to_be_bytes()), Err(DecodeError::HelloVersion { version: -1 }));
        for announced in [0_i32, -1, 2049, 10_000_000] {
            let hello = [&ONE_ADDRESS.to_be_bytes()[..], &[0; 8], &announced.to_be_bytes()].concat();
            assert_eq!(Hello::decode(&hello), Err(DecodeError::AddressLength { announced }));
        }
    }
}

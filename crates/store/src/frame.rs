//! The framing that all state files share: a header of 12 bytes (magic, format version), then
//! frames of `u32` length, `u32` CRC-32 (IEEE) of the payload, payload; all little-endian.
//!
//! Payloads are JSON, so that a person can read them with `strings`. That is load-bearing: JSON
//! holds no control bytes, so no frame header can be mistaken for text inside a payload (a length
//! under [`MAX_PAYLOAD`] has a fourth byte of at most 3), and a zero byte in a payload means a page
//! that was never written. The journal alone holds packed bytes: there a torn end may look like
//! corruption, which is refused and never guessed about.

use std::io::{self, Read};

/// A payload is smaller than this: far over any real record, and far under what four bytes of
/// text would mean as a length.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;

/// Bytes before a payload.
pub(crate) const FRAME_HEADER: usize = 8;

/// Bytes before the first frame.
pub(crate) const FILE_HEADER: usize = 12;

/// What a kind of file begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileKind {
    /// First eight bytes.
    pub(crate) magic: [u8; 8],
    /// The version that is written.
    pub(crate) version: u32,
    /// For error messages.
    pub(crate) name: &'static str,
}

impl FileKind {
    /// The file's first bytes.
    pub(crate) fn header(self) -> [u8; FILE_HEADER] {
        let mut header = [0; FILE_HEADER];
        header[..8].copy_from_slice(&self.magic);
        header[8..].copy_from_slice(&self.version.to_le_bytes());
        header
    }
}

/// Appends a frame to `out`.
pub(crate) fn put(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole frame; its payload is in the buffer.
    Frame,
    /// Nothing: the file ends here.
    End,
    /// Something that is not a whole frame.
    Broken,
}

/// Reads the next frame's payload into `payload`.
pub(crate) fn read(from: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<Next> {
    let mut header = Vec::with_capacity(FRAME_HEADER);
    from.by_ref()
        .take(FRAME_HEADER as u64)
        .read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(Next::End);
    }
    let Some((len, crc)) = split_header(&header) else {
        return Ok(Next::Broken);
    };
    payload.clear();
    from.by_ref().take(len as u64).read_to_end(payload)?;
    let whole = payload.len() == len && crc32fast::hash(payload) == crc;
    Ok(if whole { Next::Frame } else { Next::Broken })
}

/// Length and checksum, where the header is whole and its length possible.
fn split_header(bytes: &[u8]) -> Option<(usize, u32)> {
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    (len > 0 && len < MAX_PAYLOAD).then_some((len, crc))
}

/// The payload of the frame at the start of `bytes`, with whether its checksum holds.
fn payload(bytes: &[u8]) -> Option<(&[u8], bool)> {
    let (len, crc) = split_header(bytes)?;
    let payload = bytes.get(FRAME_HEADER..FRAME_HEADER + len)?;
    Some((payload, crc32fast::hash(payload) == crc))
}

/// Tells a torn end from corruption, given everything from the broken frame on. `Some` says why it
/// cannot be a torn end.
pub(crate) fn corruption(tail: &[u8]) -> Option<String> {
    let later = (1..tail.len()).find(|&at| matches!(payload(&tail[at..]), Some((_, true))));
    if let Some(at) = later {
        return Some(format!("a whole record follows {at} bytes later"));
    }
    match payload(tail) {
        // A page that was never written reads as zeros, which JSON does not hold.
        Some((payload, false)) if !payload.contains(&0) => {
            Some("the last record is complete, but its checksum differs".to_owned())
        }
        _ => None,
    }
}

//! Files of state, out of any bytes.

use std::path::{Path, PathBuf};

/// Bytes of a file of state: as they are, or as frames whose checksums are right, so that what is behind
/// the checksums is reached. The first byte says which.
pub fn file(header: [u8; 12], input: &[u8]) -> Vec<u8> {
    let Some((&how, rest)) = input.split_first() else {
        return Vec::new();
    };
    if how == 0 {
        return rest.to_vec();
    }
    let mut bytes = header.to_vec();
    let mut rest = rest;
    while let Some((len, after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes(*len));
        let (payload, after) = after.split_at(len.min(after.len()));
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        bytes.extend_from_slice(payload);
        rest = after;
    }
    bytes
}

/// What a file of state begins with.
pub fn header(magic: [u8; 8]) -> [u8; 12] {
    let mut header = [0; 12];
    header[..8].copy_from_slice(&magic);
    header[8..].copy_from_slice(&1_u32.to_le_bytes());
    header
}

/// A folder in memory of this process alone, empty.
///
/// # Panics
/// There is none to be had.
pub fn folder() -> PathBuf {
    let folder = Path::new("/dev/shm").join(format!("foghorn-fuzz-{}", std::process::id()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("ours");
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

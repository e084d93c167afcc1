//! Snapshots: files of packed parts, each with its checksum, of which the newest two are kept.
//!
//! A file is written beside its place and renamed when all of it is on disk, so that what has a
//! snapshot's name was whole once. It is checked from end to end before any of it is used: one that
//! is not whole any more is put aside, and the one before it serves. Nothing here knows what the parts
//! mean, but for their kinds.
//!
//! After the header ([`crate::frame`]) each frame is a piece of a part: a byte for its kind, one for
//! whether the part ends with it, its length unpacked, and the packed bytes. The last frame says how
//! many there were before it.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use fail::fail_point;
use tracing::warn;
use zstd::bulk::{Compressor, Decompressor};

use crate::error::StoreError;
use crate::frame::{self, FILE_HEADER, FileKind, Next};
use crate::lock::DirLock;
use crate::segment::{new_file, read_header, sync_parent};

const KIND: FileKind = FileKind {
    magic: *b"FHSNAPSH",
    version: 1,
    name: "snapshot",
};

/// Snapshots that are kept.
const KEPT: usize = 2;
/// Bytes of a piece, unpacked.
const PIECE: usize = 4 << 20;
/// The fastest level that is worth its while: most of a snapshot are packed columns already.
const LEVEL: i32 = 1;
/// Bytes before a piece's packed bytes.
const PIECE_HEADER: usize = 6;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// What the log comes to.
    Log,
    /// What else there is one of.
    Head,
    /// Some series.
    Series,
}

/// The kind of the last frame.
const END: u8 = 0xff;

impl PartKind {
    fn code(self) -> u8 {
        match self {
            Self::Head => 0,
            Self::Series => 1,
            Self::Log => 2,
        }
    }

    fn of(code: u8) -> Option<Self> {
        [Self::Log, Self::Head, Self::Series]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// The snapshots of one instance.
#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    _lock: DirLock,
}

/// A snapshot that is being written.
pub struct SnapshotWriter<'a> {
    all: &'a Snapshots,
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    packer: Compressor<'static>,
    frame: Vec<u8>,
    frames: u64,
    bytes: u64,
    is_finished: bool,
}

impl Snapshots {
    /// Opens or creates the directory. What an interrupted writer left is removed.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it, and what the system says.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = DirLock::take(dir, "snapshots.lock")?;
        let all = Self {
            dir: dir.to_owned(),
            _lock: lock,
        };
        for path in all.files("part")? {
            fs::remove_file(&path).map_err(StoreError::io(&path, "remove"))?;
        }
        Ok(all)
    }

    /// Files with an extension, in the order of their names.
    fn files(&self, extension: &str) -> Result<Vec<PathBuf>, StoreError> {
        let listed = fs::read_dir(&self.dir).map_err(StoreError::io(&self.dir, "list"))?;
        let mut files = Vec::new();
        for entry in listed {
            let path = entry.map_err(StoreError::io(&self.dir, "list"))?.path();
            if path.extension().is_some_and(|known| known == extension) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// The snapshots, the newest first.
    ///
    /// # Errors
    /// What the system says.
    pub fn newest_first(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = self.files("snapshot")?;
        files.reverse();
        Ok(files)
    }

    /// The log's position of the newest one.
    ///
    /// # Errors
    /// What the system says.
    pub fn newest(&self) -> Result<Option<u64>, StoreError> {
        let newest = self.newest_first()?.into_iter().next();
        Ok(newest.and_then(|path| position_of(&path)))
    }

    /// A file beside its place, for a snapshot that comes from elsewhere; `which` tells several of one
    /// position apart.
    pub(crate) fn fetching(
        &self,
        log_position: u64,
        which: i64,
    ) -> Result<(PathBuf, BufWriter<File>), StoreError> {
        let beside = self.dir.join(format!("{log_position:020}-{which}.part"));
        let file = new_file(&beside)?;
        Ok((beside, BufWriter::with_capacity(1 << 20, file)))
    }

    /// It is all there: it gets its name.
    pub(crate) fn fetched(
        &self,
        log_position: u64,
        beside: &Path,
        file: BufWriter<File>,
    ) -> Result<(), StoreError> {
        let file = file.into_inner();
        let file = file.map_err(std::io::IntoInnerError::into_error);
        let file = file.map_err(StoreError::io(beside, "write"))?;
        file.sync_all().map_err(StoreError::io(beside, "fsync"))?;
        let path = self.path_of(log_position);
        fs::rename(beside, &path).map_err(StoreError::io(beside, "rename"))?;
        sync_parent(&path)
    }

    /// It will never be all there.
    pub(crate) fn give_up(&self, beside: &Path) {
        if let Err(error) = fs::remove_file(beside) {
            warn!(%error, dir = %self.dir.display(), "what is left of a snapshot stays");
        }
    }

    /// Where the snapshot stands that stands after so many entries of the log.
    pub fn path_of(&self, log_position: u64) -> PathBuf {
        self.dir.join(format!("{log_position:020}.snapshot"))
    }

    /// Begins the snapshot that stands after so many entries of the log.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(&self, log_position: u64) -> Result<SnapshotWriter<'_>, StoreError> {
        let path = self.path_of(log_position);
        let beside = path.with_extension("part");
        let file = new_file(&beside)?;
        let packer = Compressor::new(LEVEL).map_err(StoreError::io(&beside, "pack"))?;
        let mut writer = SnapshotWriter {
            all: self,
            path,
            file: BufWriter::with_capacity(1 << 20, file),
            packer,
            frame: Vec::new(),
            frames: 0,
            bytes: 0,
            is_finished: false,
            beside,
        };
        writer.write(&KIND.header())?;
        Ok(writer)
    }

    /// Reads a snapshot: all of it is checked, then `take` gets part by part. What `take` says against
    /// a part ends the reading.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is not whole (or `take` said so), [`StoreError::Version`] where
    /// it is of a format that is not known here, and what the system says.
    pub fn read(
        path: &Path,
        take: &mut dyn FnMut(PartKind, Vec<u8>) -> Result<(), String>,
    ) -> Result<(), StoreError> {
        check(path)?;
        let mut file = open(path)?;
        let mut at = FILE_HEADER as u64;
        let corrupt = |at, why: String| StoreError::Corrupt {
            path: path.to_owned(),
            at,
            why,
        };
        let io = |error| StoreError::io(path, "read")(error);
        let mut unpacker = Decompressor::new().map_err(io)?;
        let (mut payload, mut part) = (Vec::new(), Vec::new());
        while frame::read(&mut file, &mut payload).map_err(io)? == Next::Frame {
            let here = at;
            at += (frame::FRAME_HEADER + payload.len()) as u64;
            if payload.first() == Some(&END) {
                return Ok(());
            }
            let (kind, is_last, piece) =
                unpack(&payload, &mut unpacker).map_err(|why| corrupt(here, why))?;
            part.extend_from_slice(&piece);
            if is_last {
                take(kind, std::mem::take(&mut part)).map_err(|why| corrupt(here, why))?;
            }
        }
        Err(corrupt(at, "it has no end".to_owned()))
    }

    /// Says that the log begins at an entry, and that nothing here tells what came before.
    pub fn no_beginning(&self, first: u64) -> StoreError {
        StoreError::NoBeginning {
            path: self.dir.with_file_name("signals"),
            first,
            snapshots: self.dir.clone(),
        }
    }

    /// Puts a snapshot aside that is of no use: it is not looked at again, and the next such one takes
    /// its place.
    ///
    /// # Errors
    /// What the system says.
    pub fn put_aside(&self, path: &Path) -> Result<(), StoreError> {
        for old in self.files("aside")? {
            fs::remove_file(&old).map_err(StoreError::io(&old, "remove"))?;
        }
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).map_err(StoreError::io(path, "rename"))?;
        warn!(snapshot = %aside.display(), "a snapshot is put aside");
        Ok(())
    }

    fn forget_old(&self) -> Result<(), StoreError> {
        for old in self.newest_first()?.iter().skip(KEPT) {
            fs::remove_file(old).map_err(StoreError::io(old, "remove"))?;
        }
        Ok(())
    }
}

impl SnapshotWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(StoreError::io(&self.beside, "write"))
    }

    /// Says that a part has no bytes, and why.
    pub fn unwritable(&self, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Unwritable {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }

    /// Appends a part.
    ///
    /// # Errors
    /// What the system says.
    pub fn put(&mut self, kind: PartKind, part: &[u8]) -> Result<(), StoreError> {
        fail_point!("snapshot-part", |_| std::process::abort());
        let mut pieces = part.chunks(PIECE).peekable();
        // An empty part is a part, too.
        if part.is_empty() {
            self.piece(kind.code(), true, &[])?;
        }
        while let Some(piece) = pieces.next() {
            self.piece(kind.code(), pieces.peek().is_none(), piece)?;
        }
        Ok(())
    }

    fn piece(&mut self, kind: u8, is_last: bool, piece: &[u8]) -> Result<(), StoreError> {
        let packed = self.packer.compress(piece);
        let packed = packed.map_err(StoreError::io(&self.beside, "pack"))?;
        let mut payload = Vec::with_capacity(PIECE_HEADER + packed.len());
        payload.extend_from_slice(&[kind, u8::from(is_last)]);
        payload.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        payload.extend_from_slice(&packed);
        self.frame(&payload)
    }

    fn frame(&mut self, payload: &[u8]) -> Result<(), StoreError> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame::put(&mut frame, payload);
        let written = self.write(&frame);
        self.frame = frame;
        self.frames += 1;
        written
    }

    /// Makes it durable and gives it its name; older ones but the last go. Bytes on disk, and the log's
    /// position at which the oldest that is kept stands, where as many are kept as may be.
    ///
    /// # Errors
    /// What the system says: there is no such snapshot then.
    pub fn finish(mut self) -> Result<(u64, Option<u64>), StoreError> {
        let mut end = vec![END];
        end.extend_from_slice(&self.frames.to_le_bytes());
        self.frame(&end)?;
        let beside = self.beside.clone();
        let flushed = self.file.flush();
        flushed.map_err(StoreError::io(&beside, "write"))?;
        let synced = self.file.get_ref().sync_all();
        synced.map_err(StoreError::io(&beside, "fsync"))?;
        fail_point!("snapshot-beside", |_| std::process::abort());
        fs::rename(&beside, &self.path).map_err(StoreError::io(&beside, "rename"))?;
        fail_point!("snapshot-named", |_| std::process::abort());
        self.is_finished = true;
        sync_parent(&self.path)?;
        self.all.forget_old()?;
        fail_point!("snapshot-done", |_| std::process::abort());
        let kept = self.all.newest_first()?;
        let oldest = kept.get(KEPT - 1).and_then(|path| position_of(path));
        Ok((self.bytes, oldest))
    }
}

impl Drop for SnapshotWriter<'_> {
    /// What was not finished is of no use, and may be why the disk is full.
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = fs::remove_file(&self.beside)
        {
            warn!(%error, file = %self.beside.display(), "what is left of a snapshot stays");
        }
    }
}

/// The log's position that a snapshot's name tells.
fn position_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// Opens a file that begins as a snapshot does.
fn open(path: &Path) -> Result<BufReader<File>, StoreError> {
    let file = File::open(path).map_err(StoreError::io(path, "open"))?;
    if !read_header(&file, path, KIND)? {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            at: 0,
            why: "it has no beginning".to_owned(),
        });
    }
    Ok(BufReader::with_capacity(1 << 20, file))
}

/// Checks a file from end to end.
fn check(path: &Path) -> Result<(), StoreError> {
    let mut file = open(path)?;
    let (mut payload, mut frames, mut at) = (Vec::new(), 0_u64, FILE_HEADER as u64);
    let corrupt = |at, why: &str| StoreError::Corrupt {
        path: path.to_owned(),
        at,
        why: why.to_owned(),
    };
    loop {
        match frame::read(&mut file, &mut payload).map_err(StoreError::io(path, "read"))? {
            Next::Frame => {}
            Next::End => return Err(corrupt(at, "it has no end")),
            Next::Broken => return Err(corrupt(at, "a piece is not what was written")),
        }
        if let [END, counted @ ..] = &payload[..] {
            if counted != frames.to_le_bytes() {
                return Err(corrupt(at, "it has lost pieces"));
            }
            at += (frame::FRAME_HEADER + payload.len()) as u64;
            let mut more = [0];
            let more = file.read(&mut more).map_err(StoreError::io(path, "read"))?;
            return if more == 0 {
                Ok(())
            } else {
                Err(corrupt(at, "something stands behind its end"))
            };
        }
        frames += 1;
        at += (frame::FRAME_HEADER + payload.len()) as u64;
    }
}

/// A piece's kind, whether its part ends with it, and its bytes.
fn unpack(
    payload: &[u8],
    unpacker: &mut Decompressor<'_>,
) -> Result<(PartKind, bool, Vec<u8>), String> {
    let Some(([kind, is_last, len @ ..], packed)) = payload.split_first_chunk::<PIECE_HEADER>()
    else {
        return Err("a piece is too short".to_owned());
    };
    let kind = PartKind::of(*kind).ok_or("a part of an unknown kind")?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > PIECE {
        return Err("a piece is too long".to_owned());
    }
    let piece = unpacker.decompress(packed, len);
    let piece = piece.map_err(|error| format!("a piece cannot be unpacked: {error}"))?;
    if piece.len() != len {
        return Err("a piece has another length than was written".to_owned());
    }
    Ok((kind, *is_last == 1, piece))
}

#[cfg(test)]
mod tests;

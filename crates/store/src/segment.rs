//! One file of frames: opened with recovery, appended to, synced, rewritten.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fail::fail_point;

use crate::error::StoreError;
use crate::frame::{self, FILE_HEADER, FRAME_HEADER, FileKind, MAX_PAYLOAD, Next};

/// Takes one payload; `Err` says why it cannot be understood.
pub(crate) type OnFrame<'a> = dyn FnMut(&[u8]) -> Result<(), String> + 'a;

/// A file of frames that only grows, until it is rewritten whole.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    kind: FileKind,
    file: Arc<File>,
    /// Up to here the file holds whole frames.
    bytes: u64,
    /// A write or an fsync failed: what is on disk is not known any more.
    poisoned: Arc<AtomicBool>,
}

/// An fsync that is due, apart from its file, so that it can be made while the file is written on.
#[derive(Debug)]
pub(crate) struct Syncing {
    path: PathBuf,
    file: Arc<File>,
    poisoned: Arc<AtomicBool>,
}

impl Syncing {
    /// Makes everything durable that was appended before this was taken out. After a failed fsync
    /// the kernel may have dropped the pages, so it is never tried again.
    pub(crate) fn run(&self) -> Result<(), StoreError> {
        fail_point!("segment-unsynced", |_| std::process::abort());
        self.file.sync_data().map_err(|source| {
            self.poisoned.store(true, Ordering::Release);
            StoreError::Io {
                path: self.path.clone(),
                what: "fsync",
                source,
            }
        })
    }
}

impl Segment {
    /// Opens or creates the file, and shows every whole frame in it. A torn end is cut off, with a
    /// warning.
    pub(crate) fn open(
        path: PathBuf,
        kind: FileKind,
        on_frame: &mut OnFrame<'_>,
    ) -> Result<Self, StoreError> {
        let file = owners()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io(&path, "open"))?;
        let mut segment = Self {
            path,
            kind,
            file: Arc::new(file),
            bytes: 0,
            poisoned: Arc::default(),
        };
        if read_header(&segment.file, &segment.path, kind)? {
            segment.read_frames(on_frame)?;
        } else {
            segment.write_header()?;
        }
        Ok(segment)
    }

    /// Bytes in the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes whole frames to the end. After an error the file is as it was before, or poisoned.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        fail_point!("segment-torn", |_| {
            let half = frames.len() / 2;
            drop((&*self.file).write_all(&frames[..half]));
            std::process::abort()
        });
        if let Err(source) = (&*self.file).write_all(frames) {
            let restored = self.cut(self.bytes);
            self.poisoned.store(restored.is_err(), Ordering::Release);
            return Err(StoreError::Io {
                path: self.path.clone(),
                what: "write",
                source,
            });
        }
        self.bytes += frames.len() as u64;
        Ok(())
    }

    /// Makes everything that was appended durable.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.syncing()?.run()
    }

    /// The same, to be run elsewhere.
    pub(crate) fn syncing(&self) -> Result<Syncing, StoreError> {
        self.usable()?;
        Ok(Syncing {
            path: self.path.clone(),
            file: Arc::clone(&self.file),
            poisoned: Arc::clone(&self.poisoned),
        })
    }

    /// Replaces the contents by `frames`, all or nothing, durably.
    pub(crate) fn rewrite(&mut self, frames: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        let mut contents = self.kind.header().to_vec();
        contents.extend_from_slice(frames);
        self.file = Arc::new(replace(&self.path, &contents)?);
        self.bytes = contents.len() as u64;
        Ok(())
    }

    /// A payload as a frame at the end of `out`.
    pub(crate) fn frame(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
        if payload.len() >= MAX_PAYLOAD {
            let why = format!("{} bytes; the bound is {MAX_PAYLOAD}", payload.len());
            return Err(StoreError::Unwritable {
                path: self.path.clone(),
                why,
            });
        }
        frame::put(out, payload);
        Ok(())
    }

    /// Whether more can be appended: no write or fsync has failed in a way that leaves its end unknown.
    pub(crate) fn is_usable(&self) -> bool {
        !self.poisoned.load(Ordering::Acquire)
    }

    /// As after a failed fsync.
    #[cfg(test)]
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.is_usable() {
            Ok(())
        } else {
            Err(StoreError::Poisoned {
                path: self.path.clone(),
            })
        }
    }

    fn write_header(&mut self) -> Result<(), StoreError> {
        self.cut(0)?;
        self.append(&self.kind.header())?;
        self.sync()?;
        sync_parent(&self.path)
    }

    fn read_frames(&mut self, on_frame: &mut OnFrame<'_>) -> Result<(), StoreError> {
        let mut reader = BufReader::with_capacity(1 << 18, &*self.file);
        let (mut at, mut payload) = (FILE_HEADER as u64, Vec::new());
        let torn = loop {
            match frame::read(&mut reader, &mut payload)
                .map_err(StoreError::io(&self.path, "read"))?
            {
                Next::End => break false,
                Next::Broken => break true,
                Next::Frame => {
                    on_frame(&payload).map_err(|why| self.corrupt(at, why))?;
                    at += (FRAME_HEADER + payload.len()) as u64;
                }
            }
        };
        if torn {
            self.judge_tail(at)?;
        }
        self.bytes = at;
        self.cut(at)
    }

    /// Says loudly what is cut off, or refuses to.
    fn judge_tail(&self, at: u64) -> Result<(), StoreError> {
        let mut tail = Vec::new();
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(at))
            .map_err(StoreError::io(&self.path, "seek"))?;
        file.read_to_end(&mut tail)
            .map_err(StoreError::io(&self.path, "read"))?;
        if let Some(why) = frame::corruption(&tail) {
            return Err(self.corrupt(at, why));
        }
        tracing::warn!(
            path = %self.path.display(),
            at,
            bytes = tail.len(),
            "the file ends in the middle of a record, as after a crash or power loss: cutting off \
             what was never confirmed"
        );
        Ok(())
    }

    fn corrupt(&self, at: u64, why: String) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            at,
            why,
        }
    }

    /// Makes the file end at `bytes`, and writes go there.
    fn cut(&mut self, bytes: u64) -> Result<(), StoreError> {
        self.file
            .set_len(bytes)
            .map_err(StoreError::io(&self.path, "truncate"))?;
        (&*self.file)
            .seek(SeekFrom::Start(bytes))
            .map_err(StoreError::io(&self.path, "seek"))?;
        Ok(())
    }
}

/// The frames of a file that is not written any more, one after the other.
pub(crate) struct Frames {
    path: PathBuf,
    reader: BufReader<File>,
    at: u64,
}

impl Frames {
    /// Opens a file to read it.
    pub(crate) fn open(path: PathBuf, kind: FileKind) -> Result<Self, StoreError> {
        let file = File::open(&path).map_err(StoreError::io(&path, "open"))?;
        read_header(&file, &path, kind)?;
        Ok(Self {
            path,
            reader: BufReader::with_capacity(1 << 18, file),
            at: FILE_HEADER as u64,
        })
    }

    /// The next payload; `false` where the file ends.
    pub(crate) fn next(&mut self, payload: &mut Vec<u8>) -> Result<bool, StoreError> {
        match frame::read(&mut self.reader, payload).map_err(StoreError::io(&self.path, "read"))? {
            Next::End => Ok(false),
            Next::Broken => Err(self.corrupt("a record is not whole".to_owned())),
            Next::Frame => {
                self.at += (FRAME_HEADER + payload.len()) as u64;
                Ok(true)
            }
        }
    }

    /// What was read last, or should have been, makes no sense.
    pub(crate) fn corrupt(&self, why: String) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            at: self.at,
            why,
        }
    }
}

/// Whether there is a header; a file that ends inside one is as good as empty.
pub(crate) fn read_header(file: &File, path: &Path, kind: FileKind) -> Result<bool, StoreError> {
    let mut found = Vec::with_capacity(FILE_HEADER);
    file.take(FILE_HEADER as u64)
        .read_to_end(&mut found)
        .map_err(StoreError::io(path, "read"))?;
    let expected = kind.header();
    if found.len() < FILE_HEADER && expected.starts_with(&found) {
        return Ok(false);
    }
    if !found.starts_with(&kind.magic) || found.len() < FILE_HEADER {
        return Err(StoreError::NotOurs {
            path: path.to_owned(),
            kind: kind.name,
        });
    }
    let version = found[8..]
        .iter()
        .rev()
        .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    if version > kind.version || version == 0 {
        return Err(StoreError::Version {
            path: path.to_owned(),
            found: version,
            known: kind.version,
        });
    }
    Ok(true)
}

/// How state files are opened: nobody but their owner reads them. They hold labels, log lines and
/// what people said.
pub(crate) fn owners() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// An empty file, in the place of any that is there.
pub(crate) fn new_file(path: &Path) -> Result<File, StoreError> {
    let opened = owners().create(true).truncate(true).open(path);
    opened.map_err(StoreError::io(path, "create"))
}

/// Writes a file beside `path`, syncs it and renames it over `path`; the open file, at its end.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<File, StoreError> {
    let new = path.with_extension("tmp");
    let mut file = new_file(&new)?;
    file.write_all(contents)
        .map_err(StoreError::io(&new, "write"))?;
    file.sync_all().map_err(StoreError::io(&new, "fsync"))?;
    fail_point!("file-beside", |_| std::process::abort());
    fs::rename(&new, path).map_err(StoreError::io(path, "replace"))?;
    fail_point!("file-replaced", |_| std::process::abort());
    sync_parent(path)?;
    Ok(file)
}

/// Bytes of a probe.
const PROBE: usize = 64 << 10;

/// Whether a directory takes something at present: a small file is written, made durable and removed.
///
/// # Errors
/// What the system says.
pub fn probe(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("probe");
    let mut file = new_file(&path)?;
    let written = file.write_all(&vec![0; PROBE]);
    let written = written.and_then(|()| file.sync_all());
    let removed = fs::remove_file(&path);
    written.map_err(StoreError::io(&path, "write"))?;
    removed.map_err(StoreError::io(&path, "remove"))
}

/// Makes a file's name durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let dir = File::open(parent).map_err(StoreError::io(parent, "open"))?;
    dir.sync_all().map_err(StoreError::io(parent, "fsync"))
}

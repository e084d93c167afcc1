//! One process, one directory.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::StoreError;
use crate::segment::owners;

/// An exclusive lock, held for as long as this value lives; the system frees it when a process
/// dies, however it dies.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Creates `dir` where it is missing, and takes the lock `name` in it.
    pub(crate) fn take(dir: &Path, name: &str) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io(dir, "create"))?;
        let path = dir.join(name);
        let file = owners()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(StoreError::Io {
                path,
                what: "lock",
                source,
            }),
        }
    }
}

use super::*;

/// Parts of which one is longer than a piece, and one is empty.
fn parts() -> Vec<(PartKind, Vec<u8>)> {
    let long = (0..PIECE + PIECE / 2).map(|i| (i * i / 7) as u8).collect();
    vec![
        (PartKind::Head, b"head".to_vec()),
        (PartKind::Series, long),
        (PartKind::Series, Vec::new()),
        (PartKind::Series, b"series".to_vec()),
    ]
}

fn write(all: &Snapshots, position: u64, parts: &[(PartKind, Vec<u8>)]) -> PathBuf {
    let mut writer = all.begin(position).unwrap();
    for (kind, part) in parts {
        writer.put(*kind, part).unwrap();
    }
    let (bytes, oldest) = writer.finish().unwrap();
    let kept = all.newest_first().unwrap();
    assert_eq!(bytes, fs::metadata(&kept[0]).unwrap().len());
    assert_eq!(oldest, kept.get(1).and_then(|path| position_of(path)));
    all.newest_first().unwrap().remove(0)
}

fn read(path: &Path) -> Result<Vec<(PartKind, Vec<u8>)>, StoreError> {
    let mut parts = Vec::new();
    Snapshots::read(path, &mut |kind, part| {
        parts.push((kind, part));
        Ok(())
    })?;
    Ok(parts)
}

/// Names of what is in a directory but the lock.
fn names(dir: &Path) -> Vec<String> {
    let listed = fs::read_dir(dir).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "snapshots.lock").collect();
    names.sort();
    names
}

#[test]
fn every_part_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    assert_eq!(read(&write(&all, 7, &parts())).unwrap(), parts());
}

#[test]
fn the_newest_two_stay() {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    for position in [3, 20, 100] {
        write(&all, position, &parts()[..1]);
    }
    let kept = [
        "00000000000000000020.snapshot",
        "00000000000000000100.snapshot",
    ];
    assert_eq!(names(dir.path()), kept);
    let newest = all.newest_first().unwrap();
    assert!(newest[0].ends_with(kept[1]) && newest[1].ends_with(kept[0]));
}

#[test]
fn what_an_interrupted_writer_left_is_no_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    let path = write(&all, 1, &parts());
    let mut writer = all.begin(2).unwrap();
    writer.put(PartKind::Head, b"half").unwrap();
    // As a process that dies.
    std::mem::forget(writer);
    assert_eq!(names(dir.path()).len(), 2);
    drop(all);
    let all = Snapshots::open(dir.path()).unwrap();
    assert_eq!(names(dir.path()).len(), 1, "it is removed");
    let mut writer = all.begin(2).unwrap();
    writer.put(PartKind::Head, b"half").unwrap();
    drop(writer);
    assert_eq!(all.newest_first().unwrap(), [path]);
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn one_process_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _all = Snapshots::open(dir.path()).unwrap();
    let again = Snapshots::open(dir.path());
    assert!(matches!(again, Err(StoreError::Locked { .. })), "{again:?}");
}

#[test]
fn one_of_no_use_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    for position in [1, 2] {
        let path = write(&all, position, &parts()[..1]);
        all.put_aside(&path).unwrap();
    }
    assert_eq!(names(dir.path()), ["00000000000000000002.aside"]);
}

/// What is left of a snapshot after `damage` is either all there or refused.
fn check(damage: impl FnOnce(&mut Vec<u8>)) {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    let parts = &parts()[..1];
    let path = write(&all, 1, parts);
    let mut bytes = fs::read(&path).unwrap();
    let before = bytes.clone();
    damage(&mut bytes);
    assert_ne!(bytes, before, "nothing was damaged");
    fs::write(&path, &bytes).unwrap();
    let read = read(&path);
    assert!(read.is_err(), "{read:?}");
}

#[test]
fn torn_at_every_byte_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    let path = write(&all, 1, &parts()[..1]);
    let len = fs::metadata(&path).unwrap().len() as usize;
    for cut in 0..len {
        check(|bytes| bytes.truncate(cut));
    }
}

#[test]
fn with_any_bit_changed_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    let path = write(&all, 1, &parts()[..1]);
    let len = fs::metadata(&path).unwrap().len() as usize;
    for at in 0..len {
        check(|bytes| bytes[at] ^= 1 << (at % 8));
    }
}

#[test]
fn without_a_piece_or_with_more_behind_its_end_it_is_refused() {
    check(|bytes| bytes.push(0));
    check(|bytes| {
        // The head's frame.
        let len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        bytes.drain(12..12 + frame::FRAME_HEADER + len);
    });
}

#[test]
fn a_format_that_is_not_known_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    let path = write(&all, 1, &parts()[..1]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] += 1;
    fs::write(&path, bytes).unwrap();
    let read = read(&path).unwrap_err();
    assert!(matches!(read, StoreError::Version { .. }), "{read}");
    assert!(read.to_string().contains("use the version"), "{read}");
}

#[cfg(unix)]
#[test]
fn nobody_but_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let all = Snapshots::open(dir.path()).unwrap();
    let path = write(&all, 1, &parts()[..1]);
    for path in [path, dir.path().join("snapshots.lock")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

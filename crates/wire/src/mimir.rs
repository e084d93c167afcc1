//! Records of Mimir's ingest storage: remote write without snappy, its version in a record header.

use foghorn_model::Refusal;

/// Whether a record of format `mimir` can be read, by its header `Version` (four bytes, big end
/// first; none means 0). Versions 0 and 1 hold a remote write 1.0 request; 2 is made of symbols that
/// Mimir reserves and does not promise to keep.
///
/// # Errors
/// `unsupported_version` for any other version, or for a header that is none.
pub fn mimir_version(header: Option<&[u8]>) -> Result<(), Refusal> {
    let version = match header {
        None => 0,
        Some(bytes) => match <[u8; 4]>::try_from(bytes) {
            Ok(bytes) => u32::from_be_bytes(bytes),
            Err(_) => {
                return Err(Refusal::new(
                    "unsupported_version",
                    format!(
                        "a header Version of {} bytes; Mimir's has four",
                        bytes.len()
                    ),
                ));
            }
        },
    };
    if version < 2 {
        return Ok(());
    }
    Err(Refusal::new(
        "unsupported_version",
        format!("a Mimir record of version {version}; 0 and 1 are read"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: Option<&[u8]>, expect: Result<(), &str>) {
        let got = mimir_version(header).map_err(|refusal| refusal.code);
        assert_eq!(got, expect, "{header:?}");
    }

    #[test]
    fn versions() {
        check(None, Ok(()));
        check(Some(&[0, 0, 0, 0]), Ok(()));
        check(Some(&[0, 0, 0, 1]), Ok(()));
        check(Some(&[0, 0, 0, 2]), Err("unsupported_version"));
        check(Some(&[1, 0, 0, 0]), Err("unsupported_version"));
        check(Some(b"1"), Err("unsupported_version"));
        check(Some(b""), Err("unsupported_version"));
    }
}

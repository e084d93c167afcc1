//! Unpacks what a sender packed, within a bound.

use std::io::Read;

use foghorn_model::Refusal;

use crate::format::Compression;

/// A snappy block grows by less than this: its densest element is 3 bytes for 64. A header that
/// claims more lies, and is refused before memory is taken for it.
const SNAPPY_MAX_RATIO: usize = 24;

/// Unpacks `payload` into `out` (cleared first, its capacity reused), of at most `max_bytes`.
///
/// # Errors
/// `bomb` where the unpacked size is over `max_bytes`, `bad_compression` where the bytes are not
/// what their compression says.
pub fn decompress(
    compression: Compression,
    payload: &[u8],
    max_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    match compression {
        Compression::None if payload.len() > max_bytes => Err(Refusal::new(
            "too_large",
            format!("{} bytes; the bound is {max_bytes}", payload.len()),
        )),
        Compression::None => {
            out.clear();
            out.extend_from_slice(payload);
            Ok(())
        }
        Compression::Snappy => snappy(payload, max_bytes, out),
        Compression::Gzip => gzip(payload, max_bytes, out),
        Compression::Zstd => zstd(payload, max_bytes, out),
    }
}

fn snappy(payload: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let bad = |error: snap::Error| Refusal::new("bad_compression", format!("snappy: {error}"));
    let len = snap::raw::decompress_len(payload).map_err(bad)?;
    if len > max_bytes {
        return Err(bomb(len, max_bytes));
    }
    if len > payload.len().saturating_mul(SNAPPY_MAX_RATIO) {
        let detail = format!("snappy: {} bytes claim to hold {len}", payload.len());
        return Err(Refusal::new("bad_compression", detail));
    }
    // What is there already is overwritten; only growth costs zeros.
    out.resize(len, 0);
    snap::raw::Decoder::new()
        .decompress(payload, out)
        .map_err(bad)?;
    Ok(())
}

fn gzip(payload: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    out.clear();
    let mut reader = flate2::read::MultiGzDecoder::new(payload).take(max_bytes as u64 + 1);
    reader
        .read_to_end(out)
        .map_err(|error| Refusal::new("bad_compression", format!("gzip: {error}")))?;
    if out.len() > max_bytes {
        out.clear();
        return Err(bomb(max_bytes + 1, max_bytes));
    }
    Ok(())
}

/// Longest window that a zstd frame may ask for: 2^27 bytes (128 MiB), which is also the library's
/// own bound for streams.
const ZSTD_WINDOW_LOG: u32 = 27;

fn zstd(payload: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let bad = |error| Refusal::new("bad_compression", format!("zstd: {error}"));
    out.clear();
    let mut reader = zstd::stream::read::Decoder::with_buffer(payload).map_err(bad)?;
    reader.window_log_max(ZSTD_WINDOW_LOG).map_err(bad)?;
    reader
        .take(max_bytes as u64 + 1)
        .read_to_end(out)
        .map_err(bad)?;
    if out.len() > max_bytes {
        out.clear();
        return Err(bomb(max_bytes + 1, max_bytes));
    }
    Ok(())
}

fn bomb(len: usize, max_bytes: usize) -> Refusal {
    Refusal::new(
        "bomb",
        format!("unpacks to {len} bytes or more; the bound is {max_bytes}"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zst(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn check(compression: Compression, payload: &[u8], expect: Result<usize, &str>) {
        let mut out = vec![1, 2, 3];
        let got = decompress(compression, payload, 100_000, &mut out).map(|()| out.len());
        assert_eq!(got.map_err(|refusal| refusal.code), expect);
    }

    #[test]
    fn unpacks_within_the_bound() {
        let zeros = vec![0; 100_000];
        let snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        check(Compression::Snappy, &snappy, Ok(100_000));
        check(Compression::Gzip, &gz(&zeros), Ok(100_000));
        check(Compression::Zstd, &zst(&zeros), Ok(100_000));
        check(Compression::None, b"abc", Ok(3));
    }

    #[test]
    fn bombs_and_lies() {
        let zeros = vec![0; 100_001];
        let snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        check(Compression::Snappy, &snappy, Err("bomb"));
        check(Compression::Gzip, &gz(&zeros), Err("bomb"));
        check(Compression::Zstd, &zst(&zeros), Err("bomb"));
        check(Compression::None, &zeros, Err("too_large"));
        check(
            Compression::Snappy,
            &[0xa0, 0x8d, 0x06],
            Err("bad_compression"),
        );
        check(Compression::Snappy, b"", Err("bad_compression"));
        check(Compression::Zstd, b"no zstd", Err("bad_compression"));
        let packed = zst(&[7; 1_000]);
        for len in 1..packed.len() {
            check(Compression::Zstd, &packed[..len], Err("bad_compression"));
        }
        // A frame that asks for a window of 2^31 bytes.
        let vast = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
        check(Compression::Zstd, &vast, Err("bad_compression"));
        check(
            Compression::Gzip,
            b"\x1f\x8bnot gzip",
            Err("bad_compression"),
        );
    }
}

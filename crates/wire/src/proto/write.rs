//! Writes messages with minimal lengths into one buffer that can be reused.

/// Protocol buffers' wire types, as far as we write them.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

/// Where an embedded message began.
#[derive(Clone, Copy, Debug)]
#[must_use = "an opened message must be closed"]
pub(crate) struct Opened(usize);

/// A buffer that grows by fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, by value.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets what was written, keeps the buffer.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// A varint field.
    pub(crate) fn varint(&mut self, field: u32, bits: u64) {
        self.tag(field, VARINT);
        self.raw_varint(bits);
    }

    /// A fixed64 or sfixed64 field.
    pub(crate) fn fixed64(&mut self, field: u32, bits: u64) {
        self.tag(field, FIXED64);
        self.bytes.extend_from_slice(&bits.to_le_bytes());
    }

    /// A double field.
    pub(crate) fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// A string field.
    pub(crate) fn text(&mut self, field: u32, text: &str) {
        self.raw(field, text.as_bytes());
    }

    /// A bytes field.
    pub(crate) fn raw(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, BYTES);
        self.raw_varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Eight bytes inside an opened packed field.
    pub(crate) fn packed_fixed64(&mut self, bits: u64) {
        self.bytes.extend_from_slice(&bits.to_le_bytes());
    }

    /// One byte inside an opened bytes field.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Begins an embedded message (or a packed or bytes field).
    pub(crate) fn open(&mut self, field: u32) -> Opened {
        self.tag(field, BYTES);
        self.bytes.push(0);
        Opened(self.bytes.len())
    }

    /// Ends it: the length goes in front; only messages past 127 bytes are moved for it.
    pub(crate) fn close(&mut self, opened: Opened) {
        let len = self.bytes.len() - opened.0;
        let width = (64 - (len as u64 | 1).leading_zeros()).div_ceil(7) as usize;
        self.bytes.resize(self.bytes.len() + width - 1, 0);
        if width > 1 {
            self.bytes
                .copy_within(opened.0..opened.0 + len, opened.0 + width - 1);
        }
        let mut bits = len as u64;
        for i in 0..width {
            let more = if i + 1 < width { 0x80 } else { 0 };
            self.bytes[opened.0 - 1 + i] = (bits & 0x7f) as u8 | more;
            bits >>= 7;
        }
    }

    /// An embedded message, written by `fill`.
    pub(crate) fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let opened = self.open(field);
        fill(self);
        self.close(opened);
    }

    fn tag(&mut self, field: u32, wire_type: u32) {
        self.raw_varint(u64::from(field << 3 | wire_type));
    }

    fn raw_varint(&mut self, mut bits: u64) {
        while bits >= 0x80 {
            self.bytes.push(bits as u8 | 0x80);
            bits >>= 7;
        }
        self.bytes.push(bits as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Fields;

    #[test]
    fn lengths_are_minimal_and_right() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 3_000_000] {
            let mut writer = Writer::default();
            writer.message(1, |w| w.bytes.resize(w.bytes.len() + len, 7));
            writer.varint(2, 5);
            let mut fields = Fields::new(writer.bytes());
            let inner = fields.next().unwrap().unwrap().1.bytes().unwrap();
            assert_eq!(inner, vec![7; len]);
            assert_eq!(fields.next().unwrap().unwrap().1.varint(), Ok(5));
            let mut plain = Writer::default();
            plain.raw(1, &vec![7; len]);
            plain.varint(2, 5);
            assert_eq!(writer.bytes(), plain.bytes());
        }
    }
}

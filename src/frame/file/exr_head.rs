//! The header of an EXR file in an order that does not change from run to run.
//!
//! The EXR library keeps the attributes that it does not know in a hash map and
//! writes them in the map's order, another one in every process. Equal frames shall
//! be equal files, so attributes are put in the order of their names, as the
//! OpenEXR library writes them.

use std::io::{self, Seek, SeekFrom, Write};

/// Bytes before the first attribute: magic number and version.
const START: usize = 8;

/// Passes on what is written, the header of its one part in order.
pub(super) struct OrderedHead<W> {
    to: W,
    /// What was written of the header; `None` once it has been passed on.
    head: Option<Vec<u8>>,
}

impl<W: Write> OrderedHead<W> {
    /// Nothing has been written to `to` yet.
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            head: Some(Vec::new()),
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        match self.head.take() {
            Some(head) => self.to.write_all(&head),
            None => Ok(()),
        }
    }
}

impl<W: Write> Write for OrderedHead<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(head) = &mut self.head else {
            return self.to.write(bytes);
        };
        head.extend_from_slice(bytes);
        if let Some(ordered) = ordered(head) {
            self.head = Some(ordered);
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.to.flush()
    }
}

impl<W: Write + Seek> Seek for OrderedHead<W> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.pass_on()?;
        self.to.seek(place)
    }
}

/// `bytes` with the attributes in the order of their names; `None` while the header
/// is not whole.
fn ordered(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut attributes = Vec::new();
    let mut rest = bytes.get(START..)?;
    loop {
        let name = rest.iter().position(|&b| b == 0)?;
        if name == 0 {
            break;
        }
        let kind = rest[name + 1..].iter().position(|&b| b == 0)?;
        let size_at = name + 1 + kind + 1;
        let size = rest.get(size_at..size_at + 4)?.try_into().ok()?;
        let length = size_at + 4 + usize::try_from(i32::from_le_bytes(size)).ok()?;
        attributes.push((&rest[..name], rest.get(..length)?));
        rest = &rest[length..];
    }
    attributes.sort();
    let mut out = bytes[..START].to_vec();
    attributes.iter().for_each(|a| out.extend_from_slice(a.1));
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
        let size = (value.len() as u32).to_le_bytes();
        [name.as_bytes(), b"\0string\0", &size, value].concat()
    }

    #[test]
    fn attributes_come_in_order_however_they_are_written() {
        let start = [b"v/1\x01", &[2u8, 0, 0, 0][..]].concat();
        let (a, b, c) = (
            attribute("b", b"one"),
            attribute("longtake:take", b"\0\0"),
            attribute("a", b""),
        );
        let file = [&start[..], &a, &b, &c, b"\0pixels"].concat();
        let sorted = [&start[..], &c, &a, &b, b"\0pixels"].concat();
        for piece in [1, 3, 1000] {
            let mut out = OrderedHead::new(io::Cursor::new(Vec::new()));
            for part in file.chunks(piece) {
                out.write_all(part).unwrap();
            }
            out.seek(SeekFrom::Start(0)).unwrap();
            out.write_all(b"V").unwrap();
            let mut expected = sorted.clone();
            expected[0] = b'V';
            assert_eq!(out.to.into_inner(), expected, "{piece}");
        }
    }
}

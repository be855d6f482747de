//! Headers of GGUF files. The format: `ggml/docs/gguf.md`, versions 2 and 3.
//!
//! Wan's files have a convolution of five dimensions, which other readers refuse, so
//! headers are read here; each length is held against what is left of the file
//! before anything is made of it.

use std::collections::HashMap;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::stored::Kind;

/// The most dimensions of a tensor.
const DIMENSIONS: u32 = 8;
/// The most entries of either list; published files have some thousands.
const ENTRIES: u64 = 1 << 20;
/// The longest name.
const NAME: u64 = 4096;

/// A tensor of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// As the file names it.
    pub name: String,
    /// Rows before columns, as everywhere else; the file has it reversed.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub kind: Kind,
    /// Where they begin in the file.
    pub offset: u64,
    /// How many bytes they take.
    pub length: usize,
}

/// What a header says.
#[derive(Debug, Default, PartialEq)]
pub struct Header {
    /// Texts among the keys.
    pub texts: HashMap<String, String>,
    /// Lists of integers among the keys.
    pub lists: HashMap<String, Vec<i64>>,
    /// The tensors.
    pub tensors: Vec<Entry>,
}

/// Reads the header of the file at `path`. An error is what is wrong with the file.
pub fn read(path: &Path) -> Result<Header, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    parse(BufReader::new(file), length)
}

/// Reads a header of a file of `length` bytes.
pub fn parse(reader: impl Read + Seek, length: u64) -> Result<Header, String> {
    let mut input = Input {
        reader,
        at: 0,
        length,
    };
    if input.bytes::<4>()? != *b"GGUF" {
        return Err("it does not begin as a GGUF file does".to_owned());
    }
    let version = input.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("its version is {version}, where 2 and 3 are known"));
    }
    let (tensors, keys) = (input.u64()?, input.u64()?);
    if tensors > ENTRIES || keys > ENTRIES {
        return Err(format!("it claims {tensors} tensors and {keys} keys"));
    }
    let mut header = Header::default();
    let mut alignment = 32;
    for _ in 0..keys {
        let key = input.text(NAME)?;
        match input.value(0)? {
            Value::Text(text) => drop(header.texts.insert(key, text)),
            Value::List(list) => drop(header.lists.insert(key, list)),
            Value::Integer(a) if key == "general.alignment" => alignment = a,
            _ => {}
        }
    }
    if !(1..=1 << 20).contains(&alignment) {
        return Err(format!("its alignment is {alignment}"));
    }
    for _ in 0..tensors {
        header.tensors.push(input.tensor()?);
    }
    let alignment = alignment as u64;
    let start = input.at.div_ceil(alignment) * alignment;
    for tensor in &mut header.tensors {
        let end = start
            .checked_add(tensor.offset)
            .and_then(|offset| {
                tensor.offset = offset;
                offset.checked_add(tensor.length as u64)
            })
            .filter(|end| *end <= length);
        if end.is_none() {
            return Err(format!(
                "{} ends beyond the file's {length} bytes",
                tensor.name
            ));
        }
    }
    Ok(header)
}

enum Value {
    Text(String),
    Integer(i64),
    List(Vec<i64>),
    Other,
}

struct Input<R> {
    reader: R,
    at: u64,
    length: u64,
}

impl<R: Read + Seek> Input<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.fits(N as u64)?;
        self.reader
            .read_exact(&mut bytes)
            .map_err(|_| "its header is cut short".to_owned())?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn fits(&self, bytes: u64) -> Result<(), String> {
        if bytes > self.length.saturating_sub(self.at) {
            return Err("its header is cut short, or claims more than there is".to_owned());
        }
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), String> {
        self.fits(bytes)?;
        self.at += bytes;
        self.reader
            .seek(SeekFrom::Start(self.at))
            .map_err(|e| e.to_string())?;
        Ok(())
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self, most: u64) -> Result<String, String> {
        let length = self.u64()?;
        self.fits(length)?;
        if length > most {
            return Err(format!("it has a text of {length} bytes"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader
            .read_exact(&mut bytes)
            .map_err(|_| "its header is cut short".to_owned())?;
        self.at += length;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self, depth: u32) -> Result<Value, String> {
        let kind = self.u32()?;
        self.value_of(kind, depth)
    }

    fn value_of(&mut self, kind: u32, depth: u32) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::Integer(self.bytes::<1>()?[0].into()),
            1 => Value::Integer(i8::from_le_bytes(self.bytes()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.bytes()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.bytes()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.bytes()?).into()),
            10 => Value::Integer(i64::try_from(self.u64()?).unwrap_or(i64::MAX)),
            11 => Value::Integer(i64::from_le_bytes(self.bytes()?)),
            6 => self.skipped(4)?,
            7 => self.skipped(1)?,
            12 => self.skipped(8)?,
            8 => {
                // Vocabularies and templates can be long; only short texts matter.
                let length = self.u64()?;
                if length > 1 << 16 {
                    self.skipped(length)?
                } else {
                    self.fits(length)?;
                    let mut bytes = vec![0; length as usize];
                    self.reader
                        .read_exact(&mut bytes)
                        .map_err(|_| "its header is cut short".to_owned())?;
                    self.at += length;
                    Value::Text(String::from_utf8_lossy(&bytes).into_owned())
                }
            }
            9 if depth < 4 => self.list(depth)?,
            _ => return Err(format!("it has a value of the unknown kind {kind}")),
        })
    }

    fn skipped(&mut self, bytes: u64) -> Result<Value, String> {
        self.skip(bytes)?;
        Ok(Value::Other)
    }

    fn list(&mut self, depth: u32) -> Result<Value, String> {
        let kind = self.u32()?;
        let count = self.u64()?;
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            // A text or a list takes its own length at least.
            8 | 9 => 8,
            _ => return Err(format!("it has a list of the unknown kind {kind}")),
        };
        let bytes = count
            .checked_mul(size)
            .ok_or("it claims a list that is longer than any file")?;
        self.fits(bytes)?;
        if kind != 8 && kind != 9 && count > 1024 {
            return self.skipped(bytes);
        }
        let mut integers = Vec::new();
        for _ in 0..count {
            if let Value::Integer(i) = self.value_of(kind, depth + 1)? {
                integers.push(i);
            }
        }
        Ok(if integers.is_empty() {
            Value::Other
        } else {
            Value::List(integers)
        })
    }

    fn tensor(&mut self) -> Result<Entry, String> {
        let name = self.text(NAME)?;
        let dimensions = self.u32()?;
        if dimensions > DIMENSIONS {
            return Err(format!("{name} claims {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let length = self.u64()?;
            let length =
                usize::try_from(length).map_err(|_| format!("{name} claims a side of {length}"))?;
            shape.push(length);
        }
        shape.reverse();
        let kind = Kind::from_gguf(self.u32()?);
        let (values, bytes) = kind.block();
        let count = shape
            .iter()
            .try_fold(1usize, |n, side| n.checked_mul(*side))
            .filter(|n| n.is_multiple_of(values))
            .and_then(|n| (n / values).checked_mul(bytes));
        let length =
            count.ok_or_else(|| format!("{name} claims the shape {shape:?}, which cannot be"))?;
        Ok(Entry {
            name,
            shape,
            kind,
            offset: self.u64()?,
            length,
        })
    }
}

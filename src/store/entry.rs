//! How an entry lies in its file: the payload between a head that names it and
//! a checksum that proves it.
//!
//! ```text
//! 0    8      magic "LTSTORE1"
//! 8   32      the key
//! 40   8      length of the payload, little endian
//! 48   n      the payload
//! 48+n 32     BLAKE3 of all bytes before
//! ```

const MAGIC: &[u8; 8] = b"LTSTORE1";
const HEAD: usize = 48;
const SUM: usize = 32;

/// What comes before a payload of `length` bytes under `key`.
pub(super) fn head(key: &blake3::Hash, length: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..40].copy_from_slice(key.as_bytes());
    head[40..].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

/// What comes after `head` and `payload`.
pub(super) fn sum(head: &[u8], payload: &[u8]) -> [u8; SUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}

/// Bytes of an entry's file beyond its payload.
pub(super) const OVERHEAD: usize = HEAD + SUM;

/// The payload of the file `bytes`, or `None` where it is not whole or not the
/// entry of `key`.
pub(super) fn payload(key: &blake3::Hash, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let length = bytes.len().checked_sub(OVERHEAD)?;
    let (rest, stored) = bytes.split_at(HEAD + length);
    let (found, payload) = rest.split_at(HEAD);
    if found != head(key, length) || stored != sum(found, payload) {
        return None;
    }
    bytes.truncate(HEAD + length);
    bytes.drain(..HEAD);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(key: &blake3::Hash, payload: &[u8]) -> Vec<u8> {
        let head = head(key, payload.len());
        [&head, payload, &sum(&head, payload)].concat()
    }

    #[test]
    fn no_damaged_file_passes() {
        let key = blake3::hash(b"key");
        let whole = file(&key, b"some payload");
        assert_eq!(payload(&key, whole.clone()).unwrap(), b"some payload");
        assert_eq!(payload(&key, file(&key, b"")).unwrap(), b"");
        assert!(payload(&blake3::hash(b"other"), whole.clone()).is_none());
        for i in 0..whole.len() {
            assert!(payload(&key, whole[..i].to_vec()).is_none(), "cut at {i}");
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[i] ^= 1 << bit;
                assert!(payload(&key, flipped).is_none(), "bit {bit} of {i}");
            }
        }
        assert!(payload(&key, [whole, vec![0]].concat()).is_none());
    }
}

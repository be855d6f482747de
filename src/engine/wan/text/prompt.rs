//! From a prompt as typed to token numbers.

use std::path::Path;

use tokenizers::Tokenizer;

use super::TextError;

/// Cleans `text` as the reference does: mended where typography stands in the
/// way of the tokenizer's words, HTML entities as what they mean, runs of white
/// space as one space.
///
/// The reference asks the Python package ftfy for the first of these. Done here
/// is what typed text needs: straight quotes, ligatures as letters, full-width
/// letters and digits as plain ones, control characters away. Not done: repair of
/// text that was decoded with the wrong character set, half-width kana, and the
/// composition of accents, which tokenizers do by themselves. Of the entities with
/// names the ten or so are known that people write; others stay as they are.
pub fn clean(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => mended.push('\''),
            '\u{201c}'..='\u{201f}' => mended.push('"'),
            '\u{3000}' => mended.push(' '),
            '\u{ff01}'..='\u{ff5e}' => {
                mended.extend(char::from_u32(u32::from(c) - 0xff01 + 0x21));
            }
            '\u{132}' => mended.push_str("IJ"),
            '\u{133}' => mended.push_str("ij"),
            '\u{fb00}' => mended.push_str("ff"),
            '\u{fb01}' => mended.push_str("fi"),
            '\u{fb02}' => mended.push_str("fl"),
            '\u{fb03}' => mended.push_str("ffi"),
            '\u{fb04}' => mended.push_str("ffl"),
            '\u{fb05}' => mended.push_str("\u{17f}t"),
            '\u{fb06}' => mended.push_str("st"),
            // White space of its own kind is dealt with below.
            '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' => mended.push(' '),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => {}
            c => mended.push(c),
        }
    }
    let plain = unescape(&unescape(&mended));
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// HTML entities as the characters that they mean.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest name that is known here has six letters.
        let end = rest.char_indices().take(12).find(|(_, c)| *c == ';');
        let meaning = end.and_then(|(end, _)| Some((end, entity(&rest[1..end])?)));
        match meaning {
            Some((end, c)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let number = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(number).filter(|c| *c != '\0');
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "copy" => '\u{a9}',
        "deg" => '\u{b0}',
        "times" => '\u{d7}',
        "ndash" => '\u{2013}',
        "mdash" => '\u{2014}',
        "hellip" => '\u{2026}',
        _ => return None,
    })
}

/// The words that a model knows, read from a `tokenizer.json`.
pub struct Prompts {
    tokenizer: Tokenizer,
}

impl Prompts {
    /// Reads `path`; `vocab_size` and `end` are the encoder's, which it must
    /// match.
    pub fn open(path: &Path, vocab_size: usize, end: u32) -> Result<Self, TextError> {
        let refuse = |text: String| TextError::Tokenizer(path.display().to_string(), text);
        let mut tokenizer =
            Tokenizer::from_file(path).map_err(|e| refuse(format!("cannot be read: {e}")))?;
        // Too long is to be said, not cut.
        tokenizer
            .with_truncation(None)
            .map_err(|e| refuse(e.to_string()))?;
        tokenizer.with_padding(None);
        let words = tokenizer.get_vocab_size(true);
        if words > vocab_size {
            return Err(refuse(format!(
                "does not match the text encoder: it knows {words} tokens, the encoder {vocab_size}"
            )));
        }
        let prompts = Self { tokenizer };
        match prompts.ids("", 1) {
            Ok(ids) if ids == [end] => Ok(prompts),
            _ => Err(refuse(format!(
                "does not match the text encoder, which ends a text with token {end}"
            ))),
        }
    }

    /// The token numbers of `prompt` with the one that ends it. More than `most`
    /// are refused: the reference would cut them off unseen.
    pub fn ids(&self, prompt: &str, most: usize) -> Result<Vec<u32>, TextError> {
        let encoding = self
            .tokenizer
            .encode(clean(prompt), true)
            .map_err(|e| TextError::Prompt(format!("the prompt cannot be read: {e}")))?;
        let ids = encoding.get_ids();
        if ids.len() > most {
            return Err(TextError::Prompt(format!(
                "the prompt is too long: it comes to {} tokens, and the model reads {most}; \
                 shorten it by about {} %",
                ids.len(),
                (ids.len() - most) * 100 / ids.len() + 1
            )));
        }
        Ok(ids.to_vec())
    }
}

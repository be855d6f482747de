//! A job script of Pixar's Tractor, in the Alfred language, which is Tcl.

use std::fmt::Write;

use super::steps::Farm;

/// The exit code of a machine of another version: another may do it.
const ELSEWHERE: u8 = 13;

/// `job.alf`.
pub fn files(farm: &Farm) -> Vec<(String, String)> {
    let mut text = String::from("##AlfredToDo 3.0\n");
    // A string takes all that is written to it.
    let _ = writeln!(
        text,
        "Job -title {} -service {{PixarRender}} -serialsubtasks 1 -subtasks {{",
        word(&farm.title)
    );
    for step in &farm.steps {
        let _ = writeln!(text, "    Task {} -subtasks {{", word(&step.name));
        for (name, words) in farm.commands(step, Some("alf")) {
            let command: Vec<String> = words.iter().map(|w| word(&hashes(w))).collect();
            let _ = writeln!(
                text,
                "        Task {} -cmds {{\n            RemoteCmd {{{}}} -retryrc {{{ELSEWHERE}}}\n        }}",
                word(&name),
                command.join(" ")
            );
        }
        text.push_str("    }\n");
    }
    text.push_str("}\n");
    vec![("job.alf".to_owned(), text)]
}

/// `text` with frame numbers as `####` where it has them as `%04d`: Tractor puts words of
/// its own in place of `%` and a letter.
fn hashes(text: &str) -> String {
    let mut parts = text.split("%0");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let width = part
            .as_bytes()
            .first()
            .filter(|d| (b'2'..=b'9').contains(*d));
        match (width, part.get(1..).and_then(|rest| rest.strip_prefix('d'))) {
            (Some(width), Some(rest)) => {
                out.push_str(&"#".repeat(usize::from(width - b'0')));
                out.push_str(rest);
            }
            _ => {
                out.push_str("%0");
                out.push_str(part);
            }
        }
    }
    out
}

/// `text` as one word of a Tcl list.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut depth = 0i32;
    let balanced = text.chars().all(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth >= 0
    });
    if balanced && depth == 0 && !text.contains('\\') {
        return format!("{{{text}}}");
    }
    let escape = |c: char| match c {
        '\n' => "\\n".to_owned(),
        c if plain(c) => c.to_string(),
        c => format!("\\{c}"),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_frames_are_no_words_of_tractor_s() {
        assert_eq!(hashes("/a/p.%04d.exr"), "/a/p.####.exr");
        assert_eq!(hashes("%05d%02d"), "#######");
        for other in ["p.%d.exr", "5%", "%0", "%0é", "%04x", "p.####.exr"] {
            assert_eq!(hashes(other), other);
        }
    }

    #[test]
    fn words_survive_tcl() {
        assert_eq!(word("/a/b-c.exr"), "/a/b-c.exr");
        assert_eq!(word("o.####.exr"), "{o.####.exr}");
        assert_eq!(word(""), "{}");
        assert_eq!(word("two words"), "{two words}");
        assert_eq!(word("a}b"), "a\\}b");
        assert_eq!(word("a\\b c"), "a\\\\b\\ c");
    }
}

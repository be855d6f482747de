//! Values as people type them.

use crate::manifest::{Param, ParamKind, Value, ValueError};

/// The value that `text` writes for `param`. Whether the parameter takes it is
/// left to [`Values::set`](crate::manifest::Values::set).
///
/// # Errors
/// Where the text is no value of that kind.
pub fn value(param: &Param, text: &str) -> Result<Value, ValueError> {
    let fail = |what: &str| ValueError {
        name: param.name.clone(),
        message: format!("'{text}' is not {what}"),
    };
    Ok(match param.kind {
        ParamKind::Int => Value::Int(text.parse().map_err(|_| fail("a whole number"))?),
        ParamKind::Double => Value::Double(text.parse().map_err(|_| fail("a number"))?),
        ParamKind::Bool => Value::Bool(match text {
            "on" | "true" | "yes" => true,
            "off" | "false" | "no" => false,
            _ => return Err(fail("on or off")),
        }),
        ParamKind::Range => {
            let (a, b) = pair(text).ok_or_else(|| fail("a frame range: write 1001-1240"))?;
            Value::Range([a, b])
        }
        _ => Value::Text(text.to_owned()),
    })
}

/// `plateRange` as an option is written: `plate-range`.
pub fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// `1001-1240`, negative numbers too: `-10--1`.
fn pair(text: &str) -> Option<(i64, i64)> {
    let middle = text.get(1..)?.find('-')? + 1;
    let (a, b) = (text[..middle].trim(), text[middle + 1..].trim());
    Some((a.parse().ok()?, b.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_pipelines_write_them() {
        assert_eq!(pair("1001-1240"), Some((1001, 1240)));
        assert_eq!(pair("-10--1"), Some((-10, -1)));
        assert_eq!(pair("-5-20"), Some((-5, 20)));
        for not in ["", "1001", "-5", "1001-", "-", "a-b", "1-2-3", "é-1"] {
            assert_eq!(pair(not), None, "{not}");
        }
    }
}

//! How much memory there is to work in.

/// Bytes that can be had now without the system beginning to swap: what is free and
/// what files occupy that can be read again; inside a container no more than its own
/// limit. `None` where the system does not tell.
pub fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = field(&text, "MemAvailable:")?.checked_mul(1024)?;
    let number =
        |path: &str| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let limit = number("/sys/fs/cgroup/memory.max");
    let used = number("/sys/fs/cgroup/memory.current");
    Some(match limit.zip(used) {
        Some((limit, used)) => machine.min(limit.saturating_sub(used)),
        None => machine,
    })
}

/// The bytes of a size that a person gives in GiB (fractions are fine); none where it is
/// no size above 0.
pub fn bytes_of_gib(text: &str) -> Option<u64> {
    let gib: f64 = text.trim().parse().ok()?;
    (gib > 0.0 && gib.is_finite()).then_some((gib * (1u64 << 30) as f64) as u64)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_words_are_understood() {
        let text = "MemTotal:       24576000 kB\nMemAvailable:   1234 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(1234));
        assert_eq!(field(text, "SwapFree:"), None);
        if cfg!(target_os = "linux") {
            assert!(available().is_some_and(|b| b > 1 << 20));
        }
    }

    #[test]
    fn memory_is_told_in_gib() {
        assert_eq!(bytes_of_gib(" 1.5 "), Some(3 << 29));
        for text in ["", "0", "-2", "inf", "much"] {
            assert_eq!(bytes_of_gib(text), None, "{text}");
        }
    }
}

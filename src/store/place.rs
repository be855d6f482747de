//! Where the store lies and how large it may grow, unless told otherwise.

use std::env;
use std::path::PathBuf;

use crate::device::memory::bytes_of_gib;

/// Size of the store where `LONGTAKE_STORE_SIZE` does not tell: 20 GiB.
const DEFAULT_BYTES: u64 = 20 << 30;

/// The folder of the store: `LONGTAKE_STORE`, else `longtake` in the user's
/// cache folder (`XDG_CACHE_HOME` or `~/.cache`; `~/Library/Caches` on macOS;
/// `%LOCALAPPDATA%` on Windows). `None` where there is no such folder, for
/// services without a home.
pub fn default_folder() -> Option<PathBuf> {
    folder_from(|name| {
        env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    })
}

fn folder_from(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(folder) = var("LONGTAKE_STORE") {
        return Some(folder);
    }
    let cache = if cfg!(target_os = "windows") {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|h| h.join("Library/Caches"))
    } else {
        // The specification wants relative paths ignored.
        var("XDG_CACHE_HOME")
            .filter(|p| p.is_absolute())
            .or_else(|| var("HOME").map(|h| h.join(".cache")))
    };
    cache.map(|c| c.join("longtake"))
}

/// Bytes that the store may hold: `LONGTAKE_STORE_SIZE` in GiB (fractions are
/// fine), else 20 GiB.
pub fn default_size() -> u64 {
    env::var("LONGTAKE_STORE_SIZE")
        .ok()
        .and_then(|s| bytes_of_gib(&s))
        .unwrap_or(DEFAULT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_follows_the_environment() {
        let vars = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs
                    .iter()
                    .find(|p| p.0 == name)
                    .map(|p| PathBuf::from(p.1))
            }
        };
        let own = folder_from(vars(&[("LONGTAKE_STORE", "/s"), ("HOME", "/h")]));
        assert_eq!(own, Some("/s".into()));
        assert_eq!(folder_from(vars(&[])), None);
        if cfg!(target_os = "linux") {
            let cache = folder_from(vars(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]));
            assert_eq!(cache, Some("/c/longtake".into()));
            let home = folder_from(vars(&[("XDG_CACHE_HOME", "rel"), ("HOME", "/h")]));
            assert_eq!(home, Some("/h/.cache/longtake".into()));
        }
        assert_eq!(bytes_of_gib("0.5"), Some(1 << 29));
        assert_eq!(bytes_of_gib("-1"), None);
        assert_eq!(bytes_of_gib("lots"), None);
    }
}

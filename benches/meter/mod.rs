//! What this process has used so far, as Linux tells it.

/// Processor time of all threads so far, in seconds, to a hundredth; not a
/// number where the system does not tell it.
pub fn processor_time() -> f64 {
    let told = std::fs::read_to_string("/proc/self/stat").ok();
    let ticks = told.as_deref().and_then(|s| {
        let mut fields = s.rsplit(')').next()?.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some(user + system)
    });
    ticks.map_or(f64::NAN, |t| t / 100.0)
}

/// Memory in kB, where the system tells it: `VmRSS` is what is resident now,
/// `VmHWM` the most that was since the start or [`forget_peak`].
#[allow(dead_code)] // Not every bench asks.
pub fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Starts the peak of memory anew.
#[allow(dead_code)] // Not every bench asks.
pub fn forget_peak() -> std::io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

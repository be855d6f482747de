//! What goes wrong on a farm: nothing is lost, nothing is made twice into different
//! bytes, and the rest of the sequence goes on.

#![cfg(unix)]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::tools::{alone, assert_same_frames, words};
use crate::work::Work;

/// `longtake block --level LEVEL` of the job, not yet started.
fn block(work: &Work, level: &str, more: &str) -> Command {
    let mut all = ["block", "--level", level].map(str::to_owned).to_vec();
    all.extend(words(more));
    let mut command = work.command(&all);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn finish(child: Child) {
    let out = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{told}");
}

fn make(work: &Work, level: &str, more: &str) {
    finish(block(work, level, more).spawn().unwrap());
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([name, &id])
            .status()
            .unwrap()
            .success()
    );
}

/// Waits until `count` frames are there.
fn wait_for(work: &Work, count: usize) {
    let begun = Instant::now();
    while work.files("o").len() < count {
        assert!(begun.elapsed() < Duration::from_secs(60), "no frames");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_worker_killed_twice_at_random_moments_costs_nothing() {
    let work = Work::new();
    // Another moment in every run of the test; told where it fails.
    let mut chance = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    for level in ["analysis", "frames", "frames"] {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let moment = Duration::from_millis(chance >> 33 & 511);
        let mut child = block(&work, level, "").spawn().unwrap();
        std::thread::sleep(moment);
        // It may be done already.
        let _ = child.kill();
        child.wait().unwrap();
        eprintln!("{level} killed after {moment:?}");
    }
    make(&work, "frames", "");
    assert_same_frames(&work, &alone(""));
    // A block that somebody asks for again is still whole.
    make(&work, "frames", "--again");
    assert_same_frames(&work, &alone(""));
}

#[test]
fn a_slow_worker_that_comes_back_late_changes_nothing() {
    let work = Work::new();
    make(&work, "edit-list", "");
    let slow = block(&work, "frames", "").spawn().unwrap();
    wait_for(&work, 3);
    signal(&slow, "-STOP");
    // Its block is handed to another.
    make(&work, "frames", "");
    let whole = alone("");
    assert_same_frames(&work, &whole);
    signal(&slow, "-CONT");
    finish(slow);
    assert_same_frames(&work, &whole);
}

#[test]
fn a_full_disk_is_told_and_the_work_goes_on_when_there_is_room() {
    let work = Work::new();
    let full = |level: &str| {
        let inner = block(&work, level, "");
        let out = Command::new("sh")
            // A limit on the size of files, which fails as a full disk does.
            .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""])
            .arg(inner.get_program())
            .args(inner.get_args())
            .current_dir(work.path(""))
            .env("LONGTAKE_STORE", work.path("store"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(8), "{told}");
        assert!(told.contains("full"), "{told}");
    };
    // What later blocks need cannot be kept: that is no success.
    full("analysis");
    assert!(work.files("store/tmp").is_empty());
    make(&work, "edit-list", "");
    full("frames");
    assert!(work.files("o").iter().all(|n| !n.starts_with('.')));
    make(&work, "frames", "");
    assert_same_frames(&work, &alone(""));
}

/// The object that stands for a folder without locks and a clock that is off.
fn shim() -> PathBuf {
    static OBJECT: OnceLock<PathBuf> = OnceLock::new();
    OBJECT
        .get_or_init(|| {
            let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/farm/shim.c");
            let object = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("shim.so");
            let made = Command::new("cc")
                .args(["-shared", "-fPIC", "-o"])
                .arg(&object)
                .args([source, "-ldl"])
                .status();
            assert!(made.expect("cc is needed").success());
            object
        })
        .clone()
}

/// A worker without locks, whose clock is `off` seconds ahead.
fn odd(mut command: Command, off: i64) -> Command {
    command
        .env("LD_PRELOAD", shim())
        .env("LONGTAKE_TEST_CLOCK", off.to_string());
    command
}

#[cfg(target_os = "linux")]
#[test]
fn workers_without_locks_and_with_differing_clocks_agree() {
    let work = Work::new();
    let whole = alone("");
    const DAY: i64 = 24 * 3600;
    for level in ["analysis", "edit-list", "frames"] {
        // Both make all of it, at once.
        let both: Vec<Child> = [DAY, -DAY]
            .map(|off| odd(block(&work, level, ""), off).spawn().unwrap())
            .into();
        both.into_iter().for_each(finish);
    }
    assert_same_frames(&work, &whole);
    assert!(work.files("store/tmp").is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_machine_ahead_of_time_does_not_clear_away_what_others_are_writing() {
    let work = Work::new();
    make(&work, "edit-list", "");
    let file = |name: &str, hours: u64| {
        let path = work.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        file.set_modified(time).unwrap();
    };
    // Of a writer at work elsewhere, and of one that died hours ago.
    for folder in ["store/tmp/", "o/.o.1002.exr."] {
        file(&format!("{folder}9-0-1.part"), 0);
        file(&format!("{folder}9-1-1.part"), 5);
    }
    finish(odd(block(&work, "frames", ""), 3 * 3600).spawn().unwrap());
    let mut clear = odd(work.command(&["store", "--clear"]), 3 * 3600);
    assert!(clear.output().unwrap().status.success());
    let parts: Vec<String> = work
        .files("store/tmp")
        .into_iter()
        .chain(work.files("o"))
        .filter(|n| n.ends_with(".part"))
        .collect();
    assert_eq!(parts, ["9-0-1.part", ".o.1002.exr.9-0-1.part"]);
    assert_same_frames(&work, &alone(""));
}

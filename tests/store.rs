//! The store on disk under what happens to it in life: killed writers, several
//! processes, damage, a full and a read-only disk.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use longtake::store::{DiskStore, Layered, MemoryVault, StoreError, Streamed, Vault};

const LARGE: u64 = 1 << 40;

fn key(n: u64) -> blake3::Hash {
    blake3::hash(&n.to_le_bytes())
}

/// What is kept under `key(n)`: up to 300 KB that no other entry has.
fn content(n: u64) -> Vec<u8> {
    let mut bytes = vec![0; (n * 7919 % 300_000) as usize];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&n.to_be_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let is_entry = |p: &PathBuf| p.extension().is_some_and(|e| e == "entry");
    files(folder).into_iter().filter(is_entry).collect()
}

/// This test program again, running only the test `name` with `folder`.
fn child(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            name,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("LONGTAKE_TEST_STORE", folder)
        .stdout(Stdio::piped());
    command
}

/// The folder of a child; none where somebody runs it by itself.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os("LONGTAKE_TEST_STORE").map(PathBuf::from)
}

#[test]
fn frames_come_back_bit_for_bit_and_give_way_before_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<f32> = (0..100_003u32)
        .map(|i| f32::from_bits(i * 41_003))
        .collect();
    let bits = |s: &[f32]| s.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let size = 4 * samples.len() as u64;
    let store = DiskStore::new(folder.path(), 12 * size);
    // The oldest of all, and dear.
    store.save(&key(0), &content(17)).unwrap();
    let read = |n: u64, count: usize| {
        let mut got = Vec::new();
        let streamed = store.stream_frame(&key(n), count, 777, &mut |s| {
            got.extend_from_slice(s);
            true
        });
        (streamed, got)
    };
    assert_eq!(read(1, samples.len()).0, Streamed::Missing);
    store.save_frame(&key(1), &samples).unwrap();
    let (streamed, got) = read(1, samples.len());
    assert_eq!(streamed, Streamed::Whole);
    assert_eq!(bits(&got), bits(&samples));
    assert!(store.load(&key(1)).is_none(), "an entry is another thing");
    let mut pieces = 0;
    let stop = store.stream_frame(&key(1), samples.len(), 777, &mut |_| {
        pieces += 1;
        pieces < 3
    });
    assert_eq!((stop, pieces), (Streamed::Stopped, 3));
    for n in 2..40 {
        store.save_frame(&key(n), &samples).unwrap();
    }
    assert!(store.usage().1 <= 12 * size, "the bound holds");
    assert_eq!(
        store.load(&key(0)).unwrap(),
        content(17),
        "the dear one stays"
    );
    assert_eq!(read(39, samples.len()).0, Streamed::Whole);
    // Cut short, or of another length than was asked for.
    assert_eq!(read(39, samples.len() - 1).0, Streamed::Damaged);
    assert!(!store.has_frame(&key(39)));
}

#[test]
fn what_is_lent_gives_way_before_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let large = vec![7u8; 100_000];
    let store = DiskStore::new(folder.path(), 10 * large.len() as u64);
    // The oldest of all.
    store.put(&key(0), &content(17));
    for n in 1..40 {
        store.lend(&key(n), &large);
        assert_eq!(store.get(&key(n)).unwrap(), large, "{n}");
        assert!(store.has(&key(n)));
    }
    assert!(store.usage().1 <= store.bound());
    assert_eq!(store.get(&key(0)).unwrap(), content(17));
    assert!(store.get(&key(2)).is_none(), "it gave way");
    store.remove(&key(39));
    assert!(!store.has(&key(39)));
    assert!(store.take_trouble().is_none());
}

#[test]
fn what_is_kept_comes_back_also_to_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path(), LARGE);
    assert_eq!(store.load(&key(1)), None);
    for n in 0..20 {
        store.save(&key(n), &content(n)).unwrap();
    }
    let other = DiskStore::new(folder.path(), LARGE);
    for n in 0..20 {
        assert_eq!(other.load(&key(n)), Some(content(n)));
    }
    other.remove(&key(3));
    assert_eq!(store.load(&key(3)), None);
    assert!(
        files(folder.path())
            .iter()
            .all(|f| f.extension().is_none_or(|e| e != "part"))
    );
}

#[test]
fn a_damaged_entry_is_never_served_and_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path(), LARGE);
    let damages: [&dyn Fn(&Path); 5] = [
        &|p| {
            let mut bytes = fs::read(p).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(p, bytes).unwrap();
        },
        &|p| fs::write(p, &fs::read(p).unwrap()[..100]).unwrap(),
        &|p| fs::write(p, "").unwrap(),
        &|p| fs::write(p, [fs::read(p).unwrap(), vec![7]].concat()).unwrap(),
        // A whole entry, but of another key.
        &|p| {
            let elsewhere = tempfile::tempdir().unwrap();
            DiskStore::new(elsewhere.path(), LARGE)
                .save(&key(8), b"other")
                .unwrap();
            fs::copy(&entries(elsewhere.path())[0], p).unwrap();
        },
    ];
    for damage in damages {
        store.save(&key(7), &content(7)).unwrap();
        let path = entries(folder.path()).remove(0);
        damage(&path);
        assert_eq!(store.load(&key(7)), None);
        assert!(!path.exists());
    }
    store.save(&key(7), &content(7)).unwrap();
    assert_eq!(store.load(&key(7)), Some(content(7)));
}

#[test]
#[ignore = "a part of the test with kill -9, which runs it"]
fn child_that_writes_until_killed() {
    let Some(folder) = child_folder() else { return };
    let store = DiskStore::new(folder, LARGE);
    let first: u64 = std::env::var("LONGTAKE_TEST_FIRST")
        .unwrap()
        .parse()
        .unwrap();
    for n in first.. {
        store.save(&key(n), &content(n)).unwrap();
        println!("kept {n}");
    }
}

#[test]
fn kill_9_at_any_moment_loses_only_the_entry_in_the_making() {
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::new(folder.path(), LARGE);
    let mut next = 0;
    let mut cut_short = 0;
    for round in 0..25u64 {
        let first = next;
        let mut process = child("child_that_writes_until_killed", folder.path())
            .env("LONGTAKE_TEST_FIRST", first.to_string())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        // Past its start; then at a moment of the entry's own.
        let kept = |line: &String| line.contains("kept ");
        said.by_ref()
            .map_while(Result::ok)
            .find(kept)
            .expect("the child keeps something");
        std::thread::sleep(Duration::from_micros(round * round * 131 % 9_000));
        process.kill().unwrap();
        process.wait().unwrap();
        let last = said.map_while(Result::ok).filter(kept).last();
        let acknowledged = last
            .and_then(|l| l.rsplit(' ').next().and_then(|n| n.parse().ok()))
            .unwrap_or(first);
        for n in first..=acknowledged {
            assert_eq!(
                store.load(&key(n)),
                Some(content(n)),
                "{n} was acknowledged"
            );
        }
        for n in acknowledged + 1..acknowledged + 3 {
            assert!(store.load(&key(n)).is_none_or(|bytes| bytes == content(n)));
        }
        next = acknowledged + 3;
        cut_short = entries_in_the_making(folder.path()).len();
    }
    assert!(cut_short > 0, "no kill fell into the writing of an entry");

    // What was left over goes when it is old enough, and nothing else does.
    for part in entries_in_the_making(folder.path()) {
        let old = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options()
            .append(true)
            .open(part)
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    let whole = entries(folder.path()).len();
    let swept = DiskStore::new(folder.path(), 1 << 30);
    swept.save(&key(u64::MAX), &vec![0; 70 << 20]).unwrap();
    assert_eq!(entries_in_the_making(folder.path()), Vec::<PathBuf>::new());
    assert_eq!(entries(folder.path()).len(), whole + 1);
}

fn entries_in_the_making(folder: &Path) -> Vec<PathBuf> {
    let is_part = |p: &PathBuf| p.extension().is_some_and(|e| e == "part");
    files(folder).into_iter().filter(is_part).collect()
}

/// Bytes of the store that two processes fight over.
const SMALL: u64 = 2 << 20;

#[test]
#[ignore = "a part of the test with two processes, which runs it"]
fn child_that_shares_a_store() {
    let Some(folder) = child_folder() else { return };
    let store = DiskStore::new(folder, SMALL);
    let mut state = u64::from(std::process::id());
    let mut found = 0;
    for _ in 0..400 {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let n = (state >> 33) % 24;
        match (state >> 60) % 8 {
            0 => store.remove(&key(n)),
            1 => {
                // Damages whatever entry it meets, as a bad disk would.
                let all = entries_if_any(store.folder());
                if let Some(path) = all.get(n as usize % all.len().max(1)) {
                    let file = fs::File::options().append(true).open(path);
                    let _ = file.and_then(|f| f.set_len(n * 100));
                }
            }
            2..=4 => store.save(&key(n), &content(n)).unwrap(),
            _ => {
                if let Some(bytes) = store.load(&key(n)) {
                    assert!(bytes == content(n), "entry {n} is not what was kept");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 10, "found only {found}");
}

fn entries_if_any(folder: &Path) -> Vec<PathBuf> {
    let shelves = fs::read_dir(folder).into_iter().flatten().flatten();
    let shelves = shelves.filter(|s| s.file_name().len() == 2);
    let inside = shelves.flat_map(|s| fs::read_dir(s.path()).into_iter().flatten().flatten());
    inside.map(|e| e.path()).collect()
}

#[test]
fn processes_share_one_store_while_entries_are_evicted_and_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        child("child_that_shares_a_store", folder.path())
            .spawn()
            .unwrap()
    };
    let children: Vec<Child> = (0..3).map(|_| run()).collect();
    for process in children {
        let output = process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }
}

#[test]
fn the_store_stays_within_its_bound_and_forgets_what_was_used_longest_ago() {
    let folder = tempfile::tempdir().unwrap();
    let bound = 4 << 20;
    let store = DiskStore::new(folder.path(), bound);
    let bytes = vec![1; 100_000];
    store.save(&key(0), &bytes).unwrap();
    for n in 1..200 {
        // Reading marks an entry as used, but not more often than it must.
        let first = entries(folder.path())
            .into_iter()
            .find(|p| p.file_stem().unwrap().to_str().unwrap() == key(0).to_hex().as_str());
        let used = SystemTime::now() - Duration::from_secs(100);
        let first = fs::File::options()
            .append(true)
            .open(first.unwrap())
            .unwrap();
        first.set_modified(used).unwrap();
        assert_eq!(store.load(&key(0)).as_ref(), Some(&bytes));
        assert!(first.metadata().unwrap().modified().unwrap() > used);

        store.save(&key(n), &bytes).unwrap();
        let total: u64 = entries(folder.path())
            .iter()
            .map(|p| p.metadata().unwrap().len())
            .sum();
        assert!(total <= bound, "{total} bytes after entry {n}");
        assert_eq!(
            store.load(&key(n)).as_ref(),
            Some(&bytes),
            "the newest stays"
        );
    }
    let kept = (1..200).filter(|&n| store.load(&key(n)).is_some());
    let kept: Vec<u64> = kept.collect();
    assert_eq!(kept, (200 - kept.len() as u64..200).collect::<Vec<_>>());
    assert!(kept.len() > 30, "{} entries of 100 KB in 4 MiB", kept.len());
    assert!(matches!(
        store.save(&key(1), &vec![0; 5 << 20]),
        Err(StoreError::TooLarge { .. })
    ));
}

#[test]
fn a_store_that_cannot_be_written_says_so_and_the_work_goes_on() {
    // No system lets a folder be made there, root or not.
    let store = DiskStore::new("/sys/longtake-store", LARGE);
    assert!(matches!(
        store.save(&key(1), b"x"),
        Err(StoreError::ReadOnly { .. })
    ));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let store = DiskStore::new(file.join("store"), LARGE);
    store.put(&key(1), b"x");
    assert_eq!(store.get(&key(1)), None);
    let trouble = store.take_trouble().unwrap();
    assert!(matches!(trouble, StoreError::ReadOnly { .. }));
    assert!(trouble.to_string().contains("LONGTAKE_STORE"), "{trouble}");
    assert!(store.take_trouble().is_none(), "told once");
}

#[test]
#[ignore = "a part of the test with a full disk, which runs it"]
fn child_whose_disk_is_full() {
    let Some(folder) = child_folder() else { return };
    let store = DiskStore::new(folder, LARGE);
    store.save(&key(1), b"small").unwrap();
    let error = store.save(&key(2), &vec![0; 1 << 20]).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(store.load(&key(2)), None);
    assert!(entries_in_the_making(store.folder()).is_empty());
    store.save(&key(3), b"small again").unwrap();
    assert_eq!(store.load(&key(3)).unwrap(), b"small again");
}

/// The system refuses writes beyond 64 KiB of a file, in the middle of one, as
/// a full disk does.
#[test]
fn a_full_disk_costs_the_entry_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let inner = child("child_whose_disk_is_full", folder.path());
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("LONGTAKE_TEST_STORE", folder.path());
    let output = limited.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn a_quick_vault_before_the_store_is_filled_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let layered = || Layered {
        first: MemoryVault::new(1 << 20),
        second: DiskStore::new(folder.path(), LARGE),
    };
    layered().put(&key(1), &content(1));
    let other = layered();
    assert_eq!(other.get(&key(1)), Some(content(1)));
    assert_eq!(other.first.get(&key(1)), Some(content(1)));
    other.second.remove(&key(1));
    assert_eq!(other.get(&key(1)), Some(content(1)), "still in memory");
    other.remove(&key(1));
    assert_eq!(other.get(&key(1)), None);
    // Nothing lost where there is no store at all.
    let none: Layered<MemoryVault, Option<DiskStore>> = Layered {
        first: MemoryVault::new(1 << 20),
        second: None,
    };
    none.put(&key(1), b"x");
    assert_eq!(none.get(&key(1)).unwrap(), b"x");
}

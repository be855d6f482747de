//! Readers over readers: kept in memory, made smaller, read ahead; keys.

use std::fs;
use std::time::{Duration, SystemTime};

use longtake::frame::{CachedPlate, PlateReader, ScaledPlate, SequenceWriter};

use super::*;

const RGB: [&str; 3] = ["R", "G", "B"];

fn sequence(folder: &Path, last: i32) -> PathBuf {
    let path = folder.join("plate.####.exr");
    for frame in 1..=last {
        write(&path, frame, &picture(64, 40, 3, frame as usize), &RGB);
    }
    path
}

#[test]
fn a_plate_longer_than_memory_is_read_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = sequence(folder.path(), 30);
    let frame_bytes = 64 * 40 * 3 * 4;
    for bound in [0, 3 * frame_bytes, 100 * frame_bytes] {
        let mut plate = CachedPlate::new(open(&path).unwrap(), bound);
        for i in 0..200 {
            let frame = 1 + (i * 17) % 30;
            let read = plate.read(frame).unwrap();
            assert_eq!(*read, *picture(64, 40, 3, frame as usize));
            assert!(plate.bytes() <= bound.max(frame_bytes));
        }
    }
    // What is kept is not read again.
    let mut plate = CachedPlate::new(open(&path).unwrap(), 2 * frame_bytes);
    plate.read(1).unwrap();
    plate.read(2).unwrap();
    fs::remove_file(folder.path().join("plate.0001.exr")).unwrap();
    plate.read(1).unwrap();
    plate.read(3).unwrap();
    assert!(plate.read(2).is_ok(), "2 was read from its file again");
    assert!(plate.read(1).is_err(), "1 was used longest ago");
}

#[test]
fn reading_ahead_changes_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = sequence(folder.path(), 20);
    fs::write(folder.path().join("plate.0013.exr"), "broken").unwrap();
    let open = |first, last| open_range(&path, first, last).unwrap();
    let mut plate = CachedPlate::new(open(1, 12), 1 << 20);
    let order = [5, 3, 9, 9, 1, 12, 2, 7];
    for (i, &frame) in order.iter().enumerate() {
        plate.prefetch(&order[i..]);
        let read = plate.read(frame).unwrap();
        assert_eq!(*read, *picture(64, 40, 3, frame as usize));
    }
    // Frames that nobody reads, that there are not, and a plate that goes.
    plate.prefetch(&[4, 6, 8, 99, -1]);
    assert_eq!(*plate.read(10).unwrap(), *picture(64, 40, 3, 10));
    drop(plate);
    let mut plate = open(14, 20);
    plate.prefetch(&[13, 14]);
    assert!(plate.read(13).is_err());
    plate.read(14).unwrap();
}

#[test]
fn from_within_the_workers_reading_ahead_makes_headway() {
    let folder = tempfile::tempdir().unwrap();
    let path = sequence(folder.path(), 8);
    // As many readers as there are workers, each waiting on the frames that
    // the others' workers should read.
    longtake::device::install(|| {
        use rayon::prelude::*;
        (0..16).into_par_iter().for_each(|_| {
            let mut plate = open(&path).unwrap();
            plate.prefetch(&[1, 2, 3, 4, 5, 6, 7, 8]);
            for frame in 1..=8 {
                assert_eq!(
                    *plate.read(frame).unwrap(),
                    *picture(64, 40, 3, frame as usize)
                );
            }
        });
    });
}

#[test]
fn a_proxy_is_the_plate_made_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let path = sequence(folder.path(), 1);
    let full = open(&path).unwrap().read(1).unwrap();
    for factor in [1, 2, 4, 3] {
        let plate = open(&path).unwrap();
        let header = plate.header().scaled(factor);
        let mut proxy = ScaledPlate::new(plate, factor);
        let info = proxy.info().clone();
        assert_eq!(info.full_size, (64, 40));
        assert_eq!(
            (info.width, info.height),
            (64usize.div_ceil(factor), 40usize.div_ceil(factor))
        );
        let read = proxy.read(1).unwrap();
        let mut sum = 0.0f64;
        for y in 0..factor {
            for x in 0..factor {
                sum += f64::from(full.pixel(factor + x, 2 * factor + y)[1]);
            }
        }
        let mean = sum / (factor * factor) as f64;
        let found = f64::from(read.pixel(1, 2)[1]);
        assert!(
            (found - mean).abs() <= 1e-5 * mean.abs().max(1.0),
            "{found} {mean}"
        );
        // It goes out in its own size.
        let out = folder.path().join("proxy.exr");
        let writer = SequenceWriter::new(&out, header, WriteOptions::default()).unwrap();
        writer.write(1, &read).unwrap();
    }
}

#[test]
fn the_key_changes_with_what_the_files_hold_and_not_with_where_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = sequence(folder.path(), 4);
    let key = |path: &Path| open(path).unwrap().key().unwrap();
    let part = || open_range(&path, 1, 3).unwrap().key().unwrap();
    let first = key(&path);
    assert_eq!(key(&path), first);
    assert_eq!(
        key(&folder.path().join("plate.%04d.exr")),
        first,
        "the same files"
    );
    assert_ne!(part(), first);
    let moved = folder.path().join("moved");
    fs::create_dir(&moved).unwrap();
    let change = |path: &Path, by: Duration| {
        let file = fs::File::options().append(true).open(path).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        file.set_modified(time + by).unwrap();
    };
    for frame in 1..=4 {
        let name = format!("plate.{frame:04}.exr");
        let (from, to) = (folder.path().join(&name), moved.join(&name));
        fs::copy(&from, &to).unwrap();
        let time = fs::metadata(&from).unwrap().modified().unwrap();
        let file = fs::File::options().append(true).open(&to).unwrap();
        // Carried about, times lose what is below a microsecond.
        let epoch = SystemTime::UNIX_EPOCH;
        let micros = time.duration_since(epoch).unwrap().as_micros() as u64;
        file.set_modified(epoch + Duration::from_micros(micros))
            .unwrap();
    }
    assert_eq!(key(&moved.join("plate.####.exr")), first);
    // A few samples in the middle of an unpacked frame leave its ends as they are.
    change(&moved.join("plate.0002.exr"), Duration::from_secs(2));
    assert_ne!(key(&moved.join("plate.####.exr")), first);
    let before = part();
    fs::rename(
        folder.path().join("plate.0004.exr"),
        folder.path().join("plate.0005.exr"),
    )
    .unwrap();
    assert_eq!(part(), before, "a frame that is not used");
    write(&path, 2, &picture(64, 40, 3, 9), &RGB);
    assert_ne!(part(), before);

    let movie = folder.path().join("m.mp4");
    fs::copy(stream(), &movie).unwrap();
    let first = key(&movie);
    assert_eq!(key(stream().as_ref()), first);
    change(&movie, Duration::from_secs(5));
    assert_eq!(key(&movie), first, "all of a movie is looked at");
    let mut bytes = fs::read(&movie).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&movie, bytes).unwrap();
    assert_ne!(key(&movie), first);
}

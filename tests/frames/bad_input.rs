//! What is wrong with files and paths in life, and what is said about it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use longtake::frame::{MattePlate, PlateReader, SequenceWriter, Window};

use super::*;

const RGB: [&str; 3] = ["R", "G", "B"];

fn sequence(folder: &Path, frames: impl IntoIterator<Item = i32>) -> PathBuf {
    let path = folder.join("plate.####.exr");
    for frame in frames {
        write(&path, frame, &picture(16, 9, 3, frame as usize), &RGB);
    }
    path
}

fn error(path: &Path) -> FrameError {
    open(path).err().expect("an error")
}

/// One sentence for the artist that names the file and what to do.
fn assert_says(error: &FrameError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "'{text}' lacks '{word}'");
    }
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn missing_frames_are_named_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = sequence(folder.path(), [1001, 1002, 1003, 1005, 1006]);
    let hole = error(&path);
    assert!(matches!(hole, FrameError::Missing { frame: 1004, .. }));
    assert_says(&hole, &["1004", "1001-1003, 1005-1006"]);
    let beyond = open_range(&path, 1005, 1007).err().unwrap();
    assert!(matches!(beyond, FrameError::Missing { frame: 1007, .. }));
    let far = open_range(&path, -2_000_000_000, 2_000_000_000)
        .err()
        .unwrap();
    assert!(matches!(far, FrameError::Missing { .. }));
    let mut part = open_range(&path, 1005, 1006).unwrap();
    part.read(1006).unwrap();
    assert!(matches!(
        part.read(1003),
        Err(FrameError::Missing { frame: 1003, .. })
    ));
    // Taken away after the plate was opened.
    fs::remove_file(folder.path().join("plate.1005.exr")).unwrap();
    assert_says(
        &part.read(1005).unwrap_err(),
        &["plate.1005.exr", "no such file"],
    );
}

#[test]
fn paths_that_lead_nowhere_say_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let none = error(&folder.path().join("nothing.####.exr"));
    assert!(matches!(none, FrameError::NotFound { .. }));
    assert_says(&none, &["nothing.####.exr", "check the folder"]);
    let is_folder = error(folder.path());
    assert!(matches!(is_folder, FrameError::Pattern { .. }));
    assert_says(&is_folder, &["folder", "plate.####.exr"]);
    assert!(matches!(error(Path::new("")), FrameError::Pattern { .. }));
    let unknown = error(&folder.path().join("plate.####.tif"));
    assert!(matches!(unknown, FrameError::Unsupported { .. }));
    assert_says(&unknown, &[".exr or .png"]);
    let writer = SequenceWriter::new(
        &folder.path().join("out.####.jpg"),
        FrameHeader::new(&info(1, 1, &["Y"])),
        WriteOptions::default(),
    );
    assert_says(&writer.unwrap_err(), &["out.####.jpg", ".exr or .png"]);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf_8_are_refused_and_folders_of_any_name_are_not() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let odd = OsStr::from_bytes(b"sh\xffot");
    let name = error(&folder.path().join(OsStr::from_bytes(b"p\xff.####.exr")));
    assert!(matches!(name, FrameError::Pattern { .. }));
    assert_says(&name, &["UTF-8"]);
    let inside = folder.path().join(odd);
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join(odd), "").unwrap();
    let mut plate = open(&sequence(&inside, 1..3)).unwrap();
    plate.read(2).unwrap();
}

#[test]
fn frames_of_differing_size_or_channels_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = sequence(folder.path(), 1..4);
    write(&path, 3, &picture(16, 10, 3, 3), &RGB);
    let size = error(&path);
    assert!(matches!(
        size,
        FrameError::Size {
            frame: 3,
            found: (16, 10),
            expected: (16, 9)
        }
    ));
    write(&path, 3, &picture(16, 9, 1, 3), &["Y"]);
    assert_says(&error(&path), &["plate.0003.exr", "channels", "R, G, B"]);
    let png = folder.path().join("p.####.png");
    write(&png, 1, &picture(16, 9, 3, 3), &RGB);
    write(&png, 2, &picture(15, 9, 3, 3), &RGB);
    assert!(matches!(error(&png), FrameError::Size { frame: 2, .. }));
    // Changed after the plate was opened.
    write(&png, 2, &picture(16, 9, 3, 3), &RGB);
    let mut plate = open(&png).unwrap();
    write(&png, 2, &picture(15, 9, 3, 3), &RGB);
    assert!(matches!(
        plate.read(2),
        Err(FrameError::Size { frame: 2, .. })
    ));
    write(&png, 2, &picture(16, 9, 1, 3), &["Y"]);
    assert!(matches!(plate.read(2), Err(FrameError::Unsupported { .. })));
}

#[test]
fn a_file_cut_anywhere_is_damaged_and_the_other_frames_are_not() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["exr", "png"] {
        let path = folder.path().join(format!("plate.####.{ending}"));
        for frame in 1..3 {
            write(&path, frame, &picture(64, 48, 3, frame as usize), &RGB);
        }
        let cut = folder.path().join(format!("plate.0002.{ending}"));
        let bytes = fs::read(&cut).unwrap();
        for part in 0..40 {
            let length = (bytes.len() - 1) * part / 39;
            fs::write(&cut, &bytes[..length]).unwrap();
            let error = match open(&path) {
                Err(e) => e,
                Ok(mut plate) => {
                    plate.read(1).unwrap();
                    match plate.read(2) {
                        Err(e) => e,
                        // The last bytes of a PNG carry no pixels.
                        Ok(_) if ending == "png" && bytes.len() - length < 20 => continue,
                        Ok(_) => panic!("{ending} cut to {length} of {} is read", bytes.len()),
                    }
                }
            };
            assert!(
                matches!(error, FrameError::Damaged { .. }),
                "{length}: {error}"
            );
            assert_says(&error, &["plate.0002", "copy or render it again"]);
        }
    }
}

/// Whatever a file holds, reading it ends in pixels or in an error.
#[test]
fn no_broken_file_stops_the_program() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["exr", "png"] {
        let file = folder.path().join(format!("still.{ending}"));
        write(&file, 1, &picture(40, 35, 4, 3), &["R", "G", "B", "A"]);
        let bytes = fs::read(&file).unwrap();
        let mut refused = 0;
        let mut state = 1u64;
        for round in 0..600 {
            let mut broken = bytes.clone();
            for _ in 0..1 + round % 3 {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                // Mostly in the header, where it hurts.
                let reach = if round % 4 == 0 { broken.len() } else { 400 };
                let at = (state >> 33) as usize % reach.min(broken.len());
                broken[at] = (state >> 20) as u8;
            }
            fs::write(&file, broken).unwrap();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                open(&file).and_then(|mut plate| plate.read(1))
            }));
            refused += usize::from(outcome.expect("no panic").is_err());
        }
        assert!(
            refused > 100,
            "{ending}: only {refused} of 600 were noticed"
        );
    }
}

#[test]
fn files_that_are_something_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.exr", "not an image"),
        ("b.png", "not an image"),
        ("c.exr", ""),
        ("d.png", ""),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let e = error(&file);
        assert!(matches!(e, FrameError::Damaged { .. }), "{name}: {e}");
    }
}

#[test]
fn one_frame_and_one_pixel_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one.exr", "one.png", "seq.####.exr"] {
        let path = folder.path().join(name);
        let pixel = Arc::new(Picture::from_data(1, 1, 3, vec![1.0, 0.0, 1.0]).unwrap());
        write(&path, 1, &pixel, &RGB);
        let mut plate = open(&path).unwrap();
        assert_eq!(plate.info().range.count(), 1);
        assert_eq!(*plate.read(1).unwrap(), *pixel);
    }
}

#[test]
fn a_matte_of_another_format_is_refused_and_one_of_another_crop_is_placed() {
    let folder = tempfile::tempdir().unwrap();
    let plate = open(&sequence(folder.path(), 1..4)).unwrap();
    let path = folder.path().join("matte.####.exr");
    for frame in 1..4 {
        write(&path, frame, &picture(17, 9, 1, 1), &["A"]);
    }
    let e = MattePlate::open(&path, &plate).err().unwrap();
    assert!(matches!(
        e,
        FrameError::MatteSize {
            found: (17, 9),
            expected: (16, 9)
        }
    ));
    assert_says(&e, &["matte", "17", "16"]);

    // Its alpha is taken, wherever the file keeps it and however it is cropped.
    let mut header = FrameHeader::new(&info(3, 2, &["R", "A"]));
    header.display_window = Window::whole(16, 9);
    header.data_window = Window {
        x0: 5,
        y0: 4,
        x1: 8,
        y1: 6,
    };
    let writer = SequenceWriter::new(&path, header, WriteOptions::default()).unwrap();
    let inside = Picture::from_data(3, 2, 2, [0.5, 1.0].repeat(6)).unwrap();
    for frame in 1..3 {
        writer.write(frame, &Arc::new(inside.clone())).unwrap();
    }
    fs::remove_file(writer.path(3)).unwrap();
    let e = MattePlate::open(&path, &plate).err().unwrap();
    assert!(matches!(e, FrameError::Missing { frame: 3, .. }), "{e}");
    writer.write(3, &Arc::new(inside)).unwrap();
    let mut matte = MattePlate::open(&path, &plate).unwrap();
    let picture = matte.read(2).unwrap();
    assert_eq!(
        (picture.width(), picture.height(), picture.channels()),
        (16, 9, 1)
    );
    assert_eq!(picture.data().iter().sum::<f32>(), 6.0);
    assert_eq!(picture.pixel(5, 4), [1.0]);

    // One picture for all frames, and a PNG's luma.
    let still = folder.path().join("still.png");
    let white = Arc::new(Picture::from_data(16, 9, 1, vec![1.0; 16 * 9]).unwrap());
    write(&still, 1, &white, &["Y"]);
    let mut matte = MattePlate::open(&still, &plate).unwrap();
    assert_eq!(matte.info().range, plate.info().range);
    assert_eq!(*matte.read(3).unwrap(), *white);
    assert!(matte.read(4).is_err());
}

#[test]
fn an_output_that_cannot_be_written_leaves_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let header = FrameHeader::new(&info(8, 8, &RGB));
    let pixels = picture(8, 8, 3, 1);
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    for place in [
        blocked.join("out.####.exr"),
        "/sys/longtake/out.####.exr".into(),
    ] {
        let writer = SequenceWriter::new(&place, header.clone(), WriteOptions::default()).unwrap();
        let e = writer.write(1, &pixels).unwrap_err();
        assert!(matches!(e, FrameError::Write { .. }));
        assert_says(&e, &["out.0001.exr", "output folder"]);
    }
    // A folder that is not there yet is made.
    let deep = folder.path().join("a/b/out.####.exr");
    let writer = SequenceWriter::new(&deep, header, WriteOptions::default()).unwrap();
    writer.write(1, &pixels).unwrap();
    assert!(matches!(
        writer.write(2, &picture(8, 9, 3, 1)),
        Err(FrameError::Size { frame: 2, .. })
    ));
}

#[test]
#[ignore = "a part of the test with a full disk, which runs it"]
fn child_whose_disk_is_full() {
    let Some(folder) = std::env::var_os("LONGTAKE_TEST_FOLDER").map(PathBuf::from) else {
        return;
    };
    for ending in ["exr", "png"] {
        let out = folder.join(format!("out.####.{ending}"));
        let small = Arc::new(Picture::new(8, 8, 3));
        write(&out, 1, &small, &RGB);
        // Noise, which no packing makes small.
        let mut noise = vec![0; 600 * 400 * 3];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let noise = noise.into_iter().map(|b| f32::from(b) / 255.0).collect();
        let large = Arc::new(Picture::from_data(600, 400, 3, noise).unwrap());
        let header = FrameHeader::new(&info(600, 400, &RGB));
        let writer = SequenceWriter::new(&out, header, WriteOptions::default()).unwrap();
        let e = writer.write(1, &large).unwrap_err();
        assert_says(&e, &["disk is full", "finished frames are kept"]);
        assert_eq!(*open(&writer.path(1)).unwrap().read(1).unwrap(), *small);
    }
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        2,
        "nothing half made is left"
    );
}

/// The system refuses writes beyond 64 KiB of a file, in the middle of one, as
/// a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_costs_the_frame_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let inner = child("bad_input::child_whose_disk_is_full");
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env("LONGTAKE_TEST_FOLDER", folder.path());
    passes(&mut limited);
}

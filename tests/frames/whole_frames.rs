//! A file that bears a frame's name is a whole frame, and of the take that it says,
//! whatever happened while it was written.

use std::fs;

use longtake::frame::PlateReader;

use super::*;

#[test]
fn frames_tell_what_they_were_made_from() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.####.exr", "out.####.png"] {
        let path = folder.path().join(name);
        let header = FrameHeader::new(&info(300, 200, &["R", "G", "B"]));
        let options = |take: &str| WriteOptions {
            take: Some(take.to_owned()),
            ..WriteOptions::default()
        };
        let writer = SequenceWriter::new(&path, header.clone(), options("abc123")).unwrap();
        let picture = picture(300, 200, 3, 1);
        assert!(!writer.is_made(1));
        let file = writer.write(1, &picture).unwrap();
        assert!(writer.is_made(1));
        let other = SequenceWriter::new(&path, header.clone(), options("abc124")).unwrap();
        assert!(!other.is_made(1));
        let none = SequenceWriter::new(&path, header, WriteOptions::default()).unwrap();
        assert!(!none.is_made(1));
        none.write(2, &picture).unwrap();
        assert!(!writer.is_made(2));
        // Cut short by another program.
        let bytes = fs::read(&file).unwrap();
        for length in [bytes.len() - 1, bytes.len() / 2, 100, 0] {
            fs::write(&file, &bytes[..length]).unwrap();
            assert!(!writer.is_made(1), "{name} cut to {length}");
        }
    }
}

#[test]
#[ignore = "a part of the test with kill -9, which runs it"]
fn child_that_writes_until_killed() {
    let Some(folder) = std::env::var_os("LONGTAKE_TEST_FOLDER").map(PathBuf::from) else {
        return;
    };
    for ending in ["exr", "png"].into_iter().cycle() {
        let writer = made_writer(&folder, ending);
        let pixels = picture(160, 120, 3, 5);
        for frame in 1..20 {
            writer.write(frame, &pixels).unwrap();
            println!("wrote {frame}");
        }
    }
}

fn made_writer(folder: &Path, ending: &str) -> SequenceWriter {
    let header = FrameHeader::new(&info(160, 120, &["R", "G", "B"]));
    let options = WriteOptions {
        take: Some("this take".to_owned()),
        ..WriteOptions::default()
    };
    SequenceWriter::new(&folder.join(format!("out.####.{ending}")), header, options).unwrap()
}

/// Frames are made again and again over those that are there; whenever that is
/// broken off, whatever bears a frame's name is a whole frame.
#[test]
fn kill_9_at_any_moment_leaves_whole_frames_only() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let mut left_over = 0;
    for round in 0..12u64 {
        let mut process = child("whole_frames::child_that_writes_until_killed")
            .env("LONGTAKE_TEST_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = std::io::BufReader::new(process.stdout.take().unwrap()).lines();
        let wrote = |l: &std::io::Result<String>| l.as_ref().is_ok_and(|l| l.contains("wrote"));
        assert!(said.any(|l| wrote(&l)), "the child wrote nothing");
        std::thread::sleep(std::time::Duration::from_micros(round * 3_700));
        process.kill().unwrap();
        process.wait().unwrap();
        let mut whole = 0;
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.ends_with(".part") {
                left_over += 1;
                continue;
            }
            // What a disk was asked the time with.
            if name.ends_with(".clock") {
                continue;
            }
            let ending = name.rsplit('.').next().unwrap();
            let frame = name.split('.').nth(1).unwrap().parse().unwrap();
            assert!(made_writer(folder.path(), ending).is_made(frame), "{name}");
            open_range(&path, frame, frame)
                .unwrap()
                .read(frame)
                .unwrap();
            whole += 1;
        }
        assert!(whole > 0);
    }
    assert!(left_over > 0, "no kill fell into the writing of a frame");
    // The next run clears away what was left long enough ago.
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "part") {
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
            fs::File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
    }
    made_writer(folder.path(), "exr");
    made_writer(folder.path(), "png");
    let names = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name());
    let parts = names.filter(|n| n.to_str().unwrap().ends_with(".part"));
    assert_eq!(parts.count(), 0);
}

//! Movies by ffmpeg.

use std::fs;

use longtake::frame::{PlateReader, SampleDepth, SequenceWriter, Warning};

use super::*;

/// Frames as ffmpeg decodes them by itself in one straight run.
fn straight(path: &Path, format: &str) -> Vec<u8> {
    ffmpeg(&[
        "-i",
        path.to_str().unwrap(),
        "-fps_mode",
        "passthrough",
        "-vf",
        "scale=in_color_matrix=bt601:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact",
        "-f",
        "rawvideo",
        "-pix_fmt",
        format,
        "-",
    ])
}

#[test]
fn frames_in_any_order_are_those_of_a_straight_run() {
    let raw = straight(&stream(), "rgb24");
    let size = 480 * 360 * 3;
    assert_eq!(raw.len(), 90 * size);
    let mut plate = open(&stream()).unwrap();
    for frame in [90, 1, 45, 44, 46, 2, 90, 89, 45] {
        let picture = plate.read(frame).unwrap();
        let theirs = &raw[(frame as usize - 1) * size..][..size];
        let ours: Vec<u8> = picture
            .data()
            .iter()
            .map(|v| (v * 255.0).round() as u8)
            .collect();
        assert!(ours == theirs, "frame {frame}");
    }
}

#[test]
fn deep_grey_and_see_through_movies_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (codec, format, channels, depth, source) in [
        (
            "ffv1",
            "rgb48le",
            &["R", "G", "B"][..],
            SampleDepth::Bits16,
            "testsrc2",
        ),
        ("ffv1", "gray16le", &["Y"], SampleDepth::Bits16, "testsrc2"),
        ("ffv1", "gray", &["Y"], SampleDepth::Bits8, "testsrc2"),
        (
            "png",
            "rgba",
            &["R", "G", "B", "A"],
            SampleDepth::Bits8,
            "testsrc2",
        ),
    ] {
        let file = folder.path().join(
            format!("{format}.mov").replace(".mov", if codec == "ffv1" { ".mkv" } else { ".mov" }),
        );
        let name = file.to_str().unwrap();
        let source = format!("{source}=s=62x46:r=25:d=0.2");
        ffmpeg(&[
            "-f", "lavfi", "-i", &source, "-c:v", codec, "-pix_fmt", format, name,
        ]);
        let mut plate = open(&file).unwrap();
        assert_eq!(plate.info().range.count(), 5, "{format}");
        assert_eq!(plate.info().channels, channels);
        assert_eq!(plate.info().fps, 25.0);
        assert_eq!(plate.header().channels[0].depth, depth);
        let picture = plate.read(4).unwrap();
        let big = format.replace("le", "be");
        let raw = ffmpeg(&["-i", name, "-f", "rawvideo", "-pix_fmt", &big, "-"]);
        let frame = &raw[3 * raw.len() / 5..4 * raw.len() / 5];
        let theirs: Vec<f32> = match depth {
            SampleDepth::Bits16 => {
                let pairs = frame.as_chunks().0.iter();
                pairs
                    .map(|b| f32::from(u16::from_be_bytes(*b)) / 65535.0)
                    .collect()
            }
            _ => frame.iter().map(|b| f32::from(*b) / 255.0).collect(),
        };
        assert!(picture.data() == theirs, "{format}");
    }
}

#[test]
fn strange_names_are_no_options_and_no_protocols() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["-i.mp4", "http:x.mp4", "a b 100%.mp4", "take.0001.mp4"] {
        let file = folder.path().join(name);
        fs::copy(stream(), &file).unwrap();
        let mut plate = open_range(&file, 2, 3).unwrap();
        assert_eq!(plate.read(2).unwrap().width(), 480, "{name}");
    }
}

#[test]
fn frames_beyond_the_movie_are_refused_when_it_is_opened() {
    for (first, last) in [(0, 5), (80, 91), (1001, 1010)] {
        let error = open_range(&stream(), first, last).err().unwrap();
        assert!(matches!(error, FrameError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("1-90"), "{error}");
    }
    let mut plate = open_range(&stream(), 5, 9).unwrap();
    assert!(matches!(
        plate.read(10),
        Err(FrameError::Missing { frame: 10, .. })
    ));
}

#[test]
fn a_movie_that_is_cut_short_says_where_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.mkv");
    // The index of this container does not tell that the end is missing.
    ffmpeg(&[
        "-i",
        stream().to_str().unwrap(),
        "-c",
        "copy",
        file.to_str().unwrap(),
    ]);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let mut plate = open(&file).unwrap();
    let count = plate.info().range.last;
    assert!((10..80).contains(&count), "{count} frames can be decoded");
    plate.read(count).unwrap();
}

#[test]
fn a_movie_that_is_trimmed_by_its_edit_list_has_the_frames_that_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (whole, cut) = (at("whole.mp4"), at("cut.mp4"));
    // Cut between key frames, without encoding anew: what comes before stays in the
    // file, to be decoded and not shown.
    let source = "testsrc2=s=64x48:r=25:d=2";
    ffmpeg(&["-f", "lavfi", "-i", source, "-g", "10", &whole]);
    ffmpeg(&["-ss", "0.5", "-i", &whole, "-t", "1", "-c", "copy", &cut]);
    let raw = ffmpeg(&[
        "-i",
        &cut,
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]);
    let shown = (raw.len() / (64 * 48)) as i32;
    let mut plate = open(Path::new(&cut)).unwrap();
    assert_eq!(plate.info().range.to_string(), format!("1-{shown}"));
    plate.read(shown).unwrap();
}

#[test]
fn what_is_no_movie_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.mov");
    fs::write(&file, "this is not a movie").unwrap();
    let error = open(&file).err().unwrap();
    assert!(matches!(error, FrameError::Damaged { .. }), "{error}");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        open(&file).err(),
        Some(FrameError::Damaged { .. })
    ));
    let sound = folder.path().join("sound.wav");
    ffmpeg(&["-f", "lavfi", "-i", "sine=d=0.1", sound.to_str().unwrap()]);
    let error = open(&sound).err().unwrap();
    assert!(matches!(error, FrameError::Unsupported { .. }), "{error}");
    assert!(matches!(
        open(&folder.path().join("none.mov")).err(),
        Some(FrameError::NotFound { .. })
    ));
}

#[test]
#[ignore = "a part of the test without ffmpeg, which runs it"]
fn child_without_ffmpeg() {
    let error = open(&stream()).err().unwrap();
    assert!(matches!(error, FrameError::NoProgram { .. }), "{error}");
    assert!(error.to_string().contains("install ffmpeg"), "{error}");
    // Frames need no ffmpeg.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.exr");
    write(&path, 1, &picture(4, 3, 3, 0), &["R", "G", "B"]);
    open(&path).unwrap().read(1).unwrap();
}

#[test]
fn without_ffmpeg_movies_are_refused_and_frames_are_not() {
    passes(child("movies::child_without_ffmpeg").env("PATH", "/nonexistent"));
}

#[test]
fn a_movie_becomes_frames_that_carry_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let mut movie = open(&stream()).unwrap();
    let out = folder.path().join("p.####.exr");
    let writer =
        SequenceWriter::new(&out, movie.header().clone(), WriteOptions::default()).unwrap();
    for frame in 1..4 {
        writer.write(frame, &movie.read(frame).unwrap()).unwrap();
    }
    let plate = open(&out).unwrap();
    assert_eq!(plate.info().range.to_string(), "1-3");
    assert!((plate.info().fps - movie.info().fps).abs() < 1e-9);
}

#[test]
fn time_code_comes_along_and_fields_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let source = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2"];
    for name in ["t.mov", "t.mxf"] {
        let file = folder.path().join(name);
        let more = ["-timecode", "10:59:59:24", "-c:v", "mpeg2video"];
        ffmpeg(&[&source[..], &more, &[file.to_str().unwrap()]].concat());
        let mut movie = open(&file).unwrap();
        let (first, code) = movie.header().time_code.unwrap();
        assert_eq!((first, code.hours, code.frame), (1, 10, 24), "{name}");
        let warned = |w: &Warning| matches!(w, Warning::Interlaced(_));
        assert!(!movie.take_warnings().iter().any(warned));
        // Frame 2 is a frame later.
        let out = folder.path().join("t.####.exr");
        let writer =
            SequenceWriter::new(&out, movie.header().clone(), WriteOptions::default()).unwrap();
        writer.write(2, &movie.read(2).unwrap()).unwrap();
        let (_, code) = open(&out).unwrap().header().time_code.unwrap();
        assert_eq!((code.hours, code.minutes, code.frame), (11, 0, 0));
    }
    let file = folder.path().join("i.mov");
    let more = ["-vf", "setfield=tff", "-c:v", "mpeg2video"];
    let more = [&more[..], &["-flags", "+ilme+ildct"]].concat();
    ffmpeg(&[&source[..], &more, &[file.to_str().unwrap()]].concat());
    let warnings = open(&file).unwrap().take_warnings();
    let told = warnings
        .iter()
        .any(|w| w.to_string().contains("deinterlace it first"));
    assert!(told, "{warnings:?}");
    assert!(open(&file).unwrap().header().time_code.is_none());
}

//! What is refused, and what a person is shown.

use super::*;

#[test]
fn another_size_is_refused_with_advice() {
    let mut plate = Clip::waves(10);
    let mut output = Clip::new(vec![Picture::new(8, 8, 3); 4]);
    let task = Task::quiet();
    let refused = report(&mut Subject::of(&mut output, Some(&mut plate)), task);
    assert!(matches!(refused, Err(ReportError::Size { .. })));
}

#[test]
fn odd_sequences_do_not_break_the_report() {
    let single = Clip::new(vec![Picture::new(1, 1, 3)]);
    let mut dark = Clip::new(vec![Picture::new(5, 3, 3); 3]);
    dark.frames[1].data_mut()[4] = f32::NAN;
    let mut same = Clip::new(dark.frames.clone());
    let r = measure(&mut dark, &mut same, 1, false, None);
    assert_eq!(r.output.not_finite, 1);
    assert!(serde_json::from_str::<serde_json::Value>(&r.json()).is_ok());
    let mut output = Clip::new(single.frames.clone());
    let mut plate = Clip::new(single.frames);
    let r = measure(
        &mut output,
        &mut plate,
        0,
        true,
        Some(&|_, w, h| vec![0; w * h]),
    );
    assert_eq!(r.measures.frame_difference, None);
}

#[test]
fn the_page_shows_frames_measures_and_slices() {
    let mut plate = Clip::waves(20);
    let sources: Vec<usize> = (0..15).chain(2..20).collect();
    let mut output = plate.retimed(&sources);
    let mut album = Album::new(sources.len());
    let task = Task::quiet();
    let report = report_to(
        &mut Subject::of(&mut output, Some(&mut plate)),
        &mut album,
        task,
    )
    .unwrap();
    let sheet = album.contact_sheet();
    assert_eq!((sheet.width, sheet.height), (6 * 100 - 4, 4 * 68 - 4));
    // The first thumbnail is the first frame, the last the last (below the
    // numbers).
    for (x, y, frame) in [(0, 40, 0), (5 * 100, 3 * 68 + 40, 32)] {
        let at = (y * sheet.width + x) * 3;
        let expected = plate.frames[sources[frame]].pixel(0, 40);
        for (shown, v) in sheet.rgb[at..at + 3].iter().zip(expected) {
            assert!((f32::from(*shown) - v * 255.0).abs() <= 0.51);
        }
    }
    // Row 20 of the sequence's slice is the middle row of its frame 20.
    let slices = album.slices();
    let at = ((14 + 20) * slices.width + W + 8 + 5) * 3;
    let expected = plate.frames[sources[20]].pixel(5, H / 2);
    for (shown, v) in slices.rgb[at..at + 3].iter().zip(expected) {
        assert!((f32::from(*shown) - v * 255.0).abs() <= 0.51);
    }
    let page = album.page(&report);
    let bytes = page.png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut back = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut back).unwrap();
    assert_eq!(back, page.rgb);
}

#[test]
fn a_preview_plays_without_ffmpeg_too() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::waves(5);
    let mut movie = Movie::new(&folder.path().join("preview.png"), 5, 12.0);
    for f in &clip.frames {
        movie.push(&Encoded::of(f, &clip.info, 1).0).unwrap();
    }
    let path = movie.finish().unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let control = reader.info().animation_control().copied().unwrap();
    assert_eq!((control.num_frames, control.num_plays), (5, 0));
    let mut last = vec![0; reader.output_buffer_size().unwrap()];
    for _ in 0..5 {
        reader.next_frame(&mut last).unwrap();
    }
    for (shown, v) in last.iter().zip(clip.frames[4].data()) {
        assert!((f32::from(*shown) - v * 255.0).abs() <= 0.51);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_preview_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::waves(2);
    let mut movie = Movie::new(&folder.path().join("preview.png"), 5, 12.0);
    movie
        .push(&Encoded::of(&clip.frames[0], &clip.info, 1).0)
        .unwrap();
    drop(movie);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

//! What is refused, and what a person is shown.

use std::collections::HashMap;

use super::*;
use crate::sequence::report::album::PAPER;
use crate::sequence::report::{curves, table};

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
    let sheet = album.contact_sheet(&report);
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
    let at = ((26 + 20) * slices.width + W + 8 + 5) * 3;
    let expected = plate.frames[sources[20]].pixel(5, H / 2);
    for (shown, v) in slices.rgb[at..at + 3].iter().zip(expected) {
        assert!((f32::from(*shown) - v * 255.0).abs() <= 0.51);
    }
    let mut report = report;
    report.output.fps = 30.0 / 1.001;
    report.made = FrameRange::new(16, 33).map(|made| vec![made]);
    report.titles = Titles {
        sequence: "shots/010/o.####.exr".to_owned(),
        plate: Some("shots/010/p.####.exr".to_owned()),
        matte: None,
        engine: Some("plate 14".to_owned()),
        mode: Some("vary".to_owned()),
    };
    let page = album.page(&report);
    let head = Raster {
        height: 80,
        rgb: page.rgb[..80 * page.width * 3].to_vec(),
        ..page.clone()
    };
    let said = read(&head);
    for line in [
        "shots/010/o.####.exr, frames 1-33",
        "96 x 64, 29.97003 frames a second",
        "plate: shots/010/p.####.exr",
        "made by: engine plate 14 in mode vary",
        "kept from the plate: 1-15; made: 16-33",
    ] {
        assert!(has_words(&said, line), "{line}: {said}");
    }
    let bytes = page.png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut back = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut back).unwrap();
    assert_eq!(back, page.rgb);
}

#[test]
fn names_on_the_page_are_text_whatever_they_hold() {
    let mut plate = Clip::waves(4);
    let mut output = plate.retimed(&[0, 1, 2]);
    let mut report = measure(&mut output, &mut plate, 0, false, None);
    report.titles = Titles {
        sequence: "a&b/<script>o</script>.####.exr".to_owned(),
        plate: Some("p<b>.####.exr".to_owned()),
        ..Titles::default()
    };
    let page = || Page::new(3, 24.0 / 1.001).unwrap();
    let html = page().html(&report, &[]).unwrap();
    assert!(html.contains("<h1>a&amp;b/&lt;script>o&lt;/script>.####.exr, frames 1-3</h1>"));
    assert!(html.contains("<br>plate: p&lt;b>.####.exr<br>measures: "));
    assert!(!html.contains("made by"));
    // The same take comes to the same page.
    assert_eq!(html, page().html(&report, &[]).unwrap());
}

/// Reads what is written on paper, letters lying at multiples of their width. Lines that
/// run over others or over the edge are not read.
fn read(picture: &Raster) -> String {
    let cell = |from: &Raster, x: usize, y: usize| -> u64 {
        let places = (0..LETTER * LETTER).map(|i| (x + i % LETTER, y + i / LETTER));
        let inked = places.map(|(x, y)| {
            let at = (y * from.width + x) * 3;
            u64::from(from.rgb[at..at + 3] != PAPER)
        });
        inked.fold(0, |bits, bit| bits << 1 | bit)
    };
    let letters: HashMap<u64, char> = (' '..='~')
        .map(|c| {
            let mut one = Raster::new(LETTER, LETTER, PAPER);
            one.text(0, 0, &c.to_string(), [255; 3]);
            (cell(&one, 0, 0), c)
        })
        .collect();
    let (mut found, mut y) = (String::new(), 0);
    while y + LETTER <= picture.height {
        let row = (0..picture.width / LETTER).map(|i| cell(picture, i * LETTER, y));
        let line: Option<String> = row.map(|bits| letters.get(&bits)).collect();
        let line = line.filter(|l| !l.trim().is_empty());
        y += if line.is_some() { LETTER } else { 1 };
        found += &(line.unwrap_or_default() + " ");
    }
    found
}

/// Whether the words of `text` come in `within`, in their order.
fn has_words(within: &str, text: &str) -> bool {
    let mut words = within.split_whitespace();
    text.split_whitespace().all(|w| words.any(|f| f == w))
}

#[test]
fn no_text_runs_beyond_its_column() {
    let mut plate = Clip::waves(20);
    let mut output = plate.retimed(&(0..15).chain(2..20).collect::<Vec<_>>());
    let mut album = Album::new(33);
    let mut subject = Subject::of(&mut output, Some(&mut plate));
    let mut report = report_to(&mut subject, &mut album, Task::quiet()).unwrap();
    for (verdict, value) in report.verdicts.iter_mut().zip([0.5, 1e9].iter().cycle()) {
        (verdict.pass, verdict.value) = (false, *value);
    }
    report.curves.columns = vec![1e12, 3e-9, 1.0];
    report.curves.tile_columns = vec![1.0];
    // On the page letters lie at multiples only of the margin's half, so its parts are
    // read; of the page what would be cut off is looked for.
    let page = album.page(&report);
    for row in page.rgb.chunks_exact(page.width * 3) {
        let edge = &row[(page.width - 16) * 3..];
        assert!(edge.chunks_exact(3).all(|p| p == PAPER));
    }
    for width in [504, 640, 904] {
        let said = read(&table::of(&report, width));
        for verdict in &report.verdicts {
            let whole = format!("{} {}", verdict.measure, verdict.meaning);
            assert!(has_words(&said, &whole), "{whole}, {width}: {said}");
        }
        let said = read(&curves::of(&report, width));
        for name in [
            "step from frame to frame",
            "gradient across each column, over the plate's, against those beside it; bars: tiles meet",
        ] {
            assert!(has_words(&said, name), "{name}, {width}: {said}");
        }
    }
}

#[test]
fn the_titles_of_the_slices_stand_side_by_side_where_there_is_room() {
    for (width, head) in [(8, 26), (96, 26), (232, 14), (400, 14)] {
        let clip = Clip::new(vec![Picture::new(width, 8, 3); 30]);
        let mut album = Album::new(30);
        for (i, frame) in clip.frames.iter().enumerate() {
            let (picture, _) = Encoded::of(frame, &clip.info, 1);
            album.plate(1001 + i as i32, i, &picture);
            album.output(1001 + i as i32, i, &picture);
        }
        let slices = album.slices();
        assert_eq!(slices.height, head + 30, "{width}");
        let titles = Raster {
            height: head,
            rgb: slices.rgb[..head * slices.width * 3].to_vec(),
            ..slices
        };
        let said = read(&titles);
        assert!(
            has_words(&said, "plate, middle row, time down sequence"),
            "{width}: {said}"
        );
        // Numbers have room on the smallest frames too, with what is said of them.
        let (mut output, mut plate) = (Clip::waves(30), Clip::waves(30));
        let mut report = measure(&mut output, &mut plate, 0, false, None);
        let sheet = album.contact_sheet(&report);
        assert!(sheet.width >= 6 * 40, "{}", sheet.width);
        report.made = Some(Vec::new());
        let marked = album.contact_sheet(&report);
        assert!(marked.width >= 6 * 80, "{}", marked.width);
    }
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

#[test]
fn a_value_that_fails_by_little_does_not_read_as_its_limit() {
    let verdict = |value: f64, pass| Verdict {
        measure: "deviation",
        value,
        at_least: Some(0.9),
        at_most: None,
        pass,
        meaning: "",
    };
    for (value, pass, shown) in [
        (0.8999587, false, "0.89996"),
        (0.89, false, "0.890"),
        (0.9000001, true, "0.900"),
        (0.9 - 1e-12, false, "0.900000"),
        (1e6, true, "1.0e6"),
    ] {
        assert_eq!(verdict(value, pass).figure(), shown);
    }
}

#[test]
fn every_key_of_a_report_is_in_the_docs() {
    let docs = include_str!("../../../../docs/report.md");
    let mut plate = Clip::waves(20);
    let mut output = plate.retimed(&[0, 1, 2, 3]);
    let report = measure(&mut output, &mut plate, 0, false, None);
    let all = serde_json::to_value(&report).unwrap();
    let groups = ["measures", "curves", "titles", "output"].map(|name| &all[name]);
    for group in [&all].into_iter().chain(groups) {
        for key in group.as_object().unwrap().keys() {
            assert!(docs.contains(&format!("`{key}`")), "{key}");
        }
    }
    for verdict in &report.verdicts {
        assert!(docs.contains(&format!("`{}`", verdict.measure)));
    }
}

//! Seams at switches, and where tiles or blocks meet.

use super::*;

/// As [`measure`], of pieces that meet at `borders`.
fn measure_pieces(output: &mut Clip, plate: &mut Clip, borders: Borders) -> Report {
    let mut subject = Subject {
        output,
        plate: Some(plate),
        matte: None,
        stored: None,
        kept: &|_| None,
        closed: false,
        source: None,
        camera: None,
        exposure: None,
        borders,
        missing: Vec::new(),
    };
    report(&mut subject, Task::quiet()).unwrap()
}

fn passes(report: &Report, measure: &str) -> bool {
    let verdict = report.verdicts.iter().find(|v| v.measure == measure);
    verdict.expect("it is judged").pass
}

#[test]
fn a_seam_between_tiles_or_blocks_is_found_and_none_where_none_is() {
    let mut plate = Clip::waves(60);
    let borders = Borders {
        frames: vec![1, 13, 25, 37],
        columns: vec![40.],
        rows: vec![24.],
    };
    // Another time of the plate, cut once where blocks do not meet.
    let sources: Vec<usize> = (12..42).chain(3..21).collect();
    let clean = plate.retimed(&sources);
    let r = measure_pieces(&mut plate.retimed(&sources), &mut plate, borders.clone());
    let m = &r.measures;
    assert!(
        passes(&r, "seam_line") && passes(&r, "seam_block_worst"),
        "{m:?}"
    );
    near(m.seam_tile, 1.0, 0.05);
    near(m.seam_block, 1.0, 0.1);
    assert_eq!(r.curves.borders.len(), 3, "the first frame begins no step");

    // Tiles to the right of a column, and below a row, a little lighter.
    for (place, at) in [("column 40", [40, 0]), ("row 24", [0, 24])] {
        let mut seamed = Clip::new(clean.frames.clone());
        for frame in &mut seamed.frames {
            for y in at[1]..H {
                for v in &mut frame.row_mut(y)[at[0] * 3..] {
                    *v += 0.02;
                }
            }
        }
        let r = measure_pieces(&mut seamed, &mut plate, borders.clone());
        assert!(!passes(&r, "seam_line"), "{:?}", r.measures.seam_line);
        assert_eq!(r.measures.seam_line_at.as_deref(), Some(place));
        assert!(r.measures.seam_tile.unwrap() > 1.05);
        assert!(passes(&r, "seam_block_worst"));
    }

    // A block of frames a little lighter: by no more than two steps of the picture.
    let mut seamed = Clip::new(clean.frames.clone());
    let step = r.curves.steps[20];
    for frame in &mut seamed.frames[24..] {
        frame
            .data_mut()
            .iter_mut()
            .for_each(|v| *v += 2.0 * step as f32);
    }
    let r = measure_pieces(&mut seamed, &mut plate, borders);
    assert!(!passes(&r, "seam_block_worst"), "{:?}", r.curves.borders);
    let worst = r.curves.borders.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    assert_eq!(worst.unwrap().0, 24, "the block that begins with frame 25");
    assert!(passes(&r, "seam_line"));
}

#[test]
fn a_border_of_tiles_is_judged_where_it_is_known_to_lie() {
    let mut plate = Clip::waves(60);
    let sources: Vec<usize> = (12..42).collect();
    let clean = plate.retimed(&sources);
    // So faint that it is one of many lines where nobody knows that tiles meet there.
    let mut seamed = Clip::new(clean.frames.clone());
    for frame in &mut seamed.frames {
        for y in 0..H {
            frame.row_mut(y)[40 * 3..]
                .iter_mut()
                .for_each(|v| *v += FAINT_STEP);
        }
    }
    let borders = |columns: &[f64], rows: &[f64]| Borders {
        columns: columns.to_vec(),
        rows: rows.to_vec(),
        ..Borders::default()
    };
    let mut judged = |columns: &[f64], rows: &[f64]| {
        let mut clip = Clip::new(seamed.frames.clone());
        measure_pieces(&mut clip, &mut plate, borders(columns, rows))
    };
    let r = judged(&[20., 40.], &[32.]);
    assert!(!passes(&r, "seam_tile_worst"), "{:?}", r.measures);
    assert_eq!(r.measures.seam_tile_at.as_deref(), Some("column 40"));
    assert!(r.measures.seam_tile.unwrap() > 1.02);
    assert_eq!(r.curves.tile_columns, [20., 40.]);
    // Tiles of another size than the picture meet within a column.
    for at in [39.6, 40.3] {
        let r = judged(&[at], &[]);
        assert!(!passes(&r, "seam_tile_worst"), "{at}: {:?}", r.measures);
    }
    // Elsewhere nothing is seen, and where there are no tiles nothing is told.
    let r = judged(&[20., 60.], &[32., 64., 900.]);
    assert!(passes(&r, "seam_tile_worst"), "{:?}", r.measures);
    near(r.measures.seam_tile, 1.0, 0.05);
    let r = judged(&[], &[]);
    assert!(passes(&r, "seam_line"), "{:?}", r.measures.seam_line);
    assert_eq!(r.measures.seam_tile, None);
    assert!(r.verdicts.iter().all(|v| v.measure != "seam_tile_worst"));
}

/// A step of a tile's light, of 1.
const FAINT_STEP: f32 = 0.01;

#[test]
fn an_edge_of_the_plate_is_no_seam_where_a_sequence_dwells_on_it() {
    // A shape that grows to the right for good, before grass that sways.
    let waves = Clip::waves(60);
    let all: Vec<usize> = (0..60).collect();
    let mut plate = waves.retimed(&all);
    for (t, frame) in plate.frames.iter_mut().enumerate() {
        for y in 0..H {
            frame.row_mut(y)[..(20 + t / 2) * 3]
                .iter_mut()
                .for_each(|v| *v += 0.2);
        }
    }
    // The end again and again.
    let sources: Vec<usize> = (0..40).map(|i| 56 + i % 4).collect();
    let output = plate.retimed(&sources);
    let map = whole(&sources);
    let judged = |clip: &Clip, plate: &mut Clip, map: Option<SourceMap<'_>>| {
        let mut clip = clip.retimed(&(0..40).collect::<Vec<_>>());
        let r = measure(&mut clip, plate, 0, false, map);
        (passes(&r, "seam_line"), r.measures.seam_line_at)
    };
    assert_eq!(judged(&output, &mut plate, Some(&map)), (true, None));
    // Where it is not known what is shown, it looks like a seam.
    assert!(!judged(&output, &mut plate, None).0);
    // A seam is one all the same.
    let mut seamed = Clip::new(output.frames);
    for frame in &mut seamed.frames {
        for y in 0..H {
            frame.row_mut(y)[10 * 3..]
                .iter_mut()
                .for_each(|v| *v += 0.03);
        }
    }
    let (pass, at) = judged(&seamed, &mut plate, Some(&map));
    assert_eq!((pass, at.as_deref()), (false, Some("column 10")));
}

#[test]
fn a_pole_that_stands_a_part_of_a_pixel_aside_is_no_seam() {
    // A light pole of three pixels, its edges blurred, before what sways.
    let standing = |at: f64, waves: Clip| {
        let mut clip = waves;
        for frame in &mut clip.frames {
            for y in 0..H {
                for (x, pixel) in frame.row_mut(y).chunks_exact_mut(3).enumerate() {
                    let from = (x as f64 - at).abs();
                    let pole = 0.25 * (2.5 - from).clamp(0.0, 1.0) as f32;
                    pixel.iter_mut().for_each(|v| *v += pole);
                }
            }
        }
        clip
    };
    let sources: Vec<usize> = (12..42).collect();
    let waves = Clip::waves(60);
    let mut output = standing(40.3, waves.retimed(&sources));
    let mut plate = standing(40.0, waves);
    let r = measure(&mut output, &mut plate, 0, false, None);
    assert!(passes(&r, "seam_line"), "{:?}", r.measures.seam_line_at);
}

#[test]
fn a_seam_at_a_switch_is_told_against_the_plate() {
    let mut plate = Clip::waves(60);
    // The left half plays another time than the right.
    let map = |apart: i32| {
        move |frame: i32, w: usize, h: usize| -> Vec<i32> {
            let of = |x: usize| frame - 1 + if x < w / 2 { 0 } else { apart };
            (0..w * h).map(|i| of(i % w)).collect()
        }
    };
    let mut seen = Vec::new();
    for apart in [1, 9] {
        let frames = (1..=40).map(|frame| {
            let source = map(apart)(frame, W, H);
            let mut picture = Picture::new(W, H, 3);
            for (i, pixel) in picture.data_mut().chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(plate.frames[source[i] as usize].pixel(i % W, i / W));
            }
            picture
        });
        let mut output = Clip::new(frames.collect());
        let r = measure(&mut output, &mut plate, 0, false, Some(&map(apart)));
        seen.push(r.measures.seam_switch.unwrap());
        assert!(r.measures.seam_switch_worst >= r.measures.seam_switch);
        assert!(!r.curves.switches.is_empty());
    }
    assert!(seen[1] > 1.5 && seen[1] > seen[0], "{seen:?}");
    // Where nothing switches there is nothing to tell.
    let straight: Vec<usize> = (0..40).collect();
    let map = whole(&straight);
    let r = measure(
        &mut plate.retimed(&straight),
        &mut plate,
        0,
        false,
        Some(&map),
    );
    assert_eq!(r.measures.seam_switch, None);
}

#[test]
fn a_plate_tells_what_footage_measures_against_itself() {
    let mut plate = Clip::waves(60);
    let mut again = Clip::new(plate.frames.clone());
    let own = reference(&mut plate, &mut again, None, Task::quiet());
    let own = own.unwrap().expect("sixty frames are enough");
    for value in [
        own.frame_difference,
        own.sharpness,
        own.warping_error,
        own.grain,
    ] {
        near(value, 1.0, 0.15);
    }
    assert_eq!(
        own.spurious, None,
        "nobody knows where its pixels come from"
    );
    // It is the second half that is measured, of footage that changes.
    for frame in &mut plate.frames[30..] {
        frame.data_mut().iter_mut().for_each(|v| *v *= 1.2);
    }
    let mut again = Clip::new(plate.frames.clone());
    let own = reference(&mut plate, &mut again, None, Task::quiet());
    near(own.unwrap().unwrap().luma, 1.2, 0.02);
    let (mut short, mut again) = (Clip::waves(40), Clip::waves(40));
    let own = reference(&mut short, &mut again, None, Task::quiet());
    assert_eq!(own.unwrap(), None);
}

//! What every method of the table hands over, and how it is measured.

use longtake::device::Task;
use longtake::engine::plate::Camera;
use longtake::sequence::report::{
    Album, Borders, Encoded, Movie, Report, Subject, Viewer, report_to,
};
use std::path::Path;

use crate::footage::Clip;

/// A sequence that was made.
pub struct Made {
    pub clip: Clip,
    /// For each frame the plate index of each pixel, where a pixel has one.
    pub source: Option<Vec<Vec<i32>>>,
    /// How many frames from the first are the plate's.
    pub kept: usize,
    pub closed: bool,
    /// Where its camera looks, if it was steadied.
    pub camera: Option<Camera>,
    /// Wall time of the making.
    pub seconds: f64,
}

impl Made {
    /// Measures the sequence against the plate.
    /// With `pictures`, a page (`.png`) and a movie (`.mp4`) are left under that
    /// name.
    pub fn measure(&mut self, plate: &Clip, pictures: Option<&Path>) -> Result<Report, String> {
        let kept = self.kept as i32;
        let source = self.source.as_ref();
        let map = |frame: i32, _: usize, _: usize| -> Vec<i32> {
            source.map_or_else(Vec::new, |s| s[(frame - 1) as usize].clone())
        };
        let mut reader = plate.clone();
        let mut subject = Subject {
            output: &mut self.clip,
            plate: Some(&mut reader),
            matte: None,
            stored: None,
            kept: &|f| (f <= kept).then_some(f),
            closed: self.closed,
            source: source.is_some().then_some(&map),
            camera: self.camera.as_ref(),
            exposure: None,
            borders: Borders::default(),
            missing: Vec::new(),
        };
        let task = Task::quiet();
        let Some(path) = pictures else {
            return report_to(&mut subject, &mut (), task).map_err(|e| e.to_string());
        };
        let frames = subject.output.info().range.count();
        let mut show = Show {
            album: Album::new(frames),
            movie: Movie::new(&path.with_extension("mp4"), frames, plate.info.fps),
            failed: Ok(()),
        };
        let report = report_to(&mut subject, &mut show, task).map_err(|e| e.to_string())?;
        let write = || {
            show.failed?;
            show.movie.finish()?;
            std::fs::write(path.with_extension("png"), show.album.page(&report).png()?)
        };
        write().map_err(|e: std::io::Error| format!("{}: {e}", path.display()))?;
        Ok(report)
    }
}

/// A page and a movie.
struct Show {
    album: Album,
    movie: Movie,
    failed: std::io::Result<()>,
}

impl Viewer for Show {
    fn plate(&mut self, frame: i32, index: usize, picture: &Encoded) {
        self.album.plate(frame, index, picture);
    }

    fn output(&mut self, frame: i32, index: usize, picture: &Encoded) {
        self.album.output(frame, index, picture);
        if self.failed.is_ok() {
            self.failed = self.movie.push(picture);
        }
    }
}

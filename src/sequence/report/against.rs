//! What is measured of a sequence against its plate.

use std::ops::Add;

use super::coherence::Coherence;
use super::drift::{colour_drift, drift, own_colour_drift};
use super::grain::Grain;
use super::pass::Look;
use super::plate::{Plate, PlateCache, TakenOut};
use super::profile::{flicker, longest};
use super::repetition::Pairings;
use super::rhythm::rhythm;
use super::seams::{LinesInTime, Seams};
use super::untouched::Untouched;
use super::{Correspondence, Curves, Measures, Profile, ReportError, Subject};

/// Takes the frames of a sequence in order and holds them against its plate.
pub(super) struct Against<'a> {
    plate: Plate,
    fps: f64,
    factor: usize,
    /// The width in which it is measured.
    width: usize,
    found: Correspondence,
    cache: PlateCache<'a>,
    coherence: Coherence,
    grain: Grain,
    /// The mean of each channel of each made frame.
    colours: Vec<[f64; 3]>,
    lines: LinesInTime,
    pairings: Pairings,
    untouched: Untouched,
    not_finite: usize,
    unexplained: f64,
}

impl<'a> Against<'a> {
    /// For the sequence of `subject`, of which the frames marked in `made` were made,
    /// against `plate`; both are reduced by `factor`.
    pub(super) fn new(
        plate: Plate,
        subject: &Subject<'_>,
        made: &[bool],
        factor: usize,
        taken: TakenOut<'a>,
    ) -> Self {
        let info = subject.output.info();
        let (fps, width) = (info.fps, info.width.div_ceil(factor));
        let first = made.iter().position(|&m| m).unwrap_or(0);
        let end = made.iter().rposition(|&m| m).map_or(0, |i| i + 1);
        let count = made.iter().filter(|&&m| m).count();
        let moving = &plate.profile.moving;
        let frames = plate.profile.luma.len();
        Self {
            fps,
            factor,
            width,
            found: Correspondence::new(first..end, fps, frames, moving.clone()),
            cache: PlateCache::new(factor, taken),
            coherence: Coherence::new(made.to_vec()),
            grain: Grain::new(count),
            colours: Vec::new(),
            lines: LinesInTime::new(count),
            pairings: Pairings::new(fps, moving, width),
            untouched: Untouched::new(subject),
            not_finite: 0,
            unexplained: 0.0,
            plate,
        }
    }

    /// Takes the next frame of `subject`.
    pub(super) fn look(
        &mut self,
        look: &Look,
        subject: &mut Subject<'_>,
        curves: &mut Curves,
    ) -> Result<(), ReportError> {
        let Some(reader) = &mut subject.plate else {
            return Ok(());
        };
        let &Look {
            index, frame, made, ..
        } = look;
        let (still, level) = (&look.still, &look.level);
        self.coherence.push(level);
        if made {
            self.not_finite += look.not_finite;
            self.grain.push(&look.picture, subject.output.info());
            self.lines.push(level);
            self.colours.push(still.channel_means());
            self.plate.diversity.output(index, level);
            if let Some(map) = subject.source {
                let (across, down) = Pairings::SIZE;
                self.pairings.push(index, &map(frame, across, down));
            }
            let seen = self.plate.ghosts.look(level);
            self.unexplained = self.unexplained.max(seen.unexplained);
            curves.ghosts.push((index, seen.share));
        }
        if let Some(map) = subject.source {
            let source = map(frame, still.width, still.height);
            if made {
                self.plate.lines.show(&source, still.width);
            }
            let mut shown = |k| self.cache.get(&mut **reader, k);
            self.found.push(level, source, &mut shown)?;
        }
        self.untouched.look(frame, &look.picture, subject)?;
        Ok(())
    }

    /// The measures of the sequence, which by itself is `profile`, and what they are held
    /// against.
    pub(super) fn finish(
        self,
        profile: &Profile,
        made: &[bool],
        subject: &Subject<'_>,
        curves: &mut Curves,
    ) -> (Measures, Plate) {
        let (plate, fps) = (self.plate, self.fps);
        let own = &plate.profile;
        let index = |frame: i32| {
            let number = (subject.kept)(frame)?;
            usize::try_from(i64::from(number) - i64::from(plate.facts.first)).ok()
        };
        let frames = subject.output.info().range;
        let keeps: Vec<Option<usize>> = frames.iter().map(index).collect();
        let mut measures = Measures::new(profile, own, &keeps, subject.closed);
        measures.drift = drift(profile, made, fps, own.mean);
        measures.colour_drift = colour_drift(&self.colours, fps, own.mean);
        measures.plate_colour_drift = own_colour_drift(&plate.colours, fps, own.mean);
        let coherent = self.coherence.finish();
        let over = |a: Option<f64>, b: Option<f64>| Some(a? / b.filter(|b| *b > 1e-12)?);
        measures.smoothness = over(coherent.bend, plate.coherent.bend);
        measures.warping_error = over(coherent.warp, plate.coherent.warp);
        measures.motion = over(coherent.motion, plate.coherent.motion);
        measures.steadiness = coherent.steadiness(&plate.coherent, &own.moving, self.width);
        (measures.grain, measures.grain_levels) = self.grain.over(&plate.grain);
        measures.nnfdiv = plate.diversity.finish();
        // The longest stretch of made frames: flicker and a spectrum want one without gaps.
        let stretch = longest(made);
        let steps = stretch.start..stretch.end.saturating_sub(1).max(stretch.start);
        measures.flicker = flicker(&profile.luma[stretch.clone()]);
        measures.plate_flicker = flicker(&own.luma);
        measures.set_rhythm(
            rhythm(&profile.luma[stretch], &own.luma, fps),
            rhythm(&profile.steps[steps], &own.steps, fps),
        );
        let shares = || curves.ghosts.iter().map(|g| g.1);
        let n = curves.ghosts.len().max(1) as f64;
        // Not `sum`, which is -0 where no frame was made.
        measures.ghosts = Some(1000.0 * shares().fold(0.0, Add::add) / n);
        measures.ghosts_worst = Some(1000.0 * shares().fold(0.0, f64::max));
        measures.unexplained_worst = Some(1000.0 * self.unexplained);
        if let Some(seams) = Seams::of(&self.lines, &plate.lines) {
            measures.set_lines(&seams, &subject.borders, self.factor);
            (curves.columns, curves.rows) = (seams.columns, seams.rows);
            curves.tile_columns = subject.borders.columns.clone();
            curves.tile_rows = subject.borders.rows.clone();
        }
        measures.kept = self.untouched.kept;
        measures.outside = self.untouched.outside;
        measures.not_finite = Some(self.not_finite as f64);
        measures.within = subject.matte.is_some();
        if subject.source.is_some() {
            (measures.pairings_back, measures.jumps_back) = self.pairings.finish();
            let found = self.found.finish();
            measures.add(&found);
            curves.switches = found.switches_at;
            curves.spurious = found.spurious_at;
            curves.copies = found.copies;
        }
        (measures, plate)
    }
}

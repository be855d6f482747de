//! The measures of a sequence, their definitions and the limits that a good
//! one keeps.

use serde::Serialize;

use super::coherence::Steadiness;
use super::correspondence::Found;
use super::grain::GrainLevel;
use super::profile::{Profile, least_and_most, mean};
use super::rhythm::Line;
use super::seams::{Borders, Seams};
use super::table::number;

/// Measures of an output sequence against the plate that it was made from, as
/// ratios output over plate where nothing else is said. All but `kept` and
/// `outside` are taken in the display encoding with black at 0 and white
/// at 1, over all three channels. "Made frames" are those that are not kept
/// plate frames; a "step" is the mean absolute difference of two neighbouring
/// frames (temporal flickering in VBench, Huang et al. 2024). `None` where the
/// measure does not apply or what it needs was not given.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Mean step from or to a made frame, over the plate's mean step. Below
    /// .9 the picture freezes or is blurred in time; above 1.1 it flickers.
    pub frame_difference: Option<f64>,
    /// Mean gradient (absolute differences of horizontal and of vertical
    /// neighbours, of the mean of the channels) of 40 made frames evenly
    /// spaced, over that of the plate.
    pub sharpness: Option<f64>,
    /// Standard deviation over time of each sample, mean over samples, from
    /// every second made frame, over that of the plate. None where half as many frames
    /// as the plate has, or fewer, are made: in less time less happens.
    pub deviation: Option<f64>,
    /// Largest step from or to a made frame (and a loop's closing step), over
    /// the plate's mean step.
    pub worst_step: Option<f64>,
    /// Smallest such step, over the plate's mean step.
    pub smallest_step: Option<f64>,
    /// The plate's own largest step over its mean step.
    pub plate_worst_step: Option<f64>,
    /// The plate's own smallest step over its mean step.
    pub plate_smallest_step: Option<f64>,
    /// The step between a kept and a made frame, or a loop's step from its last frame
    /// to its first, over the plate's mean step. Of several, that which goes farthest
    /// beyond `plate_join` (or beyond 1, where that is less).
    pub join: Option<f64>,
    /// The step that the plate itself takes there, from the kept frame onward, over its
    /// mean step: a join may fall on a step that is the plate's own.
    pub plate_join: Option<f64>,
    /// Mean of all samples of made frames over that of the plate; of a plate whose
    /// exposure is levelled, both levelled.
    pub luma: Option<f64>,
    /// The least and the greatest mean of as many frames of the plate in a row as are
    /// made (of all, where it has no more), over that of all.
    pub plate_luma: Option<[f64; 2]>,
    /// Flicker of the light: mean absolute second difference of the means of frames that
    /// follow one another, over their mean, in per mille.
    pub flicker: Option<f64>,
    /// The same of the plate.
    pub plate_flicker: Option<f64>,
    /// Largest difference of a second's mean from the mean of the first made
    /// second, over the plate's mean: slow drift of brightness.
    pub drift: Option<f64>,
    /// Rhythm: the strongest line in the spectrum of the made frames' mean that
    /// the plate's lacks, as its share of the variance (see [`Line`]): 0 where
    /// nothing beats, near 1 where nothing else is seen. It has to come at
    /// least four times, and to stand out more than chance would have it in one
    /// of a thousand sequences.
    pub rhythm: Option<f64>,
    /// Seconds from beat to beat of that line; none where there is none.
    pub rhythm_every: Option<f64>,
    /// The same of the steps: a beat in how much the picture moves.
    pub rhythm_motion: Option<f64>,
    /// Seconds from beat to beat of that.
    pub rhythm_motion_every: Option<f64>,
    /// Motion smoothness: mean absolute second difference of three frames in a
    /// row, at most 160 pixels across, over the plate's: how far the middle one
    /// is from what lies between its neighbours. (VBench, Huang et al. 2024,
    /// has the frame between made by a network; here it is the neighbours'
    /// mean.) Above 1 motion is jerkier than the plate's.
    pub smoothness: Option<f64>,
    /// Warping error: the mean squared difference of a frame from the next one
    /// brought back along optical flow, over pixels that are not occluded (Lai
    /// et al. 2018), 12 pairs of made frames at most 160 pixels across; over the
    /// plate's.
    pub warping_error: Option<f64>,
    /// Mean length of that flow, over the plate's: a frozen picture has none.
    pub motion: Option<f64>,
    /// Steadiness of what moves and of what does not over 1, 2, 5, 10, 20 and
    /// 50 frames, over the plate's; at most 160 pixels across. (Subject and
    /// background consistency in VBench, which compares a network's features;
    /// here pixels are compared, where the plate moves and where it does not.)
    pub steadiness: Vec<Steadiness>,
    /// Largest difference of any channel's mean over a second from that over the
    /// first made second, over the plate's mean: slow drift of colour.
    pub colour_drift: Option<f64>,
    /// The largest such difference between any two seconds of the plate.
    pub plate_colour_drift: Option<f64>,
    /// Grain: energy of the finest band at full size over the plate's, each
    /// level of brightness compared with itself. Below 1 it is softened.
    pub grain: Option<f64>,
    /// The same level by level, of those with pixels enough.
    pub grain_levels: Vec<GrainLevel>,
    /// Pairings that come back: of all pairs of neighbouring regions that move
    /// (8 × 6), at all times, the share that show together the same two quarter
    /// seconds of the plate as within the last ten seconds, but not in the last
    /// one.
    pub pairings_back: Option<f64>,
    /// Jumps that come back: of all changes of what a region that moves (8 × 6)
    /// shows, the share that went from one quarter second of the plate to another as
    /// a change there did within the last ten seconds. From here a rhythm would be
    /// seen; a short plate's pieces must come back, its jumps need not.
    pub jumps_back: Option<f64>,
    /// NNFDIV of SinFusion (Nikankin, Haim, Irani 2023): the field of
    /// displacements in time and space from each patch of the sequence to its
    /// nearest neighbour in the plate, compressed over plain size: near 0 for a
    /// plain copy. Here on 16 frames 32 pixels across, patches of 5 × 5, in the
    /// same place or a pixel beside it, deflated; a figure to compare with
    /// itself.
    pub nnfdiv: Option<f64>,
    /// Spurious gradient: the gradient across horizontal neighbours that come
    /// from different plate frames, less what the plate has at the same places
    /// (mean of the two source frames), per mille of all horizontal gradient;
    /// 60 frames evenly spaced.
    pub spurious: Option<f64>,
    /// The same in the worst of those frames: one torn frame is seen by
    /// everybody and hardly moves the mean.
    pub spurious_worst: Option<f64>,
    /// Seams at switches: the gradient across horizontal neighbours that come from
    /// different plate frames, over what the plate has at the same places (mean of
    /// the two source frames); the frames of `spurious`. 1 where nothing is seen.
    pub seam_switch: Option<f64>,
    /// The same in the worst of those frames.
    pub seam_switch_worst: Option<f64>,
    /// Seams at fixed places, as borders of blocks and tiles are: the gradient across a
    /// column or row of neighbours, mean over made frames, and the mean of the signed
    /// differences beyond the plate's, over the plate's gradient there (that of the
    /// frames that the line shows, where that is known),
    /// against the same of the lines beside it (the second and the third on each side).
    /// The line that stands out most, if it does by more than seven times what lines
    /// usually do, and by half of that in each of (at most) four parts of the sequence;
    /// else 1.
    pub seam_line: Option<f64>,
    /// Which line that is, of the full-size picture: the first column or row after it.
    pub seam_line_at: Option<String>,
    /// The same at the borders of tiles, where it is known that there are some and where:
    /// the gradient's part alone, mean over the lines where a step from tile to tile would
    /// show. Of tiles that overlap these are the ends of both, and the begin, the middle
    /// and the end of the blend between them.
    pub seam_tile: Option<f64>,
    /// As `seam_line`, of these lines alone, if it stands out by more than five times
    /// what lines usually do; else 1.
    pub seam_tile_worst: Option<f64>,
    /// Which line that is.
    pub seam_tile_at: Option<String>,
    /// Seams in time: the step across a border between blocks of frames over the steps
    /// around it (four on each side), the larger of that at full detail and that at 16
    /// pixels across, where a change of light shows that the motion hides. Mean over
    /// borders, where it is known where these lie.
    pub seam_block: Option<f64>,
    /// The same at the worst border.
    pub seam_block_worst: Option<f64>,
    /// Jumps in time: the difference across changes of clip, over the plate's
    /// own steps at the same places and times (mean of the steps that the two
    /// clips would have taken).
    pub jump: Option<f64>,
    /// Repetition: over windows of half a second, the share of the plate's
    /// moving pixels that play one and the same offset of the plate through
    /// the whole window; mean over windows.
    pub copy: Option<f64>,
    /// The largest such share.
    pub copy_worst: Option<f64>,
    /// Ghosts: the share of moving blocks, in per mille, that no single plate
    /// time explains while a mix of two does (see
    /// [`GhostPlate`](super::GhostPlate)), mean over made frames.
    pub ghosts: Option<f64>,
    /// The same share in the worst frame.
    pub ghosts_worst: Option<f64>,
    /// The share of moving blocks, in per mille, that no single plate time
    /// explains in the worst frame: ghosts, and what is warped far.
    pub unexplained_worst: Option<f64>,
    /// Largest absolute difference of any sample of a kept frame from the
    /// plate's, in the files' own values; 0 means bit-identical. Of files that hold samples
    /// otherwise than the plate's do (half for 8 bits, a proxy), from what that plate frame
    /// comes to in them.
    pub kept: Option<f64>,
    /// Largest absolute difference of any sample outside the matte from the
    /// plate's, in the files' own values; 0 means bit-identical, as of `kept`.
    pub outside: Option<f64>,
    /// Samples of made frames that are no finite numbers.
    pub not_finite: Option<f64>,
    /// Whether only what lies inside a matte was made.
    #[serde(skip)]
    pub within: bool,
}

/// A measure held against its limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Name of the field of [`Measures`].
    pub measure: &'static str,
    /// What was measured.
    pub value: f64,
    /// Least value that passes.
    pub at_least: Option<f64>,
    /// Greatest value that passes.
    pub at_most: Option<f64>,
    /// Whether the value is within its limits.
    pub pass: bool,
    /// What an artist sees when it is not.
    pub meaning: &'static str,
}

impl Verdict {
    /// The value with three places after the point, or so many more that it does not read
    /// as the limit that it fails by less.
    pub fn figure(&self) -> String {
        let limits = [self.at_least, self.at_most];
        let reads_as_limit = |places: usize| {
            let shown = |v: f64| format!("{v:.places$}");
            limits
                .into_iter()
                .flatten()
                .any(|l| shown(l) == shown(self.value))
        };
        let places = (3..6).find(|p| self.pass || !reads_as_limit(*p));
        number(self.value, places.unwrap_or(6))
    }
}

impl Measures {
    /// The measures that need no correspondence. `kept` has for each output frame
    /// the index of the plate frame that it keeps, none where it is made; `closed`
    /// says that the first frame follows the last.
    pub(super) fn new(
        output: &Profile,
        plate: &Profile,
        kept: &[Option<usize>],
        closed: bool,
    ) -> Self {
        let unit = plate.mean_step();
        let over = |v: f64, u: f64| (u > 0.0).then_some(v / u);
        let mut steps: Vec<f64> = output.counted_steps().map(|s| s.1).collect();
        let at = |i: usize| kept.get(i).copied().flatten();
        let mut joins: Vec<(f64, Option<f64>)> = output
            .counted_steps()
            .filter_map(|(i, step)| match (at(i), at(i + 1)) {
                (Some(leaves), None) => Some((step, Some(leaves))),
                (None, Some(arrives)) => Some((step, arrives.checked_sub(1))),
                _ => None,
            })
            .map(|(step, own)| (step, own.and_then(|own| plate.steps.get(own)).copied()))
            .collect();
        if closed {
            steps.push(output.closing);
            joins.push((output.closing, None));
        }
        let beyond = |j: &(f64, Option<f64>)| j.0 / j.1.unwrap_or(0.0).max(unit).max(1e-12);
        let join = joins
            .into_iter()
            .reduce(|a, b| if beyond(&b) > beyond(&a) { b } else { a });
        let most = |v: &[f64]| v.iter().copied().reduce(f64::max);
        let least = |v: &[f64]| v.iter().copied().reduce(f64::min);
        Self {
            frame_difference: (!steps.is_empty())
                .then(|| over(mean(steps.iter().copied()), unit))
                .flatten(),
            sharpness: over(output.sharpness, plate.sharpness),
            deviation: over(output.deviation, plate.deviation)
                .filter(|_| 2 * output.level.len() > plate.level.len()),
            worst_step: most(&steps).and_then(|v| over(v, unit)),
            smallest_step: least(&steps).and_then(|v| over(v, unit)),
            plate_worst_step: most(&plate.steps).and_then(|v| over(v, unit)),
            plate_smallest_step: least(&plate.steps).and_then(|v| over(v, unit)),
            join: join.and_then(|j| over(j.0, unit)),
            plate_join: join.and_then(|j| over(j.1?, unit)),
            luma: over(output.mean, plate.mean),
            plate_luma: least_and_most(&plate.level, output.level.len())
                .filter(|_| plate.mean > 0.0)
                .map(|of| of.map(|v| v / plate.mean)),
            ..Self::default()
        }
    }

    /// Adds what the correspondence told.
    pub(super) fn add(&mut self, found: &Found) {
        self.spurious = Some(found.spurious);
        self.spurious_worst = found.spurious_at.iter().map(|s| s.1).reduce(f64::max);
        self.seam_switch = found.switches;
        self.seam_switch_worst = found.switches_at.iter().map(|s| s.1).reduce(f64::max);
        self.jump = Some(found.jump);
        self.copy = Some(found.copy);
        self.copy_worst = Some(found.copy_worst);
    }

    /// Adds the seams at fixed places.
    pub(super) fn set_lines(&mut self, seams: &Seams, borders: &Borders, factor: usize) {
        let worst = seams.worst(factor);
        self.seam_line = Some(worst.as_ref().map_or(1.0, |w| w.ratio));
        self.seam_line_at = worst.map(|w| w.at);
        if let Some((tile, worst)) = seams.at(borders, factor) {
            self.seam_tile = Some(tile);
            self.seam_tile_worst = Some(worst.as_ref().map_or(1.0, |w| w.ratio));
            self.seam_tile_at = worst.map(|w| w.at);
        }
    }

    /// Adds the seams between blocks of frames.
    pub(super) fn set_borders(&mut self, borders: &[(usize, f64)]) {
        let all = || borders.iter().map(|b| b.1);
        self.seam_block = (!borders.is_empty()).then(|| mean(all()));
        self.seam_block_worst = all().reduce(f64::max);
    }

    /// Adds the beats of the mean and of the steps.
    pub(super) fn set_rhythm(&mut self, luma: Option<Line>, motion: Option<Line>) {
        let every = |line: Option<Line>| line.filter(|l| l.share > 0.0).map(|l| l.every);
        self.rhythm = luma.map(|l| l.share);
        self.rhythm_every = every(luma);
        self.rhythm_motion = motion.map(|l| l.share);
        self.rhythm_motion_every = every(motion);
    }

    /// Every measure that has a limit, held against it. Limits on the worst
    /// and the smallest step are relative to the plate's own, and so, beyond a least
    /// one, are those on the join and on borders between blocks. Of what was made inside
    /// a matte only [`WITHIN_MATTE`] is: what it took away is in the plate, so the whole
    /// picture is not like it.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let worst = self
            .plate_worst_step
            .map(|p| (1.05 * p).max(STEP_LIMITS[1]));
        let smallest = self
            .plate_smallest_step
            .map(|p| (0.95 * p).min(STEP_LIMITS[0]));
        let [darkest, brightest] = self.plate_luma.unwrap_or([1.0; 2]);
        let flicker = self.plate_flicker.map(|p| (1.5 * p).max(p + FLICKER_LIMIT));
        let drift = self.plate_colour_drift.map(|p| (1.25 * p).max(DRIFT_LIMIT));
        // A border may fall on a step that the plate itself has.
        let block = worst.unwrap_or(0.0).max(BLOCK_LIMIT);
        let join = self.plate_join.map_or(0.0, |p| 1.05 * p).max(JOIN_LIMIT);
        let all = [
            (
                "frame_difference",
                self.frame_difference,
                Some(0.9),
                Some(1.1),
                "the motion is slower or busier than the plate's",
            ),
            (
                "sharpness",
                self.sharpness,
                Some(0.97),
                None,
                "the picture is softer than the plate",
            ),
            (
                "deviation",
                self.deviation,
                Some(0.9),
                None,
                "the picture dwells on a part of what the plate does",
            ),
            (
                "worst_step",
                self.worst_step,
                None,
                worst,
                "a jump can be seen",
            ),
            (
                "smallest_step",
                self.smallest_step,
                smallest,
                None,
                "the picture freezes for a frame",
            ),
            (
                "join",
                self.join,
                None,
                Some(join),
                "the join to the plate or the closing of the loop can be seen",
            ),
            (
                "luma",
                self.luma,
                Some(darkest.min(0.99)),
                Some(brightest.max(1.01)),
                "the picture is brighter or darker than the plate",
            ),
            (
                "flicker",
                self.flicker,
                None,
                flicker,
                "the light flickers more than the plate's, from frame to frame",
            ),
            (
                "colour_drift",
                self.colour_drift,
                None,
                drift,
                "brightness or colour wanders away from where the sequence began",
            ),
            (
                "grain",
                self.grain,
                Some(GRAIN_LIMITS[0]),
                Some(GRAIN_LIMITS[1]),
                "the grain is softer or stronger than the plate's",
            ),
            (
                "spurious",
                self.spurious,
                None,
                Some(0.4),
                "edges can be seen where clips meet",
            ),
            (
                "seam_line",
                self.seam_line,
                None,
                Some(LINE_LIMIT),
                "a line stands still in the picture, as the border of a tile",
            ),
            (
                "seam_tile_worst",
                self.seam_tile_worst,
                None,
                Some(LINE_LIMIT),
                "the border of a tile can be seen",
            ),
            (
                "seam_block_worst",
                self.seam_block_worst,
                None,
                Some(block),
                "a jump can be seen where blocks of frames meet",
            ),
            (
                "rhythm",
                self.rhythm,
                None,
                Some(RHYTHM_LIMIT),
                "the brightness beats: it flickers, or pieces come back, at one pace",
            ),
            (
                "rhythm_motion",
                self.rhythm_motion,
                None,
                Some(RHYTHM_LIMIT),
                "the motion beats: pieces come back at one pace",
            ),
            (
                "ghosts_worst",
                self.ghosts_worst,
                None,
                Some(GHOST_LIMIT),
                "two times show through each other",
            ),
            (
                "not_finite",
                self.not_finite,
                None,
                Some(0.0),
                "samples are no numbers: they spread when the picture is blurred or scaled",
            ),
            (
                "kept",
                self.kept,
                None,
                Some(0.0),
                "kept frames are not the plate's",
            ),
            (
                "outside",
                self.outside,
                None,
                Some(0.0),
                "pixels outside the matte are not the plate's",
            ),
        ];
        let whole = !self.within;
        all.into_iter()
            .filter(|all| whole || WITHIN_MATTE.contains(&all.0))
            .filter_map(|(measure, value, at_least, at_most, meaning)| {
                let value = value?;
                Some(Verdict {
                    measure,
                    value,
                    at_least,
                    at_most,
                    pass: at_least.is_none_or(|l| value >= l) && at_most.is_none_or(|l| value <= l),
                    meaning,
                })
            })
            .collect()
    }
}

/// The measures with limits that hold for a part of the picture.
const WITHIN_MATTE: [&str; 6] = [
    "spurious",
    "seam_tile_worst",
    "ghosts_worst",
    "not_finite",
    "kept",
    "outside",
];

/// Steps that are neither a freeze nor a jump, whatever the plate has: a plate whose steps
/// are all alike would have none other pass.
const STEP_LIMITS: [f64; 2] = [0.8, 1.25];

/// What the light may flicker beyond the plate, in per mille. Takes of fifteen pieces of
/// footage flicker by at most 1.1 times what their plates do, where nothing much does by
/// .1 more; every other frame of a fountain 1 % brighter has 10, the plate 1.5.
const FLICKER_LIMIT: f64 = 1.0;

/// What the colour of a sequence may wander whatever its plate does. Of a fountain's going
/// on it wanders by .029, as between two of its seconds before (.032); with red 8 % up and
/// blue 8 % down in the end by .048.
const DRIFT_LIMIT: f64 = 0.02;

/// Grain that passes. Takes of fifteen pieces of footage have .86 to 1.3; a dissolve
/// through all of the take, that halves what is grain of it, .73, grain laid on twice 1.5,
/// the mean of four pixels .17.
const GRAIN_LIMITS: [f64; 2] = [0.8, 1.4];

/// Ghosts that pass in the worst frame, in per mille of moving blocks. On the
/// five plates of the quality bench the worst frame of a cross-dissolve has 226
/// to 988, the cross-fades of video textures 203 to 1000, hard choices of
/// source (a graph cut, and cuts warped along optical flow) none.
const GHOST_LIMIT: f64 = 20.0;

/// Rhythm that passes. Of 1,440 frames made of three seconds of a stream nothing
/// beats at any novelty; where 80 of its frames are played over and over, .54 of
/// the variance of the mean is one line and .04 of that of the steps.
const RHYTHM_LIMIT: f64 = 0.02;

/// Lines that pass. Of 1,440 frames made of a stream none stands out.
const LINE_LIMIT: f64 = 1.1;

/// Joins that pass, unless the plate itself takes a larger step there: the bud that
/// opens in time-lapse flickers by 2.6 of its mean step where its last frame is kept.
const JOIN_LIMIT: f64 = 1.15;

/// Borders between blocks that pass, unless the plate's own worst step is larger: of 57
/// borders that are none (1,440 frames of a stream) the worst is 2.25, where the plate's
/// worst step is 2.28 of its mean.
const BLOCK_LIMIT: f64 = 1.5;

//! The engine's plans and its score by themselves, so that another way to
//! carry a plan out can be compared under equal terms.

use std::borrow::Cow;
use std::sync::Arc;

use super::analysis::Analysis;
use super::edit_list::Event;
use super::exposure::{Exposure, Level, lit};
use super::ground::Ground;
use super::plan::{Stretch, plan};
use super::playing::Playing;
use super::score::Marker;
use super::settings::{Settings, Steady};
use super::solve::Style;
use crate::device::Task;
use crate::device::gpu::Choice;
use crate::engine::{EngineError, Timeline};
use crate::frame::{Picture, PlateInfo};
use crate::sampler::Philox;

/// Plans and judges extensions of a plate that keep its first frames.
pub struct Judge {
    analysis: Analysis,
    exposure: Option<Exposure>,
    ground: Ground,
    keep: usize,
    length: usize,
}

impl Judge {
    /// For `timeline`, whose first span is kept and whose second is free.
    ///
    /// # Errors
    /// Where the timeline is not of that kind or the work was stopped.
    pub fn new(
        analysis: &Analysis,
        timeline: &Timeline,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        let [kept, free] = &timeline.spans[..] else {
            return Err(EngineError::Request(
                "only an extension at the end can be judged".to_owned(),
            ));
        };
        let steady = analysis.steadied(Steady::Auto).is_some();
        let exposure = Exposure::of(analysis, timeline, Level::Auto, steady);
        let analysis = match &exposure {
            // Others are compared on the plate as its camera took it.
            Some(exposure) if steady => Analysis {
                colour: analysis.colour.clone(),
                ..analysis.levelled(exposure, timeline.plate, steady)
            },
            Some(exposure) => analysis.levelled(exposure, timeline.plate, steady),
            None => analysis.clone(),
        };
        Ok(Self {
            ground: Ground::new(
                Cow::Borrowed(&analysis),
                timeline,
                steady,
                &[],
                Choice::Cpu,
                task,
            )?,
            analysis,
            exposure,
            keep: kept.out().count(),
            length: free.out().count(),
        })
    }

    /// What decisions are made on: of a plate whose exposure drifts, levelled.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// `picture`, plate index `index` of a plate like `info`, in the light of output
    /// index `t`; itself where the exposure does not drift.
    pub fn lit(
        &self,
        picture: &Arc<Picture>,
        index: usize,
        t: usize,
        info: &PlateInfo,
    ) -> Arc<Picture> {
        let gain = self
            .exposure
            .as_ref()
            .map(|e| e.gain(index as i32, t as i32));
        lit(picture.clone(), gain.unwrap_or([1.0; 3]), info)
    }

    /// Frames that a change of clip takes at most.
    pub fn window(&self) -> usize {
        self.ground.jumps.window
    }

    /// The changes of clip of plan number `number` under `settings`, before
    /// any is carried out: output index at which each may begin, and plate
    /// index less output index of the clip that begins.
    ///
    /// # Errors
    /// Where the work was stopped.
    pub fn plan(
        &self,
        settings: &Settings,
        number: u32,
        task: Task<'_>,
    ) -> Result<Vec<(usize, i32)>, EngineError> {
        let stretch = Stretch {
            length: self.length,
            start: Some(self.keep),
            end: None,
            closed: false,
        };
        let style = Style::new(settings, &self.ground.jumps, &self.ground, number);
        // The stretch is the second span of the timeline.
        let mut rng = Philox::new(settings.seed, [1, number, 0]);
        let plan = plan(
            &stretch,
            &self.ground.jumps,
            &self.ground.coarse.features,
            &style.taste,
            &mut rng,
            task,
        )?;
        Ok(plan
            .changes
            .iter()
            .map(|c| (c.at + self.keep, c.offset - self.keep as i32))
            .collect())
    }

    /// The score by which the best plan is chosen under `settings`; lower is
    /// better. `events` carry output indices, as those of an edit list do.
    pub fn score(&self, settings: &Settings, events: &[Event]) -> f64 {
        let (f, own) = (&self.ground.fine.features, &self.ground.fine.own);
        let mut playing = Playing::new(f.cells(), self.keep as i32);
        let mut marker = Marker::new(f, self.ground.fps, self.keep.checked_sub(1));
        let mut done = 0;
        for e in events {
            let at = (e.at as usize).saturating_sub(self.keep);
            playing.retire(&mut done, at.saturating_sub(1), |t, o| {
                marker.add(f, own, t, o);
            });
            playing.lay(
                at,
                e.offset + self.keep as i32,
                usize::from(e.window),
                &e.switch,
            );
        }
        playing.retire(&mut done, self.length, |t, o| {
            marker.add(f, own, t, o);
        });
        let marks = marker.marks(own);
        marks.score(own, settings.novelty)
    }
}

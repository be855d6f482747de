//! A job as a farm carries it out: step after step, the tasks of a step side by
//! side.

use std::path::PathBuf;

use super::super::error::JobError;
use super::super::paths;
use super::super::shot::Shot;
use super::super::version::plan_version;
use super::settings::{self, Setting};
use crate::frame::{FrameList, Sequence};
use crate::manifest::{Manifest, Value};
use crate::sequence::estimate::Needs;
use crate::sequence::plan::Plan;

/// The tasks of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Tasks {
    /// The one block of a level, or its blocks counted from 1.
    Blocks(usize),
    /// Frames, a block's at a time.
    Frames {
        /// The frames of each block that are wanted; in order, none empty.
        blocks: Vec<FrameList>,
        /// All of them.
        all: FrameList,
        /// How many a task has.
        count: usize,
    },
    /// Report, preview and the like of the whole sequence.
    Looks,
}

/// What is made before the next step begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, as `edit-list`.
    pub name: String,
    /// What is done.
    pub tasks: Tasks,
    /// The steps, by their place, that have to be done before.
    pub after: Vec<usize>,
}

/// A job as a farm carries it out.
#[derive(Clone, Debug)]
pub struct Farm {
    /// What the queue calls it.
    pub title: String,
    /// How the machines call Longtake.
    pub program: String,
    /// What the job says.
    pub settings: Vec<Setting>,
    /// What shows the sequence.
    pub looks: Vec<Setting>,
    /// The steps, in an order in which they can be done.
    pub steps: Vec<Step>,
    /// What a machine has to have.
    pub needs: Needs,
    /// The version that machines must have.
    pub version: String,
    /// The files that are read.
    pub inputs: Vec<PathBuf>,
    /// The folders that are written to.
    pub outputs: Vec<PathBuf>,
    /// What was asked for and is left out.
    pub note: Option<String>,
}

impl Farm {
    /// What `shot` comes to; of its frames, `wanted`. `options` are the parameters
    /// that there are.
    ///
    /// # Errors
    /// Where a path cannot be told in full.
    pub fn of(
        options: &'static Manifest,
        shot: &Shot<'_>,
        wanted: &[i32],
        program: &str,
    ) -> Result<Self, JobError> {
        let mut settings = settings::settings(options, &shot.job.values)?;
        let out = shot.timeline.out;
        // Queues show the range, which nobody need have said.
        if !settings.iter().any(|s| s.param.name == "frames")
            && let Some(param) = options.param("frames")
        {
            let value = Value::Range([out.first.into(), out.last.into()]);
            if let Some(setting) = settings::setting(options, param, Some(&value))? {
                let at = settings.iter().position(|s| s.param.name != "mode");
                settings.insert(at.unwrap_or(0), setting);
            }
        }
        let mut looks = settings::looks(options, &shot.job.values)?;
        let note = (!looks.is_empty() && wanted.len() < out.count()).then(|| {
            looks.clear();
            "report, page, preview and contact sheet are of whole takes and left out where 'only' names a part: ask for them when all frames are there".to_owned()
        });
        let job = shot.job;
        let mut outputs = vec![shot.writer.path(out.first)];
        outputs.extend(looks.iter().map(|s| PathBuf::from(s.value.to_string())));
        for path in &mut outputs {
            *path = paths::absolute(path)?;
            path.pop();
        }
        outputs.extend(job.setup.store.clone());
        outputs.sort();
        outputs.dedup();
        let mut inputs = Vec::new();
        let sources = [Some(&job.plate), job.matte.as_ref(), job.guide.as_ref()];
        let sources = sources.into_iter().flatten();
        for source in sources.filter(|s| !s.as_os_str().is_empty()) {
            for file in Sequence::find(source)?.files()?.into_values() {
                inputs.push(paths::absolute(&file)?);
            }
        }
        let name = job.out.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            title: format!("Longtake {name}"),
            program: program.to_owned(),
            steps: steps(&shot.plan, wanted, job.block, !looks.is_empty()),
            settings,
            looks,
            needs: shot.needs(),
            version: plan_version(&job.setup.engine),
            inputs,
            outputs,
            note,
        })
    }

    /// The command of a task of `step`, `said` standing for the values of the
    /// settings, `piece` for the task's frames or the place of its block.
    pub fn command(
        &self,
        step: &Step,
        piece: Option<&str>,
        said: impl Fn(&Setting) -> String,
    ) -> Vec<String> {
        let words = |list: &[&str]| list.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        let mut command = match &step.tasks {
            Tasks::Looks => words(&["generate"]),
            _ => words(&["block", "--level", &step.name]),
        };
        match (&step.tasks, piece) {
            (Tasks::Frames { .. }, Some(piece)) => command.extend(words(&["--only", piece])),
            (Tasks::Blocks(_), Some(piece)) => command.extend(words(&["--nth", piece])),
            _ => {}
        }
        let looks = match step.tasks {
            Tasks::Looks => &self.looks[..],
            _ => &[],
        };
        for setting in self.settings.iter().chain(looks) {
            command.extend(setting.options(&said(setting)));
        }
        command.extend(words(&["--plan-version", &self.version]));
        command
    }

    /// The commands of the tasks of `step`, each with a name, program first.
    pub fn commands(&self, step: &Step, style: Option<&str>) -> Vec<(String, Vec<String>)> {
        let pieces: Vec<Option<String>> = match &step.tasks {
            Tasks::Frames { blocks, .. } => blocks.iter().map(|b| Some(b.to_string())).collect(),
            Tasks::Blocks(1) | Tasks::Looks => vec![None],
            Tasks::Blocks(count) => (1..=*count).map(|n| Some(n.to_string())).collect(),
        };
        let command = |piece: Option<String>| {
            let name = match &piece {
                Some(piece) => format!("{} {piece}", step.name),
                None => step.name.clone(),
            };
            let mut words = vec![self.program.clone()];
            words.extend(self.command(step, piece.as_deref(), |s| s.value.to_string()));
            if let Some(style) = style {
                words.extend(["--progress-style".to_owned(), style.to_owned()]);
            }
            (name, words)
        };
        pieces.into_iter().map(command).collect()
    }
}

/// The steps of `plan`, of its frames those `wanted`, and one that shows them
/// where `looks`.
fn steps(plan: &Plan, wanted: &[i32], count: usize, looks: bool) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for level in &plan.levels {
        let needed = |earlier: &usize| {
            let made = &plan.levels[*earlier].blocks;
            let mut needs = level.blocks.iter().flat_map(|b| &b.needs);
            needs.any(|n| made.iter().any(|b| b.id == *n))
        };
        let after = (0..steps.len()).filter(needed).collect();
        let last = steps.len() + 1 == plan.levels.len();
        let tasks = if last {
            frames(
                level.blocks.iter().filter_map(|b| b.frames.as_ref()),
                wanted,
                count,
            )
        } else {
            Tasks::Blocks(level.blocks.len())
        };
        steps.push(Step {
            name: level.name.replace(' ', "-"),
            tasks,
            after,
        });
    }
    if looks {
        steps.push(Step {
            name: "report".to_owned(),
            tasks: Tasks::Looks,
            after: vec![steps.len().saturating_sub(1)],
        });
    }
    steps
}

fn frames<'a>(blocks: impl Iterator<Item = &'a FrameList>, wanted: &[i32], count: usize) -> Tasks {
    let mut all: Vec<i32> = wanted.to_vec();
    all.sort_unstable();
    all.dedup();
    let Some(list) = FrameList::of(&all) else {
        return Tasks::Blocks(0);
    };
    let of_block = |block: &FrameList| {
        let bounds = block.bounds();
        let from = all.partition_point(|f| *f < bounds.first);
        let to = all.partition_point(|f| *f <= bounds.last);
        let mine = all[from..to].iter().copied().filter(|f| block.contains(*f));
        FrameList::of(&mine.collect::<Vec<_>>())
    };
    Tasks::Frames {
        blocks: blocks.filter_map(of_block).collect(),
        all: list,
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Span, Timeline};
    use crate::frame::FrameRange;
    use crate::sequence::plan::{Block, Level};

    fn block(id: &str, frames: Option<&str>, needs: &[&str]) -> Block {
        Block {
            id: id.to_owned(),
            frames: frames.map(|f| f.parse().unwrap()),
            plate: None,
            needs: needs.iter().map(|&n| n.to_owned()).collect(),
        }
    }

    #[test]
    fn levels_become_steps_and_blocks_tasks() {
        let out = FrameRange::new(1, 20).unwrap();
        let level = |name, blocks| Level {
            name,
            blocks,
            tiles: Default::default(),
        };
        let plan = Plan {
            engine: "test",
            timeline: Timeline {
                plate: out,
                out,
                spans: vec![Span::Free { out }],
                closed: false,
            },
            levels: vec![
                level("learned", vec![block("l", None, &[])]),
                level(
                    "far anchors",
                    vec![block("a1", None, &[]), block("a2", None, &[])],
                ),
                level(
                    "frames",
                    vec![
                        block("f1", Some("1-8"), &["a1", "a2"]),
                        block("f2", Some("9-16"), &["a2"]),
                        block("f3", Some("17-20"), &["a2"]),
                    ],
                ),
            ],
        };
        let wanted: Vec<i32> = vec![20, 1, 2, 3, 5, 7, 18, 19];
        let steps = steps(&plan, &wanted, 8, true);
        let names: Vec<_> = steps
            .iter()
            .map(|s| (s.name.as_str(), &s.after[..]))
            .collect();
        assert_eq!(
            names,
            [
                ("learned", &[][..]),
                ("far-anchors", &[]),
                ("frames", &[1]),
                ("report", &[2])
            ]
        );
        assert_eq!(steps[1].tasks, Tasks::Blocks(2));
        let Tasks::Frames { blocks, all, .. } = &steps[2].tasks else {
            panic!("{:?}", steps[2]);
        };
        let text: Vec<_> = blocks.iter().map(ToString::to_string).collect();
        // The second block has no frame that is wanted.
        assert_eq!(text, ["1-3,5,7", "18-20"]);
        assert_eq!(all.to_string(), "1-3,5,7,18-20");
    }
}

//! What a person or a script sees of running work: a bar on a terminal, JSON
//! lines, or just the warnings and the result.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use longtake::device::Progress;
use longtake::job::{Event, JobError, Outlook, Watch};
use longtake::sequence::report::Report;
use serde_json::json;

use crate::exit;
use crate::farm::Style;

/// Least time between two lines of progress.
const PACE: Duration = Duration::from_millis(100);

/// Where events go.
pub enum Show {
    /// A progress bar on standard error, results on standard output.
    Bar(ProgressBar),
    /// A JSON object a line on standard output.
    Json(Mutex<Pace>),
    /// Lines of progress that a queue reads, on standard output.
    Queue(Style, Mutex<Pace>),
    /// Standard error is no terminal: warnings and the result only.
    Plain,
}

/// What was last told and when.
pub struct Pace {
    stage: String,
    at: Instant,
}

impl Show {
    /// JSON lines where `json`, else lines in a queue's `style`, else a bar where
    /// there is a terminal.
    pub fn new(json: bool, style: Option<Style>) -> Self {
        let pace = Mutex::new(Pace {
            stage: String::new(),
            at: Instant::now(),
        });
        if json {
            return Self::Json(pace);
        }
        if let Some(style) = style {
            return Self::Queue(style, pace);
        }
        if !std::io::stderr().is_terminal() {
            return Self::Plain;
        }
        let bar = ProgressBar::new(1000);
        if let Ok(style) =
            ProgressStyle::with_template("{msg:24!} {wide_bar} {percent:>3}% {elapsed}")
        {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// Tells an error, on standard error and, where JSON is asked for, as the
    /// last line too.
    pub fn error(&self, error: &JobError) {
        self.clear();
        if let Self::Json(_) = self {
            line(&json!({
                "event": "error",
                "kind": error.kind,
                "code": exit::code(error.kind),
                "message": error.message,
            }));
        }
        let _ = writeln!(std::io::stderr(), "longtake: {}", error.message);
        self.end(exit::code(error.kind), &error.message);
    }

    /// Tells a queue how it ended.
    pub fn end(&self, code: u8, message: &str) {
        if let Self::Queue(style, _) = self {
            if code == 0 {
                print(&style.progress(1.0));
            }
            if let Some(text) = style.end(code, message) {
                print(&text);
            }
        }
    }

    /// Prints a result for a person; JSON has it as an event.
    pub fn say(&self, text: &str) {
        if !matches!(self, Self::Json(_)) {
            self.aside(|| {
                let _ = writeln!(std::io::stdout(), "{text}");
            });
        }
    }

    /// Tells a result: as JSON the event, for a person the text.
    pub fn result(&self, event: &serde_json::Value, text: impl FnOnce() -> String) {
        match self {
            Self::Json(_) => line(event),
            _ => self.say(&text()),
        }
    }

    /// Tells what was measured: as JSON all of it, for a person the measures
    /// against their limits.
    pub fn report(&self, report: &Report) {
        if let Self::Json(_) = self {
            return line(&json!({ "event": "report", "report": report }));
        }
        self.clear();
        let mut out = std::io::stdout().lock();
        for v in &report.verdicts {
            let bound = match (v.at_least, v.at_most) {
                (Some(a), Some(b)) => format!("{a:.2} to {b:.2}"),
                (Some(a), None) => format!("at least {a:.2}"),
                (None, Some(b)) => format!("at most {b:.2}"),
                (None, None) => String::new(),
            };
            let mark = if v.pass { "good" } else { "weak" };
            let own = report.referred(v);
            let own = own.map_or(String::new(), |own| format!("  (the plate's own {own:.3})"));
            let _ = writeln!(
                out,
                "{mark}  {:<18} {:>8}  {bound}{own}",
                v.measure,
                v.figure()
            );
            if !v.pass {
                let _ = writeln!(out, "      {}", v.meaning);
            }
        }
        for missing in &report.missing {
            let _ = writeln!(out, "{missing}");
        }
    }

    /// Tells a plan: as JSON all of it, for a person a line a block.
    pub fn plan(&self, outlook: &Outlook) {
        if let Self::Json(_) = self {
            return line(&json!({ "event": "plan", "plan": outlook }));
        }
        self.clear();
        let mut out = std::io::stdout().lock();
        let plan = &outlook.plan;
        let made = plan.timeline.out.iter();
        let made = made.filter(|f| plan.timeline.kept(*f).is_none()).count();
        let all = plan.timeline.out.count();
        let _ = writeln!(
            out,
            "{all} frames, {}, of which {made} are made and {} are the plate's own",
            plan.timeline.out,
            all - made
        );
        let _ = writeln!(out, "{}", outlook.space);
        if let Some(estimate) = &outlook.estimate {
            let _ = writeln!(out, "{estimate}");
        }
        for (k, level) in plan.levels.iter().enumerate() {
            let blocks = level.blocks.len();
            let each = if blocks == 1 { "block" } else { "blocks" };
            let _ = writeln!(out, "level {}: {}, {blocks} {each}", k + 1, level.name);
            for block in &level.blocks {
                let _ = writeln!(out, "  {}", block.id);
            }
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }

    fn aside(&self, print: impl FnOnce()) {
        match self {
            Self::Bar(bar) => bar.suspend(print),
            _ => print(),
        }
    }
}

fn line(value: &impl serde::Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        print(&text);
    }
}

/// A reader that has gone away is no reason to stop.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Whether `stage` at `fraction` is to be told, and whether it is a new stage:
/// lines come at most every [`PACE`].
fn is_due(pace: &Mutex<Pace>, stage: &str, fraction: f64) -> Option<bool> {
    let mut pace = pace.lock().ok()?;
    let new = pace.stage != stage;
    if !new && pace.at.elapsed() < PACE && fraction < 1.0 {
        return None;
    }
    pace.stage.clear();
    pace.stage.push_str(stage);
    pace.at = Instant::now();
    Some(new)
}

impl Progress for Show {
    fn report(&self, stage: &str, fraction: f64) {
        let fraction = fraction.clamp(0.0, 1.0);
        match self {
            Self::Bar(bar) => {
                if bar.message() != stage {
                    bar.set_message(stage.to_owned());
                }
                bar.set_position((fraction * 1000.0) as u64);
            }
            Self::Json(pace) => {
                if is_due(pace, stage, fraction).is_some() {
                    line(&json!({ "event": "progress", "stage": stage, "fraction": fraction }));
                }
            }
            Self::Queue(style, pace) => {
                let Some(new) = is_due(pace, stage, fraction) else {
                    return;
                };
                if let Some(text) = style.status(stage).filter(|_| new) {
                    print(&text);
                }
                print(&style.progress(fraction));
            }
            Self::Plain => {}
        }
    }
}

impl Watch for Show {
    fn event(&self, event: &Event<'_>) {
        if let Self::Json(_) = self {
            return line(event);
        }
        match event {
            Event::Warning { message } => self.aside(|| {
                let _ = writeln!(std::io::stderr(), "longtake: warning: {message}");
            }),
            Event::Suitability { found, summary } => self.aside(|| {
                let mut err = std::io::stderr().lock();
                for (i, concern) in found.concerns.iter().enumerate() {
                    let text = if i == 0 { summary } else { concern.advice() };
                    let _ = writeln!(err, "longtake: warning: {text}");
                }
            }),
            Event::File { what, file } => self.say(&format!("{what}: {}", file.display())),
            Event::Done {
                made,
                kept,
                there,
                seconds,
                ..
            } => {
                self.clear();
                self.say(&format!(
                    "done in {seconds:.1} s: {made} frames made, {kept} kept plate frames written, {there} were there already"
                ));
            }
            Event::Block { block } => self.say(&format!("block {block} is in the store")),
            Event::Latents {
                cached_steps: Some(steps),
                cache_error: Some(error),
                ..
            } => self.say(&format!(
                "{steps} steps were not computed, at an estimated error of {error:.3}"
            )),
            Event::Latents { .. } => {}
            Event::Start { .. } | Event::Take { .. } | Event::Frame { .. } => {}
        }
    }
}

//! The colour spaces that artists named, looked up once: reading a configuration takes
//! longer than an action that costs nothing may take.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::manifest::Values;
use crate::sequence::Colour;

/// Choices remembered at most.
const CHOICES: usize = 16;

/// What was named: the config, the spaces, whether the plate lies in files, the engine
/// and the mode.
type Choice = [String; 6];
type Found = Result<Option<Arc<Colour>>, String>;

/// What the choices came to.
#[derive(Default)]
pub(super) struct Colours(Mutex<Vec<(Choice, Found)>>);

impl Colours {
    /// What `values` come to for a plate in files, or for one that the host hands over.
    ///
    /// # Errors
    /// Where the config cannot be used or has no such space; a sentence.
    pub fn get(&self, values: &Values, in_files: bool) -> Found {
        let text = |name: &str| values.text(name).to_owned();
        let choice = [
            text("ocioConfig"),
            text("inputColorspace"),
            text("outputColorspace"),
            in_files.to_string(),
            text("engine"),
            text("mode"),
        ];
        if choice[1].is_empty() && choice[2].is_empty() {
            return Ok(None);
        }
        let known = |all: &Vec<(Choice, Found)>| {
            let found = all.iter().find(|(c, _)| *c == choice);
            found.map(|(_, found)| found.clone())
        };
        if let Some(found) = known(&self.0.lock()) {
            return found;
        }
        let found = match in_files {
            true => Colour::of(values),
            false => Colour::of_host(values),
        };
        let found = found.map(|c| c.map(Arc::new)).map_err(|e| e.to_string());
        let mut all = self.0.lock();
        if all.len() >= CHOICES {
            drop(all.remove(0));
        }
        all.push((choice, found.clone()));
        found
    }

    /// Configurations are to be read anew.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

//! What tells one take from another: the settings, and the numbers in files, wherever
//! these lie.

use std::path::{Path, PathBuf};

use super::engine::WanEngine;
use super::identity::identity;
use super::settings::{Settings, SubjectMatte};
use crate::device::gpu::Choice;
use crate::frame::{FilePlate, PlateOptions};

/// Name and version, as of every engine.
pub const VERSION: &str = "wan 5";

impl WanEngine {
    /// Names the numbers of the model and of what changes them, wherever the files lie.
    pub fn weights(&self) -> String {
        let files = &self.settings.files;
        let parts = [
            &files.low,
            &files.vae,
            &files.text_encoder,
            &files.image_encoder,
            &files.tiny,
        ];
        let more = parts.into_iter().flatten();
        let loras = files.loras.iter().map(|l| &l.path);
        let all = [&files.model].into_iter().chain(more).chain(loras);
        let named = names(all.map(PathBuf::as_path));
        blake3::hash(named.as_bytes()).to_hex()[..32].to_owned()
    }

    /// Names the numbers of the files that conditions depend on.
    pub(super) fn sources_key(&self) -> String {
        let files = &self.settings.files;
        let parts = [&files.vae, &files.image_encoder].into_iter().flatten();
        let paths = [&files.model].into_iter().chain(parts);
        let references = self.settings.all_references();
        let owners: Vec<_> = references.map(|(_, owner)| owner).collect();
        let references = self.settings.all_references().map(|(path, _)| path);
        let mattes = self.settings.subjects.iter();
        let mattes = mattes.map(|s| match &s.matte {
            SubjectMatte::File(path) => matte_name(path),
            // Whose pixels it has the plate's own name tells.
            SubjectMatte::Clip(clip) => format!("clip {clip}"),
        });
        let mattes: Vec<_> = mattes.collect();
        let files = names(paths.chain(references).map(PathBuf::as_path));
        match mattes.is_empty() {
            true => files,
            false => format!("{files} {owners:?} {mattes:?}"),
        }
    }

    /// A text that tells `settings` from others, whatever the place of files.
    pub(super) fn key_of(&self, settings: &Settings) -> String {
        let Settings { files, noise, .. } = settings;
        // What files hold counts, not where they lie.
        let told = Settings {
            files: Default::default(),
            references: Vec::new(),
            subjects: Vec::new(),
            noise: None,
            ..settings.clone()
        };
        let prompts: Vec<_> = settings.subjects.iter().map(|s| &s.prompt).collect();
        let more = [&files.low, &files.text_encoder, &files.tokenizer, noise];
        let more = more.into_iter().flatten();
        let loras = files.loras.iter().map(|l| &l.path);
        let how: Vec<_> = files.loras.iter().map(|l| (l.strength, l.part)).collect();
        let key = format!(
            "{told:?} {} {} {how:?} {prompts:?}",
            self.sources_key(),
            names(more.chain(loras).map(PathBuf::as_path))
        );
        match self.device {
            // What a GPU makes is not to the bit what the CPU makes.
            Choice::Gpu => format!("{key} on a GPU"),
            _ => key,
        }
    }
}

/// Names the numbers in files; one that cannot be read, by its path: the error comes
/// where it is opened.
pub(super) fn names<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let name = |path: &Path| match identity(path) {
        Ok(hash) => hash.to_hex().to_string(),
        Err(_) => path.display().to_string(),
    };
    paths.map(name).collect::<Vec<_>>().join(" ")
}

/// Names a matte's pixels, wherever its files lie.
fn matte_name(path: &Path) -> String {
    let options = PlateOptions::default();
    match FilePlate::open(path, &options).and_then(|matte| matte.key()) {
        Ok(key) => key.to_hex().to_string(),
        Err(_) => path.display().to_string(),
    }
}

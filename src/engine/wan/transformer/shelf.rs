//! Where a layer is while it is not run.

use candle_core::Result;
use candle_nn::VarBuilder;

/// A layer in memory, or one that is read whenever it is run and leaves memory then.
pub enum Shelf<T> {
    /// In memory.
    Here(T),
    /// What reads it.
    Away(Box<dyn Fn() -> Result<T> + Send + Sync>),
}

impl<T> Shelf<T> {
    /// Runs `run` with the layer.
    pub fn with<R>(&self, run: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        match self {
            Self::Here(layer) => run(layer),
            Self::Away(load) => run(&load()?),
        }
    }
}

/// Decides where layers are.
pub trait Place<'v> {
    /// The layer that `load` reads from `vb`.
    fn put<T>(
        &self,
        vb: VarBuilder<'v>,
        load: impl Fn(&VarBuilder<'v>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Shelf<T>>;
}

/// All in memory.
pub struct Here;

impl<'v> Place<'v> for Here {
    fn put<T>(
        &self,
        vb: VarBuilder<'v>,
        load: impl Fn(&VarBuilder<'v>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Shelf<T>> {
        load(&vb).map(Shelf::Here)
    }
}

/// None in memory.
pub struct Away;

impl Place<'static> for Away {
    fn put<T>(
        &self,
        vb: VarBuilder<'static>,
        load: impl Fn(&VarBuilder<'static>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<Shelf<T>> {
        Ok(Shelf::Away(Box::new(move || load(&vb))))
    }
}

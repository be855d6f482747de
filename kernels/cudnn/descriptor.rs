//! cuDNN's descriptors: objects that are given attributes, then finished and only read.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use super::library::{Library, Raw};
use super::names::{Attribute, DataType, Kind, ValueType};
use super::{CudnnError, Handle, Result};

/// A descriptor that is finished.
pub struct Descriptor {
    pub(super) raw: Raw,
    pub(super) library: &'static Library,
    kind: Kind,
    /// What it refers to.
    held: Vec<Arc<Descriptor>>,
}

// SAFETY: a finished descriptor is only read, and cuDNN's are not bound to a thread.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} over {:?}", self.kind, self.held)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: made by cuDNN, and nobody uses it any more.
        unsafe { (self.library.destroy_descriptor)(self.raw) };
    }
}

impl Descriptor {
    pub(super) fn empty(library: &'static Library, kind: Kind) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` can be written.
        let status = unsafe { (library.create_descriptor)(kind as i32, &mut raw) };
        library.checked(status, || format!("a descriptor of {kind:?}"))?;
        Ok(Self {
            raw,
            library,
            kind,
            held: Vec::new(),
        })
    }

    /// One number of an attribute.
    pub fn integer(&self, attribute: Attribute) -> Result<i64> {
        let (mut value, mut count) = (0i64, 0i64);
        // SAFETY: room for one number, as is asked for.
        let status = unsafe {
            (self.library.get_attribute)(
                self.raw,
                attribute as i32,
                ValueType::Int64 as i32,
                1,
                &mut count,
                (&raw mut value).cast(),
            )
        };
        self.library
            .checked(status, || format!("{attribute:?} of {:?}", self.kind))?;
        Ok(value)
    }

    /// The numbers of an attribute that is of a type of enumeration.
    pub fn choices(&self, attribute: Attribute, kind: ValueType) -> Result<Vec<i32>> {
        let (mut values, mut count) = ([0i32; 32], 0i64);
        // SAFETY: room for as many as is said; cuDNN's enumerations are of this size.
        let status = unsafe {
            (self.library.get_attribute)(
                self.raw,
                attribute as i32,
                kind as i32,
                values.len() as i64,
                &mut count,
                values.as_mut_ptr().cast(),
            )
        };
        self.library
            .checked(status, || format!("{attribute:?} of {:?}", self.kind))?;
        let count = usize::try_from(count).unwrap_or(0).min(values.len());
        Ok(values[..count].to_vec())
    }

    /// Of an engine with its settings: cuDNN's number of the engine, and what is
    /// remarkable in its numbers (see [`notes`](super::names::notes)).
    pub fn engine(&self) -> Result<(i64, Vec<i32>)> {
        let found = self.descriptors(Attribute::EngineConfigEngine, Kind::Engine)?;
        let engine = found.first().ok_or_else(|| CudnnError::Refused {
            version: self.library.version(),
            why: vec!["settings without an engine".to_owned()],
        })?;
        let number = engine.integer(Attribute::EngineNumber)?;
        let notes = engine.choices(Attribute::EngineNotes, ValueType::NumericalNote)?;
        Ok((number, notes))
    }

    /// The same in words.
    pub fn told(&self) -> String {
        match self.engine() {
            Ok((number, notes)) => format!("engine {number} {notes:?}"),
            Err(error) => format!("an engine ({error})"),
        }
    }

    /// The descriptors of `kind` that an attribute gives.
    pub fn descriptors(&self, attribute: Attribute, kind: Kind) -> Result<Vec<Arc<Self>>> {
        let ask = |room: i64, found: &mut i64, raws: *mut Raw| {
            // SAFETY: `raws` are `room` descriptors, which cuDNN fills.
            let status = unsafe {
                (self.library.get_attribute)(
                    self.raw,
                    attribute as i32,
                    ValueType::Descriptor as i32,
                    room,
                    found,
                    raws.cast(),
                )
            };
            self.library
                .checked(status, || format!("{attribute:?} of {:?}", self.kind))
        };
        let mut count = 0;
        ask(0, &mut count, std::ptr::null_mut())?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::empty(self.library, kind)?);
        }
        let mut raws: Vec<Raw> = all.iter().map(|d| d.raw).collect();
        let mut found = 0;
        if count > 0 {
            ask(count, &mut found, raws.as_mut_ptr())?;
        }
        all.truncate(usize::try_from(found).unwrap_or(0));
        Ok(all.into_iter().map(Arc::new).collect())
    }
}

/// A descriptor that is being made.
pub struct Draft(Descriptor);

impl Draft {
    /// An empty descriptor.
    ///
    /// # Errors
    /// Where cuDNN is too old for this kind.
    pub fn new(library: &'static Library, kind: Kind) -> Result<Self> {
        Descriptor::empty(library, kind).map(Self)
    }

    /// Gives an attribute `values` of `kind`.
    ///
    /// # Safety
    /// `T` is what cuDNN has for `kind`, and what it points to lives as long as this.
    unsafe fn set<T>(self, attribute: Attribute, kind: ValueType, values: &[T]) -> Result<Self> {
        let inner = &self.0;
        // SAFETY: as the caller says.
        let status = unsafe {
            (inner.library.set_attribute)(
                inner.raw,
                attribute as i32,
                kind as i32,
                values.len() as i64,
                values.as_ptr().cast(),
            )
        };
        let called = || format!("{attribute:?} for {:?}", inner.kind);
        inner.library.checked(status, called)?;
        Ok(self)
    }

    /// Whole numbers.
    pub fn integers(self, attribute: Attribute, values: &[i64]) -> Result<Self> {
        // SAFETY: cuDNN takes int64_t.
        unsafe { self.set(attribute, ValueType::Int64, values) }
    }

    /// Numbers in f32.
    pub fn reals(self, attribute: Attribute, values: &[f32]) -> Result<Self> {
        // SAFETY: cuDNN takes float.
        unsafe { self.set(attribute, ValueType::Float, values) }
    }

    /// Yes or no.
    pub fn flag(self, attribute: Attribute, value: bool) -> Result<Self> {
        // SAFETY: cuDNN takes bool.
        unsafe { self.set(attribute, ValueType::Boolean, &[value]) }
    }

    /// One of cuDNN's names of a type that is an enumeration.
    pub fn choice(self, attribute: Attribute, kind: ValueType, value: i32) -> Result<Self> {
        // SAFETY: cuDNN's enumerations are of this size.
        unsafe { self.set(attribute, kind, &[value]) }
    }

    /// A type of numbers.
    pub fn data_type(self, attribute: Attribute, value: DataType) -> Result<Self> {
        self.choice(attribute, ValueType::DataType, value as i32)
    }

    /// A text.
    pub fn text(self, attribute: Attribute, value: &str) -> Result<Self> {
        // SAFETY: cuDNN takes as many bytes, which it copies.
        unsafe { self.set(attribute, ValueType::Char, value.as_bytes()) }
    }

    /// Places in memory, which cuDNN only notes.
    pub fn pointers(self, attribute: Attribute, values: &[*mut c_void]) -> Result<Self> {
        // SAFETY: cuDNN takes pointers; whoever executes says that they are good.
        unsafe { self.set(attribute, ValueType::Pointer, values) }
    }

    /// The device of `handle`, which has to live as long as the descriptor.
    pub(super) fn handle(self, attribute: Attribute, handle: &Handle) -> Result<Self> {
        // SAFETY: cuDNN takes the handle.
        unsafe { self.set(attribute, ValueType::Handle, &[handle.raw]) }
    }

    /// Another descriptor.
    pub fn refer(self, attribute: Attribute, to: &Arc<Descriptor>) -> Result<Self> {
        self.refer_to_all(attribute, std::slice::from_ref(to))
    }

    /// Other descriptors.
    pub fn refer_to_all(mut self, attribute: Attribute, to: &[Arc<Descriptor>]) -> Result<Self> {
        let raws: Vec<Raw> = to.iter().map(|d| d.raw).collect();
        self.0.held.extend(to.iter().cloned());
        // SAFETY: cuDNN takes descriptors, which are held.
        unsafe { self.set(attribute, ValueType::Descriptor, &raws) }
    }

    /// Ends the making.
    ///
    /// # Errors
    /// Where cuDNN finds that something is missing or does not fit.
    pub fn finish(self) -> Result<Arc<Descriptor>> {
        let inner = self.0;
        // SAFETY: made by cuDNN.
        let status = unsafe { (inner.library.finalize)(inner.raw) };
        let kind = inner.kind;
        inner.library.checked(status, || format!("{kind:?}"))?;
        Ok(Arc::new(inner))
    }
}

//! A transformer, on the CPU or on a GPU.
//!
//! On a GPU it works in another shared object (`kernels/transformer`), which is the same
//! model compiled with CUDA. What crosses is the messages of `transformer/message.rs` and
//! the weights one by one. Its products are of 16 bits, so what it makes is not to the
//! bit what the CPU makes: it is used where the artist asks for it, and its results have
//! names of their own.

use std::ffi::c_void;
use std::path::PathBuf;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use libloading::Library;
use parking_lot::Mutex;
use safetensors::View;

use super::config::TransformerConfig;
use super::transformer::message::{INTERFACE, to_bytes, velocity_from_bytes};
use super::transformer::{Inputs, Transformer};
use crate::device::gpu::{
    self,
    libraries::{self, ObjectError},
};

/// The object's file.
const NAME: &str = "liblongtake_transformer.so";
/// Names it where it lies elsewhere.
const VARIABLE: &str = "LONGTAKE_TRANSFORMER";

/// A transformer, wherever it works.
pub enum Evaluator {
    /// In this process's memory.
    OnCpu(Box<Transformer>),
    /// On a GPU.
    OnGpu(Box<OnGpu>),
}

impl From<Transformer> for Evaluator {
    fn from(transformer: Transformer) -> Self {
        Self::OnCpu(Box::new(transformer))
    }
}

impl Evaluator {
    /// What the transformer is like.
    pub fn config(&self) -> &TransformerConfig {
        match self {
            Self::OnCpu(transformer) => transformer.config(),
            Self::OnGpu(there) => &there.config,
        }
    }

    /// The velocity, [1, out_channels, frames, rows, columns]. `check` is asked now and
    /// then whether to go on; its error ends it.
    pub fn forward(
        &self,
        inputs: &Inputs<'_>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Tensor> {
        match self {
            Self::OnCpu(transformer) => transformer.forward(inputs, &mut |_, _| check()),
            Self::OnGpu(there) => there.forward(inputs, check),
        }
    }
}

/// Bytes that the object gives, and gets back to be freed.
#[repr(C)]
struct Bytes {
    data: *mut u8,
    len: usize,
    capacity: usize,
}

/// Numbers of a weight, which stay until the next is asked for.
#[repr(C)]
struct Given {
    data: *const u8,
    bytes: usize,
}

type Get = unsafe extern "C" fn(
    *mut c_void,
    *const u8,
    usize,
    *const usize,
    usize,
    u32,
    *mut Given,
) -> i32;
type Stop = unsafe extern "C" fn(*mut c_void) -> i32;

/// The object's functions; `kernels/transformer/src/face.rs` has them.
#[derive(Clone, Copy)]
struct Face {
    open: unsafe extern "C" fn(
        usize,
        *const u8,
        usize,
        u32,
        Get,
        *mut c_void,
        *mut Bytes,
    ) -> *mut c_void,
    run: unsafe extern "C" fn(
        *const c_void,
        *const u8,
        usize,
        Stop,
        *mut c_void,
        *mut Bytes,
        *mut Bytes,
    ) -> i32,
    free: unsafe extern "C" fn(Bytes),
    close: unsafe extern "C" fn(*mut c_void),
    /// Older objects have nothing to say.
    notice: Option<unsafe extern "C" fn() -> Bytes>,
}

impl Face {
    /// The object, opened at first use.
    fn of_process() -> std::result::Result<Self, ObjectError> {
        static OPEN: Mutex<Option<Face>> = Mutex::new(None);
        let mut open = OPEN.lock();
        if let Some(face) = *open {
            return Ok(face);
        }
        let path = libraries::find(NAME, VARIABLE)?;
        let object = libraries::open(&path)?;
        let face = Self::of(object, path)?;
        *open = Some(face);
        Ok(face)
    }

    fn of(object: &'static Library, path: PathBuf) -> std::result::Result<Self, ObjectError> {
        let foreign = |why: String| ObjectError::Foreign {
            path: path.clone(),
            why,
        };
        /// A function of the object by its name.
        ///
        /// # Safety
        /// It is of that kind.
        unsafe fn get<F: Copy>(object: &Library, name: &str) -> std::result::Result<F, String> {
            // SAFETY: as the caller says.
            let symbol = unsafe { object.get::<F>(name.as_bytes()) };
            symbol.map(|s| *s).map_err(|e| e.to_string())
        }
        type Interface = extern "C" fn() -> u32;
        // SAFETY: the one function that is the same in all versions.
        let interface: Interface =
            unsafe { get(object, "longtake_transformer_interface") }.map_err(foreign)?;
        let found = interface();
        if found != INTERFACE {
            let why = format!("it speaks version {found}, {INTERFACE} is needed");
            return Err(foreign(why));
        }
        // SAFETY: of that version these are the functions' kinds.
        unsafe {
            Ok(Self {
                open: get(object, "longtake_transformer_open").map_err(foreign)?,
                run: get(object, "longtake_transformer_run").map_err(foreign)?,
                free: get(object, "longtake_transformer_free").map_err(foreign)?,
                close: get(object, "longtake_transformer_close").map_err(foreign)?,
                notice: get(object, "longtake_transformer_notice").ok(),
            })
        }
    }

    /// Passes on what the object has to say to the artist.
    fn pass_notices_on(&self) {
        let Some(notice) = self.notice else { return };
        // SAFETY: takes nothing; gives bytes as the others do.
        let next = || Some(self.text(unsafe { notice() })).filter(|text| !text.is_empty());
        let all: Vec<String> = std::iter::from_fn(next).collect();
        if !all.is_empty() {
            gpu::tell(all.join("; "));
        }
    }

    /// The text that the object gave.
    fn text(&self, bytes: Bytes) -> String {
        String::from_utf8_lossy(&self.taken(bytes)).into_owned()
    }

    fn taken(&self, bytes: Bytes) -> Vec<u8> {
        if bytes.data.is_null() {
            return Vec::new();
        }
        // SAFETY: as the object gave them.
        let copy = unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }.to_vec();
        // SAFETY: given once, and not used any more.
        unsafe { (self.free)(bytes) };
        copy
    }
}

fn nothing() -> Bytes {
    Bytes {
        data: std::ptr::null_mut(),
        len: 0,
        capacity: 0,
    }
}

/// A transformer on a GPU.
pub struct OnGpu {
    face: Face,
    model: *mut c_void,
    config: TransformerConfig,
    /// The object takes one evaluation at a time.
    busy: Mutex<()>,
}

// SAFETY: the object's model may be used from any thread, one after the other.
unsafe impl Send for OnGpu {}
// SAFETY: `busy` sees to that.
unsafe impl Sync for OnGpu {}

/// Why a transformer cannot work on a GPU.
#[derive(Debug, thiserror::Error)]
pub enum OnGpuError {
    /// The object cannot be had.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It took no model.
    #[error(
        "the GPU does not take the model ({0}): close other programs that use it, choose a smaller model, or set device to cpu"
    )]
    Model(String),
}

/// Who hands weights over.
struct Giver<'a> {
    weights: &'a VarBuilder<'a>,
    held: Vec<u8>,
}

impl OnGpu {
    /// Hands the weights of `vb` to the first GPU.
    pub fn load(
        config: &TransformerConfig,
        vb: &VarBuilder<'_>,
    ) -> std::result::Result<Self, OnGpuError> {
        let face = Face::of_process()?;
        let text = config.to_json();
        let mut giver = Giver {
            weights: vb,
            held: Vec::new(),
        };
        let mut failure = nothing();
        // SAFETY: all that is handed over lives until it returns.
        let model = unsafe {
            (face.open)(
                0,
                text.as_ptr(),
                text.len(),
                number(vb.dtype()).unwrap_or(0),
                give,
                (&raw mut giver).cast(),
                &mut failure,
            )
        };
        if model.is_null() {
            return Err(OnGpuError::Model(face.text(failure)));
        }
        Ok(Self {
            face,
            model,
            config: config.clone(),
            busy: Mutex::new(()),
        })
    }

    fn forward(
        &self,
        inputs: &Inputs<'_>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Tensor> {
        let request = to_bytes(inputs)?;
        let mut asking = Asking { check, error: None };
        let (mut reply, mut failure) = (nothing(), nothing());
        let _busy = self.busy.lock();
        // SAFETY: the model is open; all that is handed over lives until it returns.
        let answer = unsafe {
            (self.face.run)(
                self.model,
                request.as_ptr(),
                request.len(),
                stop,
                (&raw mut asking).cast(),
                &mut reply,
                &mut failure,
            )
        };
        self.face.pass_notices_on();
        match (answer, asking.error) {
            (0, _) => velocity_from_bytes(&self.face.taken(reply)),
            (_, Some(error)) => Err(error),
            (..) => {
                let text = self.face.text(failure);
                candle_core::bail!("the GPU failed ({text}); set device to cpu to go on without it")
            }
        }
    }
}

impl Drop for OnGpu {
    fn drop(&mut self) {
        // SAFETY: opened in `load`, and nobody uses it any more.
        unsafe { (self.face.close)(self.model) };
    }
}

/// Whoever says whether to go on, and what they said.
struct Asking<'a> {
    check: &'a mut dyn FnMut() -> Result<()>,
    error: Option<candle_core::Error>,
}

unsafe extern "C" fn stop(context: *mut c_void) -> i32 {
    // SAFETY: what `forward` handed over, and nobody else uses meanwhile.
    let asking = unsafe { &mut *context.cast::<Asking<'_>>() };
    match (asking.check)() {
        Ok(()) => 0,
        Err(error) => {
            asking.error = Some(error);
            1
        }
    }
}

/// The number that a type has between the two sides.
fn number(kind: DType) -> Option<u32> {
    match kind {
        DType::F32 => Some(0),
        DType::F16 => Some(1),
        DType::BF16 => Some(2),
        _ => None,
    }
}

unsafe extern "C" fn give(
    context: *mut c_void,
    name: *const u8,
    name_bytes: usize,
    shape: *const usize,
    rank: usize,
    kind: u32,
    given: *mut Given,
) -> i32 {
    // SAFETY: what `load` handed over, and nobody else uses meanwhile.
    let giver = unsafe { &mut *context.cast::<Giver<'_>>() };
    // SAFETY: as the object hands them over.
    let (name, shape) = unsafe {
        (
            std::slice::from_raw_parts(name, name_bytes),
            std::slice::from_raw_parts(shape, rank),
        )
    };
    let kinds = [DType::F32, DType::F16, DType::BF16];
    let (Ok(name), Some(kind)) = (std::str::from_utf8(name), kinds.get(kind as usize)) else {
        return 1;
    };
    let Ok(tensor) = giver
        .weights
        .get_with_hints_dtype(shape, name, Init::default(), *kind)
    else {
        return 1;
    };
    let Ok(bytes) = bytes_of(&tensor) else {
        return 1;
    };
    giver.held = bytes;
    let (data, bytes) = (giver.held.as_ptr(), giver.held.len());
    // SAFETY: as the object hands it over.
    unsafe { given.write(Given { data, bytes }) };
    0
}

/// The numbers of a tensor, one behind the other.
fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let flat = tensor.to_device(&Device::Cpu)?.contiguous()?;
    Ok(View::data(&flat).into_owned())
}

//! Convolutions of any shape on a device: by cuDNN where it has an engine for the shape,
//! else by the kernel of our own, which takes no tensor cores.

use std::collections::HashMap;
use std::ffi::c_void;

use longtake_cudnn::convolution::{self, ALIGNMENT, CHANNELS, W, X, Y};
use longtake_cudnn::names::DataType;
use longtake_cudnn::{CudnnError, Handle, Library, Plan, Target};

use crate::convolve::{self, Convolution};
use crate::driver::{Buffer, DeviceError, Part, PartMut, Stream, Timer};
use crate::number::Number;

/// What runs convolutions on one stream.
pub struct Convolutions {
    stream: Stream,
    cudnn: Result<Handle, CudnnError>,
    /// The engine of each shape, or none where cuDNN has none.
    plans: HashMap<convolution::Convolution, Option<Plan>>,
    workspace: Option<Buffer<u8>>,
    refused: Vec<String>,
}

/// Engines that are measured at most: what cuDNN names first.
const MEASURED: usize = 12;

impl Convolutions {
    /// On `stream`.
    pub fn new(stream: &Stream) -> Self {
        Self {
            stream: stream.clone(),
            cudnn: open(stream),
            plans: HashMap::new(),
            workspace: None,
            refused: Vec::new(),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Why cuDNN is not used at all.
    pub fn missing(&self) -> Option<&CudnnError> {
        self.cudnn.as_ref().err()
    }

    /// What cuDNN did not take, and its words.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// Queues [`convolve`](convolve::convolve). `O` is `T`, or f32.
    pub fn run<T: Number, O: Number>(
        &mut self,
        of: &Convolution,
        x: Part<'_, T>,
        weight: Part<'_, T>,
        y: PartMut<'_, O>,
    ) -> Result<(), DeviceError> {
        let [read, weights, made] = of.lengths();
        x.check("convolutions", read)?;
        weight.check("convolutions", weights)?;
        y.check("convolutions", made)?;
        let tensors = [(X, x.address()), (W, weight.address()), (Y, y.address())];
        if let Some(shape) = shape::<T, O>(of, &tensors)
            && self.by_cudnn(&shape, &tensors)?
        {
            return Ok(());
        }
        convolve::launch(&self.stream, of, x, weight, y)
    }

    /// Whether cuDNN did it.
    fn by_cudnn(
        &mut self,
        shape: &convolution::Convolution,
        tensors: &[(i64, u64); 3],
    ) -> Result<bool, DeviceError> {
        let Ok(handle) = &self.cudnn else {
            return Ok(false);
        };
        self.stream.device().bind()?;
        if !self.plans.contains_key(shape) {
            let plan = shape.plan(handle.library(), &Target::Device(handle));
            if let Err(error) = &plan {
                self.refused.push(format!("{shape:?}: {error}"));
            }
            self.plans.insert(shape.clone(), plan.ok());
        }
        let Some(Some(plan)) = self.plans.get(shape) else {
            return Ok(false);
        };
        let workspace = room(&self.stream, &mut self.workspace, plan.workspace())?;
        // SAFETY: lengths were checked against the shape; all lives until the stream's
        // work is done, since it is freed on the same stream.
        let done = unsafe { plan.execute(handle, &pointers(tensors), workspace) };
        if let Err(error) = done {
            self.refused.push(format!("{shape:?}: {error}"));
            self.plans.insert(shape.clone(), None);
            return Ok(false);
        }
        Ok(true)
    }

    /// Seconds of each engine that cuDNN proposes, in its order, and of what
    /// [`run`](Self::run) takes: for benches.
    pub fn measure<T: Number, O: Number>(
        &mut self,
        of: &Convolution,
        x: Part<'_, T>,
        weight: Part<'_, T>,
        mut y: PartMut<'_, O>,
    ) -> Result<Vec<(String, f64)>, DeviceError> {
        const ROUNDS: usize = 5;
        let mut all = Vec::new();
        let tensors = [(X, x.address()), (W, weight.address()), (Y, y.address())];
        for round in 0..2 {
            let timer = Timer::start(&self.stream)?;
            for _ in 0..ROUNDS {
                self.run(of, x, weight, y.reborrow())?;
            }
            let seconds = timer.stop()? / ROUNDS as f64;
            if round == 1 {
                all.push(("what is taken".to_owned(), seconds));
            }
        }
        let (Ok(handle), Some(shape)) = (&self.cudnn, shape::<T, O>(of, &tensors)) else {
            return Ok(all);
        };
        let target = Target::Device(handle);
        let engines = shape.engines(handle.library(), &target);
        let engines = match engines {
            Ok(engines) => engines,
            Err(error) => {
                all.push((error.to_string(), f64::NAN));
                return Ok(all);
            }
        };
        for (number, engine) in engines.into_iter().take(MEASURED).enumerate() {
            let told = format!("{number}: {}", engine.told());
            let plan = match Plan::new(engine, &target) {
                Ok(plan) => plan,
                Err(error) => {
                    all.push((format!("{told}: {error}"), f64::NAN));
                    continue;
                }
            };
            let workspace = room(&self.stream, &mut self.workspace, plan.workspace())?;
            let mut seconds = f64::NAN;
            for _ in 0..2 {
                let timer = Timer::start(&self.stream)?;
                for _ in 0..ROUNDS {
                    // SAFETY: as in `by_cudnn`.
                    let done = unsafe { plan.execute(handle, &pointers(&tensors), workspace) };
                    if let Err(error) = done {
                        all.push((format!("{told}: {error}"), f64::NAN));
                        break;
                    }
                }
                seconds = timer.stop()? / ROUNDS as f64;
            }
            all.push((format!("{told}, {} bytes", plan.workspace()), seconds));
        }
        Ok(all)
    }
}

impl Drop for Convolutions {
    fn drop(&mut self) {
        // cuDNN ends what it has in the context of the device.
        let _ = self.stream.device().bind();
        self.plans.clear();
    }
}

fn pointers(tensors: &[(i64, u64); 3]) -> [(i64, *mut c_void); 3] {
    tensors.map(|(id, address)| (id, address as *mut c_void))
}

/// cuDNN on the device of `stream`.
fn open(stream: &Stream) -> Result<Handle, CudnnError> {
    let foreign = |why: String| CudnnError::Foreign {
        path: "the GPU".to_owned(),
        why,
    };
    if stream.device().is_emulation() {
        return Err(foreign("it is none".to_owned()));
    }
    let library = Library::of_process()?;
    let bound = stream.device().bind();
    bound.map_err(|error| foreign(error.to_string()))?;
    let handle = Handle::new(library)?;
    // SAFETY: a stream of this device, which is held as long as the handle.
    unsafe { handle.on(stream.raw().cast()) }?;
    Ok(handle)
}

/// What cuDNN is asked for; none of what it is not to do.
fn shape<T: Number, O: Number>(
    of: &Convolution,
    tensors: &[(i64, u64); 3],
) -> Option<convolution::Convolution> {
    let number = |n: usize| i64::try_from(n).ok();
    let whole = |n: usize| number(n).filter(|n| n % CHANNELS == 0);
    let aligned = |(_, address): &(i64, u64)| address.is_multiple_of(ALIGNMENT as u64);
    if !tensors.iter().all(aligned) {
        return None;
    }
    let three = |a: [usize; 3]| Some([number(a[0])?, number(a[1])?, number(a[2])?]);
    let [rows, columns] = of.zeros;
    let pair = |z: [usize; 2]| Some([number(z[0])?, number(z[1])?]);
    // f32 is for the emulation.
    let kind = kind::<T>().filter(|kind| *kind != DataType::F32)?;
    Some(convolution::Convolution {
        kind,
        gives: self::kind::<O>()?,
        size: three(of.size)?,
        made: three(of.made())?,
        channels: whole(of.channels)?,
        outputs: whole(of.outputs)?,
        kernel: three(of.kernel)?,
        step: three(of.step)?,
        zeros: [[0, 0], pair(rows)?, pair(columns)?],
    })
}

fn kind<T: Number>() -> Option<DataType> {
    match T::NAME {
        "f32" => Some(DataType::F32),
        "f16" => Some(DataType::F16),
        "bf16" => Some(DataType::Bf16),
        _ => None,
    }
}

/// Room for `bytes` bytes to work in.
fn room(
    stream: &Stream,
    workspace: &mut Option<Buffer<u8>>,
    bytes: usize,
) -> Result<*mut c_void, DeviceError> {
    let room = match workspace.take() {
        Some(room) if room.len() >= bytes => room,
        _ => stream.room(bytes.max(1 << 20))?,
    };
    let address = room.address();
    *workspace = Some(room);
    Ok(address as *mut c_void)
}

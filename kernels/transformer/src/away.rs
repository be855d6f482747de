//! Matrices that have no room on the GPU. They stay in host memory and are brought over
//! one by one, on a stream of their own, while the GPU works with those before: what
//! follows what is learnt from the first evaluation, since all go the same way.
//!
//! A matrix takes 2 · input · output bytes across, and as much as 2 · tokens · input ·
//! output operations there: with some thousand tokens the GPU is busy for longer than the
//! next matrix is on its way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaStream, result};
use candle_core::{CudaDevice, DType, Device, Result, Shape, Tensor, TensorId};
use longtake_kernels::driver::{Device as Driver, Pinned};

use crate::engine::wan::transformer::message::GpuMemory;
use crate::memory::{address, room};
use crate::notices::notice;

/// Matrices that have a place on the GPU.
const PLACES: usize = GpuMemory::PLACES;
/// Of these, those that are on their way, or there, before they are needed.
const AHEAD: usize = PLACES - 1;

/// What of a GPU's models is away, and the places that it is brought to.
pub struct Away {
    device: CudaDevice,
    copies: Arc<CudaStream>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: HashMap<TensorId, Held>,
    places: Vec<Place>,
    /// The matrix that was used last.
    last: Option<TensorId>,
    clock: u64,
}

/// A matrix in host memory.
struct Held {
    memory: Pinned<u8>,
    shape: Shape,
    kind: DType,
    /// The one that was used behind it when it was used last.
    next: Option<TensorId>,
}

/// Room on the GPU for a matrix.
struct Place {
    room: Tensor,
    has: Option<TensorId>,
    /// Passed once it is there.
    there: CudaEvent,
    /// Passed once nobody reads it any more.
    free: CudaEvent,
    used: u64,
}

impl Away {
    /// For the models of `device`.
    ///
    /// # Errors
    /// Where the driver gives no second stream.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        let copies = device.cuda_stream().context().new_stream().w()?;
        Ok(Self {
            device: device.clone(),
            copies,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the numbers `bytes` of a matrix in host memory; what is given in its place
    /// stands for it in [`with`](Self::with), and has no numbers.
    fn keep(&self, bytes: &[u8], shape: &Shape, kind: DType) -> Result<Tensor> {
        let driver = Driver::open(self.device.cuda_stream().context().ordinal());
        let driver = driver.map_err(candle_core::Error::wrap)?;
        let mut memory = Pinned::new(&driver, bytes.len()).map_err(candle_core::Error::wrap)?;
        memory.as_mut_slice().copy_from_slice(bytes);
        let stands_for = Tensor::zeros((1, 1), kind, &Device::Cpu)?.broadcast_as(shape)?;
        let held = Held {
            memory,
            shape: shape.clone(),
            kind,
            next: None,
        };
        self.state().held.insert(stands_for.id(), held);
        Ok(stands_for)
    }

    /// Whether `weight` stands for a matrix that is away.
    pub fn has(&self, weight: &Tensor) -> bool {
        weight.device().is_cpu() && self.state().held.contains_key(&weight.id())
    }

    /// Queues `work` with the matrix that `weight` stands for.
    pub fn with<R>(&self, weight: &Tensor, work: impl FnOnce(&Tensor) -> Result<R>) -> Result<R> {
        let mut state = self.state();
        let id = weight.id();
        if let Some(last) = state.last.replace(id)
            && let Some(last) = state.held.get_mut(&last)
        {
            last.next = Some(id);
        }
        let at = self.bring(&mut state, id)?;
        let stream = self.device.cuda_stream();
        let Some(held) = state.held.get(&id) else {
            candle_core::bail!("a matrix is gone from host memory");
        };
        let place = &state.places[at];
        stream.wait(&place.there).w()?;
        let there = place.room.narrow(0, 0, held.shape.elem_count())?;
        let outcome = work(&there.reshape(&held.shape)?);
        // Also where it failed: some of it may be queued.
        state.places[at].free = stream.record_event(None).w()?;
        let result = outcome?;
        let mut coming = id;
        for _ in 0..AHEAD {
            match state.held.get(&coming).and_then(|held| held.next) {
                Some(next) if next != id && state.held.contains_key(&next) => coming = next,
                _ => break,
            }
            self.bring(&mut state, coming)?;
        }
        Ok(result)
    }

    /// The place that matrix `id` has, or is on its way to.
    fn bring(&self, state: &mut State, id: TensorId) -> Result<usize> {
        state.clock += 1;
        let clock = state.clock;
        let State { held, places, .. } = state;
        if let Some(at) = places.iter().position(|p| p.has == Some(id)) {
            places[at].used = clock;
            return Ok(at);
        }
        let Some(matrix) = held.get(&id) else {
            candle_core::bail!("a matrix is gone from host memory");
        };
        let count = matrix.shape.elem_count();
        let at = match places.len() {
            PLACES => (0..PLACES).min_by_key(|at| places[*at].used).unwrap_or(0),
            fewer => {
                places.push(self.place(count, matrix.kind)?);
                fewer
            }
        };
        let place = &mut places[at];
        if place.room.elem_count() < count || place.room.dtype() != matrix.kind {
            // What read the old one is queued before what frees it; what is still on its
            // way to it is not.
            self.copies.synchronize().w()?;
            *place = self.place(count, matrix.kind)?;
        }
        // Nothing is known of it until the copy is queued.
        place.has = None;
        self.copies.wait(&place.free).w()?;
        // SAFETY: the place has as many bytes, nobody reads it once `free` is passed, and
        // the host's stay until both streams were waited for.
        unsafe {
            result::memcpy_htod_async(
                address(&place.room)?,
                matrix.memory.as_slice(),
                self.copies.cu_stream(),
            )
        }
        .w()?;
        place.there = self.copies.record_event(None).w()?;
        place.has = Some(id);
        place.used = clock;
        Ok(at)
    }

    fn place(&self, count: usize, kind: DType) -> Result<Place> {
        let room = room(count, kind, &self.device)?;
        let stream = self.device.cuda_stream();
        Ok(Place {
            room,
            has: None,
            there: self.copies.record_event(None).w()?,
            // It may be written once the work before has made room for it.
            free: stream.record_event(None).w()?,
            used: 0,
        })
    }

    /// Forgets the matrices `ids`, which nobody uses any more.
    fn forget(&self, ids: &[TensorId]) -> Result<()> {
        self.copies.synchronize().w()?;
        self.device.cuda_stream().synchronize().w()?;
        let mut state = self.state();
        for id in ids {
            state.held.remove(id);
        }
        state.last = None;
        for place in &mut state.places {
            place.has = place.has.filter(|id| !ids.contains(id));
        }
        if state.held.is_empty() {
            state.places.clear();
        }
        Ok(())
    }
}

/// Where a model's matrices go: to the GPU as long as there is room.
pub struct Split {
    away: Arc<Away>,
    memory: GpuMemory,
    state: Mutex<Weighed>,
}

#[derive(Default)]
struct Weighed {
    /// Bytes that went to the GPU and stayed away.
    there: u64,
    away: u64,
    ids: Vec<TensorId>,
}

impl Split {
    /// For a model that is about to be loaded, of which `memory` tells.
    ///
    /// # Errors
    /// Where the driver does not tell what is free.
    pub fn new(away: &Arc<Away>, mut memory: GpuMemory) -> Result<Self> {
        away.device.cuda_stream().context().bind_to_thread().w()?;
        let (free, _) = result::mem_get_info().w()?;
        memory.most = match memory.most {
            0 => free as u64,
            most => most.min(free as u64),
        };
        Ok(Self {
            away: Arc::clone(away),
            memory,
            state: Mutex::default(),
        })
    }

    /// Whether the whole model has room beside what it works in.
    fn fits(&self) -> bool {
        self.memory.weights + self.memory.working <= self.memory.most
    }

    /// Keeps the matrix `name` away where there is no room for it. Only those of blocks
    /// are: they are used by [`Away::with`] alone.
    pub fn take(
        &self,
        name: &str,
        shape: &Shape,
        kind: DType,
        bytes: &[u8],
    ) -> Result<Option<Tensor>> {
        let mut weighed = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let size = bytes.len() as u64;
        let is_matrix = shape.rank() == 2
            && name.contains("blocks.")
            && name.ends_with(".weight")
            && matches!(kind, DType::BF16 | DType::F16);
        let places = PLACES as u64 * self.memory.largest;
        let working = GpuMemory::working_in_parts(self.memory.working);
        let full = weighed.there + size + places + working > self.memory.most;
        if self.fits() || !is_matrix || !full {
            weighed.there += size;
            return Ok(None);
        }
        let stands_for = self.away.keep(bytes, shape, kind)?;
        weighed.away += size;
        weighed.ids.push(stands_for.id());
        Ok(Some(stands_for))
    }

    /// Ends the loading: what keeps the model's matrices until it is dropped.
    pub fn finish(&self) -> Kept {
        let weighed = self.weighed();
        if weighed.away > 0 {
            let gb = |bytes: u64| bytes as f64 / 1e9;
            notice(format!(
                "{:.1} GB of the model's {:.1} GB have no room on the GPU: they stay in memory and are brought over for each evaluation",
                gb(weighed.away),
                gb(weighed.away + weighed.there)
            ));
        }
        self.kept(weighed)
    }

    /// What was weighed since this was last asked.
    fn weighed(&self) -> Weighed {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *state)
    }

    fn kept(&self, weighed: Weighed) -> Kept {
        Kept {
            away: Arc::clone(&self.away),
            ids: weighed.ids,
        }
    }
}

impl Drop for Split {
    fn drop(&mut self) {
        // Some where the loading failed on the way.
        drop(self.kept(self.weighed()));
    }
}

/// Matrices of a model that are away.
pub struct Kept {
    away: Arc<Away>,
    ids: Vec<TensorId>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            // Where the device is lost they are lost too.
            let _ = self.away.forget(&self.ids);
        }
    }
}

use std::ffi::c_void;
use std::sync::Arc;

use longtake_kernels::driver::Stream;

use super::emulated::emulated;
use super::*;

fn open_gpu() -> Gpu {
    let device = Device::open(0).unwrap();
    assert!(device.is_emulation());
    Gpu::new(&device).unwrap()
}

#[test]
fn where_others_take_memory_pictures_that_are_kept_make_room() {
    let path = "device::gpu::tests::where_others_take_memory_pictures_that_are_kept_make_room";
    if !emulated(path, &[("MEMORY", "1000000")]) {
        return;
    }
    let mut gpu = open_gpu();
    let pictures: Vec<Arc<Vec<f32>>> = (0..3).map(|i| Arc::new(vec![i as f32; 30_000])).collect();
    for picture in &pictures {
        gpu.picture(picture, picture).unwrap();
    }
    // Somebody else has all that is left.
    let (free, _) = gpu.stream().device().memory().unwrap();
    let other = gpu.stream().room::<u8>(free).unwrap();
    let next = Arc::new(vec![9.0f32; 40_000]);
    let there = gpu.picture(&next, &next).unwrap();
    assert_eq!(gpu.stream().download(&there).unwrap(), *next);
    assert!(gpu.room(30_000).is_ok());
    // Nothing that is kept would help: the one that is in use stays.
    let error = gpu.room(300_000).map(drop).unwrap_err();
    assert!(matches!(error, DeviceError::OutOfMemory { .. }), "{error}");
    assert_eq!(gpu.stream().download(&there).unwrap(), *next);
    drop(other);
    let first = gpu.picture(&pictures[0], &pictures[0]).unwrap();
    assert_eq!(gpu.stream().download(&first).unwrap(), *pictures[0]);
}

#[test]
fn ordinary_memory_may_change_though_the_device_reads_it_itself() {
    let path = "device::gpu::tests::ordinary_memory_may_change_though_the_device_reads_it_itself";
    if !emulated(path, &[("PAGEABLE", "1")]) {
        return;
    }
    let stream = Stream::new(&Device::open(0).unwrap()).unwrap();
    let mut values = vec![1.0f32; 1000];
    let mut buffer = stream.room(1000).unwrap();
    stream.write(&mut buffer, 0, &values).unwrap();
    values.fill(2.0);
    assert_eq!(stream.download(&buffer).unwrap(), vec![1.0; 1000]);
    let uploaded = stream.upload(&vec![3.0f32; 1000]).unwrap();
    assert_eq!(stream.download(&uploaded).unwrap(), vec![3.0; 1000]);
}

#[test]
fn a_thread_has_its_own_context_again() {
    let path = "device::gpu::tests::a_thread_has_its_own_context_again";
    if !emulated(path, &[]) {
        return;
    }
    type Create = unsafe extern "C" fn(*mut *mut c_void, u32, i32) -> i32;
    type Current = unsafe extern "C" fn(*mut *mut c_void) -> i32;
    // SAFETY: the emulation, opened by the name of a driver.
    let driver = unsafe { libloading::Library::new("libcuda.so.1") }.unwrap();
    let current = || {
        let mut context = std::ptr::null_mut();
        // SAFETY: a function of the driver, of that kind.
        assert_eq!(
            unsafe { driver.get::<Current>(b"cuCtxGetCurrent").unwrap()(&mut context) },
            0
        );
        context
    };
    let works = || with(Choice::Gpu, |gpu| gpu.stream().wait()) == Ok(Some(()));
    assert!(works() && current().is_null());
    // A host's that works in one of its own.
    let mut hosts = std::ptr::null_mut();
    // SAFETY: as above.
    assert_eq!(
        unsafe { driver.get::<Create>(b"cuCtxCreate_v2").unwrap()(&mut hosts, 0, 0) },
        0
    );
    assert!(works() && !hosts.is_null());
    assert_eq!(current(), hosts);
}

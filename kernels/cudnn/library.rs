//! cuDNN's library, opened at run time.

use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::{Library as Opened, Symbol};

use super::{CudnnError, Result};

/// cuDNN of version 9.
const NAME: &str = "libcudnn.so.9";
/// The most that cuDNN says of an error that is kept, in bytes.
const MESSAGE: usize = 4096;

/// A descriptor or a handle, as cuDNN hands it out.
pub(super) type Raw = *mut c_void;

macro_rules! functions {
    ($($field:ident = $name:literal ($($argument:ty),*) -> $result:ty;)*) => {
        /// cuDNN's functions that are used here.
        pub struct Library {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
            version: usize,
        }

        impl Library {
            /// # Safety
            /// `library` is cuDNN of version 9.
            unsafe fn new(library: &Opened) -> std::result::Result<Self, libloading::Error> {
                $(
                    // SAFETY: of cuDNN 9 these are the functions' kinds.
                    let $field: Symbol<unsafe extern "C" fn($($argument),*) -> $result> =
                        unsafe { library.get($name) }?;
                )*
                Ok(Self { $($field: *$field,)* version: 0 })
            }
        }
    };
}

functions! {
    get_version = b"cudnnGetVersion\0" () -> usize;
    get_error_string = b"cudnnGetErrorString\0" (i32) -> *const c_char;
    get_last_error_string = b"cudnnGetLastErrorString\0" (*mut c_char, usize) -> ();
    create = b"cudnnCreate\0" (*mut Raw) -> i32;
    destroy = b"cudnnDestroy\0" (Raw) -> i32;
    set_stream = b"cudnnSetStream\0" (Raw, *mut c_void) -> i32;
    create_descriptor = b"cudnnBackendCreateDescriptor\0" (i32, *mut Raw) -> i32;
    destroy_descriptor = b"cudnnBackendDestroyDescriptor\0" (Raw) -> i32;
    set_attribute = b"cudnnBackendSetAttribute\0" (Raw, i32, i32, i64, *const c_void) -> i32;
    get_attribute = b"cudnnBackendGetAttribute\0" (Raw, i32, i32, i64, *mut i64, *mut c_void) -> i32;
    finalize = b"cudnnBackendFinalize\0" (Raw) -> i32;
    execute = b"cudnnBackendExecute\0" (Raw, Raw, Raw) -> i32;
}

impl Library {
    /// The library of this process: the one that is loaded or that the system finds, else
    /// one beside cuBLAS, as PyPI lays them. It stays open.
    ///
    /// # Errors
    /// Where there is none, or it lacks a function.
    pub fn of_process() -> Result<&'static Self> {
        static LIBRARY: OnceLock<Result<&'static Library>> = OnceLock::new();
        LIBRARY
            .get_or_init(|| {
                let first = Self::open(Path::new(NAME));
                match first {
                    Err(CudnnError::Missing) => {}
                    other => return other,
                }
                let found = beside_cublas().into_iter().find(|path| path.is_file());
                found.map_or(first, |path| Self::open(&path))
            })
            .clone()
    }

    /// Opens `path`, for good.
    ///
    /// # Errors
    /// As [`Library::of_process`].
    pub fn open(path: &Path) -> Result<&'static Self> {
        let foreign = |error: libloading::Error| CudnnError::Foreign {
            path: path.display().to_string(),
            why: std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string),
        };
        // SAFETY: NVIDIA's library by its name; what it does when it is opened is its own.
        let opened = unsafe { Opened::new(path) };
        let opened = match opened {
            Ok(opened) => opened,
            // By its bare name it may just not be there.
            Err(_) if path == Path::new(NAME) => return Err(CudnnError::Missing),
            Err(error) => return Err(foreign(error)),
        };
        // SAFETY: its name says the version.
        let mut library = unsafe { Self::new(&opened) }.map_err(foreign)?;
        // SAFETY: takes nothing.
        library.version = unsafe { (library.get_version)() };
        std::mem::forget(opened);
        Ok(Box::leak(Box::new(library)))
    }

    /// cuDNN's version: 91900 is 9.19.0.
    pub fn version(&self) -> usize {
        self.version
    }

    /// What `status` of `call` means.
    pub(super) fn checked(&self, status: i32, call: impl FnOnce() -> String) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut message = vec![0u8; MESSAGE];
        // SAFETY: as many bytes may be written, the last of which ends the text.
        unsafe { (self.get_last_error_string)(message.as_mut_ptr().cast(), message.len()) };
        let text = CStr::from_bytes_until_nul(&message).map(CStr::to_string_lossy);
        // SAFETY: takes any number.
        let name = unsafe { (self.get_error_string)(status) };
        let name = match name.is_null() {
            true => String::new(),
            // SAFETY: a text of the library's own.
            false => unsafe { CStr::from_ptr(name) }
                .to_string_lossy()
                .into_owned(),
        };
        Err(CudnnError::Call {
            call: call(),
            status,
            name,
            text: text.unwrap_or_default().trim().to_owned(),
        })
    }
}

/// Where cuDNN may lie, going by where cuBLAS was found.
fn beside_cublas() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    beside(&maps)
}

fn beside(maps: &str) -> Vec<PathBuf> {
    let files = maps
        .lines()
        .filter_map(|line| Some(&line[line.find('/')?..]));
    let mut folders: Vec<&Path> = files
        .map(Path::new)
        .filter(|file| {
            let name = file.file_name().map(|n| n.to_string_lossy());
            name.is_some_and(|n| n.starts_with("libcublas.so"))
        })
        .filter_map(Path::parent)
        .collect();
    folders.dedup();
    let places = |folder: &Path| [folder.join(NAME), folder.join("../../cudnn/lib").join(NAME)];
    folders.into_iter().flat_map(places).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_for_where_cublas_was_found() {
        let maps = "7f00-7f01 r-xp 00000000 08:01 12 /usr/lib/libc.so.6\n\
            7f02-7f03 r--p 00000000 08:01 13 /a/nvidia/cu13/lib/libcublas.so.13\n\
            7f03-7f04 r-xp 00000000 08:01 13 /a/nvidia/cu13/lib/libcublas.so.13\n\
            7f05-7f06 rw-p 00000000 00:00 0 [heap]\n";
        let found: Vec<_> = beside(maps);
        assert_eq!(
            found,
            [
                PathBuf::from("/a/nvidia/cu13/lib/libcudnn.so.9"),
                PathBuf::from("/a/nvidia/cu13/lib/../../cudnn/lib/libcudnn.so.9"),
            ]
        );
    }

    #[test]
    fn what_is_no_cudnn_is_told_by_its_file() {
        let error = Library::open(Path::new("/proc/self/exe")).err().unwrap();
        assert!(matches!(&error, CudnnError::Foreign { path, .. } if path == "/proc/self/exe"));
    }
}

//! Keeps the library loaded.
//!
//! Envoy unloads a module with its last configuration, unless the configuration says
//! `do_not_close`. We leave threads behind, and code on other stacks: unloaded under them, the
//! process would crash.

use std::ffi::c_void;
use std::ptr;

use crate::abi::ABI_VERSION;

/// Has the loader keep this library until the process ends.
pub(crate) fn keep_loaded() {
    let mut info = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    let here: *const c_void = ABI_VERSION.as_ptr().cast();
    // SAFETY: any address may be asked for; `info` is written only where it is found.
    let found = unsafe { libc::dladdr(here, &raw mut info) } != 0;
    if found && !info.dli_fname.is_null() {
        // SAFETY: the name is the loader's own and NUL-terminated. NOLOAD finds the library that
        // is loaded already, so nothing of it runs; the handle is dropped on purpose.
        unsafe {
            libc::dlopen(
                info.dli_fname,
                libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE,
            );
        }
    }
}

//! WASI preview 1, as far as SDKs' toolchains emit calls to it: no files, no sockets. Standard
//! output becomes log lines; the environment, the clocks and random bytes are real.
//!
//! Unlike in a WASI runtime, `proc_exit` returns, as in Envoy: the guest goes on, which most
//! toolchains follow by a trap.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::time::wall_clock;
use crate::proxy_wasm::abi::Parameter::{self, I32, I64};
use crate::proxy_wasm::limits::MAX_LINE;
use crate::proxy_wasm::memory::{self, Guest};
use crate::proxy_wasm::status::{HostError, Hostcall};
use crate::telemetry::Level;

/// `errno`.
mod errno {
    pub(super) const SUCCESS: u32 = 0;
    pub(super) const TOO_BIG: u32 = 1;
    pub(super) const BADF: u32 = 8;
    pub(super) const FAULT: u32 = 21;
    pub(super) const INVAL: u32 = 28;
    pub(super) const IO: u32 = 29;
    pub(super) const NOENT: u32 = 44;
    pub(super) const NOSYS: u32 = 52;
    pub(super) const NOTDIR: u32 = 20;
    pub(super) const NOTSUP: u32 = 58;
    pub(super) const NOTCAPABLE: u32 = 76;
}

/// What a function answers that the plugin is not given.
pub(in crate::proxy_wasm) const NOT_CAPABLE: u32 = errno::NOTCAPABLE;

/// The most random bytes of one call: what Envoy's host allows.
const MAX_RANDOM: u32 = 65_536;

/// The most parts of one `fd_write`.
const MAX_PARTS: u32 = 1024;

/// Functions that answer the same to everyone: name, parameters, answer.
pub(in crate::proxy_wasm) const CONSTANT: &[(&str, &[Parameter], u32)] = &[
    ("sched_yield", &[], errno::SUCCESS),
    ("fd_advise", &[I32, I64, I64, I32], errno::SUCCESS),
    ("fd_close", &[I32], errno::SUCCESS),
    ("fd_fdstat_set_flags", &[I32; 2], errno::NOSYS),
    ("fd_filestat_get", &[I32; 2], errno::BADF),
    ("fd_pread", &[I32, I32, I32, I64, I32], errno::NOSYS),
    ("fd_prestat_dir_name", &[I32; 3], errno::NOSYS),
    ("fd_prestat_get", &[I32; 2], errno::BADF),
    ("fd_read", &[I32; 4], errno::NOSYS),
    ("fd_seek", &[I32, I64, I32, I32], errno::SUCCESS),
    ("path_create_directory", &[I32; 3], errno::NOTSUP),
    ("path_filestat_get", &[I32; 5], errno::NOTSUP),
    (
        "path_filestat_set_times",
        &[I32, I32, I32, I32, I64, I64, I32],
        errno::NOTSUP,
    ),
    ("path_link", &[I32; 7], errno::NOTSUP),
    (
        "path_open",
        &[I32, I32, I32, I32, I32, I64, I64, I32, I32],
        errno::NOENT,
    ),
    ("path_remove_directory", &[I32; 3], errno::NOTSUP),
    ("path_rename", &[I32; 6], errno::NOTSUP),
    ("path_symlink", &[I32; 5], errno::NOTSUP),
    ("path_unlink_file", &[I32; 3], errno::NOTSUP),
    ("sock_shutdown", &[I32; 2], errno::NOTSUP),
];

/// Functions that are not supported and say of their result that it is 0: name, parameters, which of
/// these points to the result.
pub(in crate::proxy_wasm) const WITHOUT_RESULT: &[(&str, &[Parameter], usize)] = &[
    ("path_readlink", &[I32; 6], 5),
    ("sock_accept", &[I32; 3], 2),
    ("sock_recv", &[I32; 6], 4),
    ("sock_send", &[I32; 5], 4),
];

/// What `WITHOUT_RESULT` answers.
pub(in crate::proxy_wasm) fn without_result(guest: &mut Guest<'_>, out: u32) -> u32 {
    // Also where there is no such memory.
    let _written = memory::write_u32(guest, out, 0);
    errno::NOTSUP
}

/// Functions that answer by their file descriptor alone: 0 for standard output and error.
pub(in crate::proxy_wasm) const BY_DESCRIPTOR: &[(&str, &[Parameter])] = &[
    ("fd_allocate", &[I32, I64, I64]),
    ("fd_datasync", &[I32]),
    ("fd_fdstat_set_rights", &[I32, I64, I64]),
    ("fd_filestat_set_size", &[I32, I64]),
    ("fd_filestat_set_times", &[I32, I64, I64, I32]),
    ("fd_sync", &[I32]),
];

/// What `BY_DESCRIPTOR` answers.
pub(in crate::proxy_wasm) const fn by_descriptor(fd: u32) -> u32 {
    if is_output(fd) {
        errno::SUCCESS
    } else {
        errno::BADF
    }
}

const fn is_output(fd: u32) -> bool {
    matches!(fd, 1 | 2)
}

/// The answer to the guest: an error of memory is `FAULT`.
fn errno(result: Hostcall<u32>) -> wasmtime::Result<u32> {
    match result {
        Ok(errno) => Ok(errno),
        Err(HostError::Status(_)) => Ok(errno::FAULT),
        Err(HostError::Trap(error)) => Err(error),
    }
}

pub(in crate::proxy_wasm) fn fd_write(
    guest: &mut Guest<'_>,
    fd: u32,
    parts: u32,
    count: u32,
    out: u32,
) -> wasmtime::Result<u32> {
    let level = match fd {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Ok(errno::BADF),
    };
    errno(line(guest, parts, count).and_then(|line| {
        let Some(mut line) = line else {
            return Ok(errno::TOO_BIG);
        };
        let written = u32::try_from(line.len()).unwrap_or(u32::MAX);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if written > 0 {
            guest.data_mut().log(level, &line);
        }
        memory::write_u32(guest, out, written)?;
        Ok(errno::SUCCESS)
    }))
}

pub(in crate::proxy_wasm) fn fd_pwrite(
    guest: &mut Guest<'_>,
    fd: u32,
    parts: u32,
    count: u32,
    _offset: u64,
    out: u32,
) -> wasmtime::Result<u32> {
    fd_write(guest, fd, parts, count, out)
}

/// The parts of a write, put together; none if they are too much. They may overlap, so memory does
/// not bound them.
fn line(guest: &mut Guest<'_>, parts: u32, count: u32) -> Hostcall<Option<Vec<u8>>> {
    let table = (count as usize).saturating_mul(8);
    memory::block(guest, parts, table)?;
    if count > MAX_PARTS {
        return Ok(None);
    }
    let mut line = Vec::new();
    for i in 0..count {
        let at = parts.saturating_add(i.saturating_mul(8));
        let ptr = read_u32(guest, at)?;
        let len = read_u32(guest, at.saturating_add(4))?;
        let part = memory::block(guest, ptr, len as usize)?;
        if line.len().saturating_add(part.len()) > MAX_LINE {
            return Ok(None);
        }
        line.extend_from_slice(part);
    }
    Ok(Some(line))
}

fn read_u32(guest: &mut Guest<'_>, ptr: u32) -> Hostcall<u32> {
    let bytes = memory::block(guest, ptr, 4)?;
    Ok(bytes
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes)))
}

pub(in crate::proxy_wasm) fn environ_sizes_get(
    guest: &mut Guest<'_>,
    out_count: u32,
    out_size: u32,
) -> wasmtime::Result<u32> {
    let env = &guest.data().plugin.env;
    let count = u32::try_from(env.len()).unwrap_or(u32::MAX);
    let size: usize = env.iter().map(|variable| variable.len() + 1).sum();
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    errno(both(guest, (out_count, count), (out_size, size)))
}

pub(in crate::proxy_wasm) fn environ_get(
    guest: &mut Guest<'_>,
    out_pointers: u32,
    out_strings: u32,
) -> wasmtime::Result<u32> {
    let plugin = Arc::clone(&guest.data().plugin);
    let (mut pointer, mut string) = (out_pointers, out_strings);
    let mut write = || {
        for variable in &plugin.env {
            memory::write_u32(guest, pointer, string)?;
            memory::write(guest, string, variable.as_bytes())?;
            let len = u32::try_from(variable.len()).unwrap_or(u32::MAX);
            let end = string.saturating_add(len);
            memory::write(guest, end, &[0])?;
            string = end.saturating_add(1);
            pointer = pointer.saturating_add(4);
        }
        Ok(errno::SUCCESS)
    };
    errno(write())
}

pub(in crate::proxy_wasm) fn args_sizes_get(
    guest: &mut Guest<'_>,
    out_count: u32,
    out_size: u32,
) -> wasmtime::Result<u32> {
    errno(both(guest, (out_count, 0), (out_size, 0)))
}

pub(in crate::proxy_wasm) fn args_get(
    _guest: &mut Guest<'_>,
    _out_pointers: u32,
    _out_strings: u32,
) -> wasmtime::Result<u32> {
    Ok(errno::SUCCESS)
}

fn both(guest: &mut Guest<'_>, a: (u32, u32), b: (u32, u32)) -> Hostcall<u32> {
    memory::write_u32(guest, a.0, a.1)?;
    memory::write_u32(guest, b.0, b.1)?;
    Ok(errno::SUCCESS)
}

/// `clockid`.
mod clock {
    pub(super) const REALTIME: u32 = 0;
    pub(super) const MONOTONIC: u32 = 1;
}

pub(in crate::proxy_wasm) fn clock_time_get(
    guest: &mut Guest<'_>,
    clock: u32,
    _precision: u64,
    out: u32,
) -> wasmtime::Result<u32> {
    let now = match clock {
        clock::REALTIME => wall_clock(),
        clock::MONOTONIC => monotonic(),
        _ => return Ok(errno::NOTSUP),
    };
    errno(memory::write_u64(guest, out, now).map(|()| errno::SUCCESS))
}

pub(in crate::proxy_wasm) fn clock_res_get(
    guest: &mut Guest<'_>,
    clock: u32,
    out: u32,
) -> wasmtime::Result<u32> {
    match clock {
        clock::REALTIME | clock::MONOTONIC => {
            errno(memory::write_u64(guest, out, 1).map(|()| errno::SUCCESS))
        }
        _ => Ok(errno::NOTSUP),
    }
}

/// Nanoseconds since this process asked first: where a monotonic clock begins means nothing.
fn monotonic() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(in crate::proxy_wasm) fn random_get(
    guest: &mut Guest<'_>,
    ptr: u32,
    len: u32,
) -> wasmtime::Result<u32> {
    match len {
        0 => return Ok(errno::SUCCESS),
        1..=MAX_RANDOM => {}
        _ => return Ok(errno::INVAL),
    }
    let filled = memory::block(guest, ptr, len as usize).map(|block| {
        if getrandom::fill(block).is_ok() {
            errno::SUCCESS
        } else {
            errno::IO
        }
    });
    errno(filled)
}

pub(in crate::proxy_wasm) fn fd_fdstat_get(
    guest: &mut Guest<'_>,
    fd: u32,
    out: u32,
) -> wasmtime::Result<u32> {
    if !is_output(fd) {
        return Ok(errno::BADF);
    }
    let mut stat = [0_u8; 24];
    // fs_rights_base: the right to write, and no other.
    if let Some(rights) = stat.get_mut(8) {
        *rights = 64;
    }
    // Where it cannot be written is not told, as in Envoy.
    let _written = memory::write(guest, out, &stat);
    Ok(errno::SUCCESS)
}

pub(in crate::proxy_wasm) fn fd_tell(
    guest: &mut Guest<'_>,
    fd: u32,
    out: u32,
) -> wasmtime::Result<u32> {
    if !is_output(fd) {
        return Ok(errno::BADF);
    }
    errno(memory::write_u64(guest, out, 0).map(|()| errno::SUCCESS))
}

pub(in crate::proxy_wasm) fn fd_readdir(
    guest: &mut Guest<'_>,
    _fd: u32,
    _buffer: u32,
    _len: u32,
    _cookie: u64,
    out: u32,
) -> wasmtime::Result<u32> {
    errno(memory::write_u32(guest, out, 0).map(|()| errno::NOTDIR))
}

pub(in crate::proxy_wasm) fn fd_renumber(
    _guest: &mut Guest<'_>,
    from: u32,
    to: u32,
) -> wasmtime::Result<u32> {
    Ok(if is_output(from) && is_output(to) {
        errno::NOTSUP
    } else {
        errno::BADF
    })
}

pub(in crate::proxy_wasm) fn poll_oneoff(
    guest: &mut Guest<'_>,
    _subscriptions: u32,
    _events: u32,
    _count: u32,
    out: u32,
) -> wasmtime::Result<u32> {
    errno(memory::write_u32(guest, out, 0).map(|()| errno::SUCCESS))
}

pub(in crate::proxy_wasm) fn proc_exit(guest: &mut Guest<'_>, code: u32) {
    let log = Arc::clone(&guest.data().plugin.log);
    if log.enabled(Level::Trace) {
        let line = format!("wasm guest called proc_exit({code}), which returns");
        log.write(Level::Trace, line.as_bytes());
    }
}

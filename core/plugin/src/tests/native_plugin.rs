//! A native plugin without any SDK, compiled by the test with `rustc`: the binary interface as
//! the host's documentation describes it. What it does wrong is chosen by `--cfg`.

use std::ffi::c_void;
use std::ptr::null_mut;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const u8,
    len: usize,
}
unsafe impl Sync for Bytes {}

#[repr(C)]
pub struct Buffer {
    data: *mut u8,
    len: usize,
    capacity: usize,
}

#[repr(C)]
pub struct Host {
    abi: u32,
    size: u32,
    state: *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, Bytes, Bytes, *mut Buffer) -> i32,
    free: unsafe extern "C" fn(Buffer),
}

#[repr(C)]
pub struct Plugin {
    abi: u32,
    size: u32,
    wit: Bytes,
    world: Bytes,
    call: unsafe extern "C" fn(Bytes, Bytes, *const Host, *mut Buffer) -> i32,
    free: unsafe extern "C" fn(Buffer),
}
unsafe impl Sync for Plugin {}

const fn bytes(text: &'static str) -> Bytes {
    Bytes { data: text.as_ptr(), len: text.len() }
}

const WIT: &str = if cfg!(other_contract) { "interface types {}" } else { env!("CONTRACT") };
static PLUGIN: Plugin = Plugin {
    abi: if cfg!(other_abi) { 2 } else { 1 },
    size: if cfg!(short) { 8 } else { size_of::<Plugin>() as u32 },
    wit: bytes(WIT),
    world: bytes(if cfg!(other_world) { "hook-plugin" } else { "instruction-plugin" }),
    call,
    free,
};

#[unsafe(no_mangle)]
pub extern "C" fn wharf_plugin_v1() -> *const Plugin {
    if cfg!(no_table) { std::ptr::null() } else { &raw const PLUGIN }
}

unsafe fn ask(host: *const Host, function: &str, input: &[u8]) -> (i32, Vec<u8>) {
    let mut output = Buffer { data: null_mut(), len: 0, capacity: 0 };
    let name = Bytes { data: function.as_ptr(), len: function.len() };
    let input = Bytes { data: input.as_ptr(), len: input.len() };
    unsafe {
        let code = ((*host).call)((*host).state, name, input, &raw mut output);
        if output.data.is_null() {
            return (code, Vec::new());
        }
        let copy = std::slice::from_raw_parts(output.data, output.len).to_vec();
        ((*host).free)(output);
        (code, copy)
    }
}

/// Lines are what the host answered: `arg VERSION`, its codes for an unknown function, for bad
/// input, and for a question from another thread.
unsafe fn plan(host: *const Host) -> Vec<u8> {
    let (code, version) = unsafe { ask(host, "context.arg", b"\x07VERSION") };
    assert_eq!((code, version.first()), (0, Some(&1)), "an option with something in it");
    let address = host as usize;
    let elsewhere = std::thread::spawn(move || unsafe { ask(address as *const Host, "context.user", b"").0 });
    let codes = unsafe {
        [ask(host, "context.nothing", b"").0, ask(host, "context.arg", b"").0, elsewhere.join().unwrap()]
    };
    unsafe { ask(host, "host.log", b"\x05debug\x03hi!") };
    // ok(expand([version, codes]))
    let mut answer = vec![0, 2, 2];
    answer.extend(&version[1..]);
    answer.extend([3, b'0' + codes[0] as u8, b'0' + codes[1] as u8, b'0' + codes[2] as u8]);
    answer
}

unsafe extern "C" fn call(function: Bytes, _: Bytes, host: *const Host, output: *mut Buffer) -> i32 {
    let function = unsafe { std::slice::from_raw_parts(function.data, function.len) };
    let (code, answer) = match function {
        b"introduce" => (0, b"\x05hello\x031.2\x00\x01\x0aops:expand\x04test".to_vec()),
        b"describe" => (0, b"\x01\x05HELLO\x00\x05\x00\x00\x00\x00\x00".to_vec()),
        b"validate-settings" => (0, vec![0]),
        b"plan-instruction" if cfg!(panics) => (1, b"index out of bounds".to_vec()),
        b"plan-instruction" if cfg!(blocks) => loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        },
        b"plan-instruction" if cfg!(garbage) => (0, vec![0, 9, 9, 9]),
        b"plan-instruction" if cfg!(too_large) => (0, vec![0; 17 << 20]),
        b"plan-instruction" => (0, unsafe { plan(host) }),
        other => (2, other.to_vec()),
    };
    let mut answer = std::mem::ManuallyDrop::new(answer);
    let buffer = Buffer { data: answer.as_mut_ptr(), len: answer.len(), capacity: answer.capacity() };
    unsafe { output.write(buffer) };
    code
}

unsafe extern "C" fn free(buffer: Buffer) {
    drop(unsafe { Vec::from_raw_parts(buffer.data, buffer.len, buffer.capacity) });
}

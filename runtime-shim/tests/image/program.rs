//! The program in the tests' images. It understands the words of the fake's containers, and some more for commands:
//! `mount PATH` (a tmpfs), `read PATH`, `link PATH` (where it leads), `write PATH TEXT`, `complain TEXT` (to standard error), `ids`.

use std::{
    env,
    ffi::{CString, c_char, c_ulong, c_void},
    fs,
    io::Write as _,
    process::exit,
    ptr, thread,
    time::Duration,
};

const SIGTERM: i32 = 15;
const SIG_IGN: usize = 1;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn getuid() -> u32;
    fn getgid() -> u32;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> i32;
    fn _exit(code: i32) -> !;
}

extern "C" fn end(_: i32) {
    // SAFETY: allowed in a signal handler.
    unsafe { _exit(0) }
}

fn on_term(handler: usize) {
    // SAFETY: the handler does nothing but what is allowed in one.
    unsafe { signal(SIGTERM, handler) };
}

fn hold() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn main() {
    on_term(end as extern "C" fn(i32) as usize);
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["exit", code] => exit(code.parse().unwrap()),
        ["after", milliseconds, code] => {
            thread::sleep(Duration::from_millis(milliseconds.parse().unwrap()));
            exit(code.parse().unwrap());
        }
        ["say", text] => println!("{text}"),
        ["complain", text] => eprintln!("{text}"),
        ["read", path] => std::io::stdout().write_all(&fs::read(path).unwrap()).unwrap(),
        ["mount", path] => {
            let (kind, path) = (c"tmpfs".as_ptr(), CString::new(*path).unwrap());
            // SAFETY: all pointers are to strings that outlive the call, or null, which stands for no data.
            assert_eq!(unsafe { mount(kind, path.as_ptr(), kind, 0, ptr::null()) }, 0);
        }
        ["link", path] => println!("{}", fs::read_link(path).unwrap().display()),
        ["write", path, text] => fs::write(path, text).unwrap(),
        // SAFETY: these calls cannot fail.
        ["ids"] => println!("{} {}", unsafe { getuid() }, unsafe { getgid() }),
        ["out-of-memory"] => {
            let mut taken: Vec<Vec<u8>> = Vec::new();
            loop {
                taken.push(vec![1; 1 << 20]);
            }
        }
        ["stubborn"] => {
            on_term(SIG_IGN);
            println!("stubborn");
            hold();
        }
        _ => {
            println!("running");
            hold();
        }
    }
}

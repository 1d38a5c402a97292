//! The program in the image of the agent's tests with a real runtime. What it does is its first argument.

use std::{
    env,
    ffi::{c_int, c_ulong, c_void},
    io::{self, BufRead, Read, Write},
    net::TcpListener,
    process::exit,
    thread,
    time::Duration,
};

const SIGTERM: c_int = 15;
const TIOCGWINSZ: c_ulong = 0x5413;

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
    fn ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    fn _exit(code: c_int) -> !;
}

extern "C" fn end(_: c_int) {
    // SAFETY: allowed in a signal handler.
    unsafe { _exit(0) }
}

/// Rows and columns of the terminal on standard input.
fn size() -> [u16; 2] {
    let mut size = [0_u16; 4];
    // SAFETY: the kernel writes four numbers of this size.
    unsafe { ioctl(0, TIOCGWINSZ, size.as_mut_ptr().cast()) };
    [size[0], size[1]]
}

fn main() -> io::Result<()> {
    // SAFETY: the handler does nothing but what is allowed in one.
    unsafe { signal(SIGTERM, end as extern "C" fn(c_int) as usize) };
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // Answers each line, and serves what comes to port 80.
        ["serve"] => {
            let listener = TcpListener::bind("0.0.0.0:80")?;
            thread::spawn(move || listen(&listener));
            println!("serving");
            for line in io::stdin().lines() {
                println!("heard {}", line?);
            }
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        }
        ["cat"] => {
            io::copy(&mut io::stdin(), &mut io::stdout())?;
        }
        ["count"] => println!("{}", io::copy(&mut io::stdin(), &mut io::sink())?),
        ["source", bytes] => {
            let total = bytes.parse().expect("a number");
            io::copy(&mut io::repeat(7).take(total), &mut io::stdout())?;
        }
        ["both", out, error] => {
            print!("{out}");
            eprint!("{error}");
        }
        ["chatter"] => loop {
            println!("{}", "x".repeat(1000));
            thread::sleep(Duration::from_millis(1));
        },
        ["exit", code] => exit(code.parse().expect("a number")),
        ["size"] => {
            while size() == [0, 0] {
                thread::sleep(Duration::from_millis(5));
            }
            let [rows, columns] = size();
            println!("{columns}x{rows}");
        }
        other => panic!("no command {other:?}"),
    }
    io::stdout().flush()
}

/// Sends back each line that comes, until the connection ends.
fn listen(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            let mut writer = stream.try_clone().expect("a second handle");
            for line in io::BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = writeln!(writer, "80:{line}");
                if line == "bye" {
                    return;
                }
            }
        });
    }
}

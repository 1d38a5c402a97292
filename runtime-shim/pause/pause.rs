//! The first process of every pod: it holds the pod's namespaces, buries processes that lost their parent, and ends when
//! asked to.
//!
//! Compiled by the crate's build script, alone, without a standard library: the image is this one file of a few
//! kilobytes. Waiting with all three signals blocked needs no handlers, and also works as process 1, whose signals the
//! kernel drops unless they are handled or blocked. Upstream: `build/pause/linux/pause.c`.
#![no_std]
#![no_main]

use core::{arch::global_asm, panic::PanicInfo};

const SIGINT: usize = 2;
const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
/// The signals above as the kernel's set: bit N-1 for signal N.
const SIGNALS: u64 = 1 << (SIGINT - 1) | 1 << (SIGTERM - 1) | 1 << (SIGCHLD - 1);
const SIG_BLOCK: usize = 0;
const WNOHANG: usize = 1;
const ANY_CHILD: usize = usize::MAX;

#[cfg(target_arch = "x86_64")]
mod arch {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;

    pub fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
        let result;
        // SAFETY: the calls made here read and write only what their arguments point to, which outlives them.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") number as isize => result,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
                lateout("rcx") _, lateout("r11") _,
            );
        }
        result
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    pub const RT_SIGPROCMASK: usize = 135;
    pub const WAIT4: usize = 260;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const EXIT_GROUP: usize = 94;

    pub fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
        let result;
        // SAFETY: the calls made here read and write only what their arguments point to, which outlives them.
        unsafe {
            core::arch::asm!(
                "svc 0",
                in("x8") number, inlateout("x0") a as isize => result,
                in("x1") b, in("x2") c, in("x3") d,
            );
        }
        result
    }
}

use arch::syscall;

// The kernel starts a program with the stack aligned as functions expect it after a call.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor %ebp, %ebp", "call {main}", main = sym main, options(att_syntax));
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "bl {main}", main = sym main);

extern "C" fn main() -> ! {
    let set = &raw const SIGNALS_IN_MEMORY as usize;
    syscall(arch::RT_SIGPROCMASK, SIG_BLOCK, set, 0, size_of::<u64>());
    loop {
        let signal = syscall(arch::RT_SIGTIMEDWAIT, set, 0, 0, size_of::<u64>());
        if signal == SIGINT as isize || signal == SIGTERM as isize {
            exit(0);
        }
        // Signals of one kind are not counted, so all dead are buried at once.
        while syscall(arch::WAIT4, ANY_CHILD, 0, WNOHANG, 0) > 0 {}
    }
}

static SIGNALS_IN_MEMORY: u64 = SIGNALS;

fn exit(code: usize) -> ! {
    loop {
        syscall(arch::EXIT_GROUP, code, 0, 0, 0);
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(1)
}

//! Descriptors whose closing waits do not delay a server, whether or not the kernel refuses to pass them.

use std::process::Command;
use std::time::Duration;

use ivshmem_conformance::{checkout, skip};
use ivshmem_vmtest::{Guest, Program, can_run};

const SERVER: &str = "ivshmem-server";
const LINGER: &str = "vmtest-linger";
const SECONDS: &str = "IVSHMEM_SOAK_SECONDS";

/// A few seconds with a limit against hanging in every run; long and with goals in `make soak`.
fn arguments() -> (u64, Vec<String>) {
    let soak = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    let seconds: u64 = soak.unwrap_or(5);
    let goals = soak.map(|_| "--goals".to_owned());
    (seconds, [seconds.to_string()].into_iter().chain(goals).collect())
}

#[test]
fn lingering_descriptors_hold_up_no_newcomer_on_this_kernel() {
    if !rustix::process::geteuid().is_root() {
        return skip("lingering_descriptors_hold_up_no_newcomer_on_this_kernel", "needs root");
    }
    for refused in [&[][..], &["--refused"]] {
        let output = Command::new(checkout::built(LINGER))
            .arg(checkout::built(SERVER))
            .args(arguments().1)
            .args(refused)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("this kernel {refused:?}: {text}");
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn lingering_descriptors_hold_up_no_newcomer_on_a_kernel_that_lets_them_through() {
    if !can_run("lingering_descriptors_hold_up_no_newcomer_on_a_kernel_that_lets_them_through") {
        return;
    }
    let guest = Guest::builder("linger")
        .memory(512)
        .program(checkout::built(SERVER))
        .program(checkout::built(LINGER))
        .boot()
        .unwrap();
    guest.sh("ifconfig lo up").unwrap();
    let kernel = guest.sh("uname -r").unwrap();
    for refused in [&[][..], &["--refused"]] {
        let (seconds, arguments) = arguments();
        let program = Program::new("/bin/vmtest-linger").arg("/bin/ivshmem-server").args(arguments);
        let program = program.args(refused.iter().copied()).limit(Duration::from_secs(300 + 2 * seconds));
        let text = guest.run(program).unwrap();
        println!("kernel {} {refused:?}: {text}", kernel.trim());
        assert!(text.contains("kept_out: 0,") && !text.contains("sent: 0,"), "{text}");
    }
    guest.power_off().unwrap();
}

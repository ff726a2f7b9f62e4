//! Verbs that exist on Linux only. They are defined here so that their errors name the system that has them.

/// Defines a verb that accepts any arguments and returns an error with the reason why Windows does not have it.
macro_rules! absent {
    ($verb:ident, $arguments:ident, $about:literal, $why:literal) => {
        pub(crate) mod $verb {
            use std::ffi::OsString;

            use crate::failure::Failure;
            use crate::output::Out;

            #[doc = $about]
            #[derive(clap::Args, Debug)]
            pub(crate) struct $arguments {
                #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
                _rest: Vec<OsString>,
            }

            impl $arguments {
                pub(crate) fn run(&self, _: &mut Out) -> Result<(), Failure> {
                    Err(Failure::LinuxOnly { verb: stringify!($verb), why: $why })
                }
            }
        }
    };
}

absent!(serve, Serve, "On a Linux host: run a server", "servers run on the Linux host, as QEMU does");
absent!(
    create,
    Create,
    "On a Linux host: create a file that is shared memory",
    "the memory is made on the Linux host, by `ivshmem create` or by a server"
);
absent!(status, Status, "On a Linux host: show the state of a server", "servers run on the Linux host");
absent!(
    bind,
    Bind,
    "In a Linux guest: give a device to the driver vfio-pci",
    "on Windows virtio-win's driver gives interrupts to programs, and nothing needs to be bound"
);
absent!(
    setup,
    Setup,
    "In a Linux guest: prepare its devices for a group of users",
    "on Windows virtio-win's installer prepares the devices"
);

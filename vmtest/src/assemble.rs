//! Converts the description of a guest to an initramfs and options of QEMU.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::packages::name;
use crate::qemu::{self, Accelerator};
use crate::{Error, GuestBuilder, Iommu, Packages};

const INIT: &str = include_str!("guest_files/init");
const AGENT: &str = include_str!("guest_files/agent.service");

/// Modules for the agent's connection to the host.
const LINE: &[&str] = &["virtio_pci", "virtio_console"];
/// Modules for receiving interrupts.
const VFIO: &[&str] = &["vfio-pci", "vfio_iommu_type1"];
/// Modules for a root file system of Debian.
const DISK: &[&str] = &["virtio_blk", "crc32c_generic", "ext4"];
/// Modules that udev and systemd of such a system load.
const LOADED: &[&str] = &["vfio-pci", "vfio_iommu_type1", "autofs4"];
/// Modules for mounting directories of the host.
const SHARES: &[&str] = &["9p", "9pnet_virtio"];

/// PCI slot of the connection to the agent; the directories of the host have the following ones.
const FIRST_OTHER: u32 = 0x10;

impl GuestBuilder {
    /// Writes QEMU's input files to `folder` and returns QEMU's options.
    pub(crate) fn assemble(mut self, packages: &Packages, folder: &Path) -> Result<Vec<String>, Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let initrd = folder.join("initrd");
        self.fill(packages)?;
        let written = File::create(&initrd).and_then(|file| {
            self.files.write(std::io::BufWriter::new(&file))?;
            file.metadata()
        });
        let size = written.map_err(Error::host(initrd.display().to_string()))?.len();
        // The archive, and its content in a file system that takes at most half of the memory.
        let memory = (u64::from(self.memory) + 3 * (size >> 20)).to_string();

        let accelerator = Accelerator::choose(packages)?;
        let machine = match accelerator {
            // KVM's in-kernel interrupt controller does not support remapping.
            Accelerator::Kvm if self.iommu != Iommu::None => format!("{},kernel-irqchip=split", self.machine),
            _ => self.machine.clone(),
        };
        // With only one possible processor, TCG does not make locked instructions atomic with respect to other processes.
        let mut options: Vec<String> =
            ["-M", &machine, "-m", &memory, "-smp", "1,maxcpus=2"].map(String::from).to_vec();
        options.extend(accelerator.options().map(String::from));
        match self.iommu {
            Iommu::Intel => options.extend(["-device", "intel-iommu"].map(String::from)),
            Iommu::IntelWithoutRemapping => {
                options.extend(["-device", "intel-iommu,intremap=off"].map(String::from));
            }
            Iommu::None => {}
        }
        options.append(&mut self.options);
        options.extend(share_options(&self.shares));

        let mut arguments = "console=ttyS0 quiet panic=-1".to_owned();
        if self.shell {
            arguments.push_str(" vmtest.shell");
        }
        for argument in &self.arguments {
            arguments = format!("{arguments} {argument}");
        }
        options.extend(qemu::boot_options(&packages.kernel(), &initrd, &arguments));
        Ok(options)
    }

    /// Adds everything that each guest has.
    fn fill(&mut self, packages: &Packages) -> Result<(), Error> {
        let mut wanted = LINE.to_vec();
        if self.vfio {
            wanted.extend(VFIO);
        }
        if !self.shares.is_empty() {
            wanted.extend(SHARES);
        }
        if self.debian {
            wanted.extend(DISK);
            self.files.file("vmtest/agent.service", AGENT.as_bytes().to_vec(), 0o644);
            for (place, file) in packages.module_tree(LOADED)? {
                self.files.host_file(&format!("vmtest/tree/{}", place.display()), &file)?;
            }
        }
        let mut order = String::new();
        for path in packages.modules(&wanted)? {
            let name = name(&path.to_string_lossy()).to_owned();
            self.files.host_file(&format!("vmtest/modules/{name}.ko"), &path)?;
            order.push_str(&name);
            order.push('\n');
        }
        self.files.file("vmtest/module-order", order.into_bytes(), 0o644);
        let shares: Vec<_> =
            self.shares.iter().enumerate().map(|(i, (_, place))| format!("share{i} {place}\n")).collect();
        self.files.file("vmtest/shares", shares.concat().into_bytes(), 0o644);
        self.files.host_file("bin/busybox", &packages.busybox())?;
        self.files.file("init", INIT.as_bytes().to_vec(), 0o755);
        self.files.program("vmtest/agent", &agent()?)?;
        for folder in ["proc", "sys", "dev", "tmp", "root", "share", "usr"] {
            self.files.directory(folder);
        }
        // Paths of Debian's C library for 32-bit programs on a 64-bit system.
        for (place, target) in [("lib32", "/usr/lib32"), ("lib/ld-linux.so.2", "/usr/lib/ld-linux.so.2")] {
            self.files.link_unless_there(place, target);
        }
        Ok(())
    }
}

/// QEMU's options for directories of the host.
fn share_options(shares: &[(PathBuf, String)]) -> Vec<String> {
    let mut options = Vec::new();
    for (i, ((path, _), place)) in shares.iter().zip(FIRST_OTHER + 1..).enumerate() {
        let path = path.display();
        options.push("-fsdev".to_owned());
        options
            .push(format!("local,id=share{i},path={path},security_model=none,readonly=on,multidevs=remap"));
        options.push("-device".to_owned());
        options.push(format!("virtio-9p-pci,fsdev=share{i},mount_tag=share{i},addr={place:#x}"));
    }
    options
}

/// QEMU's options for the connection to the agent, for which QEMU connects to `socket`.
pub(crate) fn line_options(socket: &Path) -> Vec<String> {
    [
        "-chardev",
        &format!("socket,id=agent,path={}", socket.display()),
        "-device",
        &format!("virtio-serial-pci,addr={FIRST_OTHER:#x}"),
        "-device",
        &format!("virtserialport,chardev=agent,name={},nr=1", crate::protocol::PORT),
    ]
    .map(String::from)
    .to_vec()
}

/// The agent's program: cargo places it next to the programs and one level above the tests of the same profile.
fn agent() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::host("the path of this program"))?;
    let places = own.ancestors().skip(1).take(2).map(|folder| folder.join("vmtest-agent"));
    places.into_iter().find(|path| path.exists()).ok_or_else(|| Error::Missing {
        what: format!("no vmtest-agent next to {}", own.display()),
        remedy: "run cargo build --package ivshmem-vmtest",
    })
}

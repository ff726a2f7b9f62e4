//! The description of a guest: its devices, files and programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::initramfs::Initramfs;
use crate::qemu;
use crate::{Error, Guest, Packages, guest};

/// The guest's IOMMU, without which it cannot receive interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Iommu {
    /// An Intel IOMMU.
    #[default]
    Intel,
    /// An Intel IOMMU that does not remap interrupts.
    IntelWithoutRemapping,
    /// No IOMMU.
    None,
}

/// Describes a guest and boots it.
#[derive(Debug)]
#[must_use]
pub struct GuestBuilder {
    pub(crate) name: String,
    pub(crate) machine: String,
    pub(crate) memory: u32,
    pub(crate) iommu: Iommu,
    pub(crate) vfio: bool,
    pub(crate) debian: bool,
    pub(crate) devices: u32,
    pub(crate) options: Vec<String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) shares: Vec<(PathBuf, String)>,
    pub(crate) files: Initramfs,
    pub(crate) error: Option<Error>,
    pub(crate) shell: bool,
}

/// PCI slot of the first ivshmem device: it is at 0000:00:05.0, the next one at 0000:00:06.0.
const FIRST_DEVICE: u32 = 0x5;
/// PCI slot of a disk, below that of the connection to the agent.
const DISK_PLACE: u32 = 0xf;
/// A limit against hanging: a boot takes two to five seconds, and with Debian about twenty.
const BOOT_LIMIT: Duration = Duration::from_secs(300);

impl GuestBuilder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            machine: "q35".to_owned(),
            memory: 256,
            iommu: Iommu::default(),
            vfio: true,
            debian: false,
            devices: 0,
            options: Vec::new(),
            arguments: Vec::new(),
            shares: Vec::new(),
            files: Initramfs::default(),
            error: None,
            shell: false,
        }
    }

    /// Adds an ivshmem device with `vectors` interrupts, as a client of the server at `socket`. The first device is at
    /// 0000:00:05.0, the next one at 0000:00:06.0, and so on.
    pub fn doorbell(self, socket: impl AsRef<Path>, vectors: u16) -> Self {
        let id = format!("doorbell{}", self.devices);
        let chardev = format!("socket,id={id},path={}", socket.as_ref().display());
        let device = format!("ivshmem-doorbell,vectors={vectors},chardev={id}");
        self.options(["-chardev", &chardev]).ivshmem(&device)
    }

    /// Adds an ivshmem device without interrupts: the file `path` of `size` bytes, a power of two.
    pub fn plain(self, path: impl AsRef<Path>, size: u64) -> Self {
        let id = format!("plain{}", self.devices);
        let backend =
            format!("memory-backend-file,id={id},share=on,mem-path={},size={size}", path.as_ref().display());
        self.options(["-object", &backend]).ivshmem(&format!("ivshmem-plain,memdev={id}"))
    }

    /// Sets the IOMMU; default Intel's.
    pub fn iommu(mut self, iommu: Iommu) -> Self {
        self.iommu = iommu;
        self
    }

    /// Sets QEMU's machine type; default q35. Other types have no IOMMU.
    pub fn machine(mut self, machine: &str) -> Self {
        machine.clone_into(&mut self.machine);
        self
    }

    /// Sets the memory in MiB, in addition to that for the guest's files; default 256. A JVM needs 512.
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Leaves out the VFIO modules, as in a guest that has not loaded them.
    pub fn without_vfio(mut self) -> Self {
        self.vfio = false;
        self
    }

    /// Adds a program of the host and the libraries that it needs, under its own name in `/bin`.
    pub fn program(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let place = format!("bin/{}", path.file_name().unwrap_or_default().to_string_lossy());
        self.add(|files| files.program(&place, path))
    }

    /// Adds a file of the host.
    pub fn host_file(self, place: &str, path: impl AsRef<Path>) -> Self {
        self.add(|files| files.host_file(place, path.as_ref()))
    }

    /// Adds a file with this content.
    pub fn file(self, place: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.add(|files| {
            files.file(place, bytes.into(), 0o644);
            Ok(())
        })
    }

    /// Mounts the host's directory `path` read-only at `place`, which must be below `/share` for programs with another
    /// root.
    pub fn share(mut self, path: impl Into<PathBuf>, place: &str) -> Self {
        self.shares.push((path.into(), place.to_owned()));
        self
    }

    /// Mounts the host's `/usr` read-only, with all programs and JDKs. This adds two seconds to the boot.
    pub fn host_programs(self) -> Self {
        let mut this = self.share("/usr", "/usr");
        this.files.host_links("etc/alternatives");
        // Debian's JDKs keep their configuration here.
        for entry in std::fs::read_dir("/etc").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("java-") {
                this = this.add(|files| files.host_folder(&format!("etc/{name}"), &entry.path()));
            }
        }
        this
    }

    /// Mounts a root with 32-bit programs and OpenJDK 17 at `/i386`, for `Program::root`.
    pub fn root_32(mut self) -> Self {
        match Packages::find().and_then(|packages| packages.root_32()) {
            Ok(root) => self.share(root, "/i386"),
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Boots Debian with systemd, udev and the kernel's modules for VFIO, from a disk that keeps changes over reboots,
    /// until QEMU ends. udev loads the VFIO modules, so the guest starts without them; of the content added by `program`
    /// and `file`, only that in `/vmtest` is available. The boot takes 15 seconds and needs 512 MiB.
    pub fn debian(mut self) -> Self {
        match Packages::find().and_then(|packages| packages.debian()) {
            Ok(disk) => {
                self.debian = true;
                // The tests need none of these, and each delays the boot.
                for unit in
                    ["networkd", "resolved", "timesyncd", "journal-flush", "random-seed", "update-utmp"]
                {
                    self.arguments.push(format!("systemd.mask=systemd-{unit}.service"));
                }
                self.arguments.push("systemd.mask=serial-getty@ttyS0.service".to_owned());
                let drive = format!("file={},format=raw,if=none,id=debian,snapshot=on", disk.display());
                let device = format!("virtio-blk-pci,drive=debian,addr={DISK_PLACE:#x}");
                self.without_vfio().options(["-drive", &drive, "-device", &device])
            }
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Adds a kernel argument.
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Adds QEMU options.
    pub fn options(mut self, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Boots the guest, and returns when programs can run in it.
    ///
    /// # Errors
    /// `Missing` when this machine cannot run guests; `Host` and `Guest` when this guest cannot be started.
    pub fn boot(self) -> Result<Guest, Error> {
        let packages = Packages::find()?;
        let name = self.name.clone();
        let folder = guest::Folder::new(&name)?;
        let options = self.assemble(&packages, folder.path())?;
        Guest::start(name, folder, &options, BOOT_LIMIT)
    }

    /// Runs the guest with a shell on this terminal, until the guest powers off.
    ///
    /// # Errors
    /// Those of `boot`.
    pub fn shell(mut self) -> Result<(), Error> {
        self.shell = true;
        let packages = Packages::find()?;
        let folder = guest::Folder::new(&self.name)?;
        let mut command = qemu::command(self.assemble(&packages, folder.path())?);
        command.args(["-serial", "mon:stdio"]).stdin(std::process::Stdio::inherit());
        let mut child = qemu::spawn(command).map_err(Error::host("qemu"))?;
        child.wait().map(drop).map_err(Error::host("qemu"))
    }

    fn ivshmem(mut self, device: &str) -> Self {
        let place = format!("{device},addr={:#x}", FIRST_DEVICE + self.devices);
        self.devices += 1;
        self.options(["-device", &place])
    }

    fn add(mut self, what: impl FnOnce(&mut Initramfs) -> Result<(), Error>) -> Self {
        if let Err(error) = what(&mut self.files) {
            self.error.get_or_insert(error);
        }
        self
    }
}

//! What a guest is made of: its devices, its files, its programs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::initramfs::Initramfs;
use crate::packages::name;
use crate::qemu::{self, Accelerator};
use crate::{Error, Guest, Packages, guest};

/// Whether the guest has an IOMMU, without which it cannot receive interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Iommu {
    /// Intel's.
    #[default]
    Intel,
    /// Intel's, which does not remap interrupts.
    IntelWithoutRemapping,
    /// None.
    None,
}

/// Describes a guest and boots it.
#[derive(Debug)]
#[must_use]
pub struct GuestBuilder {
    name: String,
    machine: String,
    memory: u32,
    iommu: Iommu,
    vfio: bool,
    devices: u32,
    options: Vec<String>,
    arguments: Vec<String>,
    shares: Vec<(PathBuf, String)>,
    files: Initramfs,
    error: Option<Error>,
    shell: bool,
}

const INIT: &str = include_str!("guest_files/init");

/// What lets the agent talk to the host.
const LINE: &[&str] = &["virtio_pci", "virtio_console"];
/// What receives interrupts.
const VFIO: &[&str] = &["vfio-pci", "vfio_iommu_type1"];
/// What mounts folders of the host.
const SHARES: &[&str] = &["9p", "9pnet_virtio"];

/// The first ivshmem device is at 0000:00:05.0, the next at 0000:00:06.0.
const FIRST_DEVICE: u32 = 0x5;
/// Where the line to the agent is, and after it the folders of the host.
const FIRST_OTHER: u32 = 0x10;

/// A boot takes two to five seconds; this is against hanging.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

impl GuestBuilder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            machine: "q35".to_owned(),
            memory: 256,
            iommu: Iommu::default(),
            vfio: true,
            devices: 0,
            options: Vec::new(),
            arguments: Vec::new(),
            shares: Vec::new(),
            files: Initramfs::default(),
            error: None,
            shell: false,
        }
    }

    /// Adds an ivshmem device with `vectors` interrupts, a client of the server at `socket`. The first device is at
    /// 0000:00:05.0, the next at 0000:00:06.0 and so on.
    pub fn doorbell(self, socket: impl AsRef<Path>, vectors: u16) -> Self {
        let id = format!("doorbell{}", self.devices);
        let chardev = format!("socket,id={id},path={}", socket.as_ref().display());
        let device = format!("ivshmem-doorbell,vectors={vectors},chardev={id}");
        self.options(["-chardev", &chardev]).ivshmem(&device)
    }

    /// Adds an ivshmem device without interrupts: the file `path`, of `size` bytes, a power of two.
    pub fn plain(self, path: impl AsRef<Path>, size: u64) -> Self {
        let id = format!("plain{}", self.devices);
        let backend =
            format!("memory-backend-file,id={id},share=on,mem-path={},size={size}", path.as_ref().display());
        self.options(["-object", &backend]).ivshmem(&format!("ivshmem-plain,memdev={id}"))
    }

    /// Which IOMMU it has; Intel's, unless said otherwise.
    pub fn iommu(mut self, iommu: Iommu) -> Self {
        self.iommu = iommu;
        self
    }

    /// QEMU's machine; q35 unless said otherwise. No other has an IOMMU.
    pub fn machine(mut self, machine: &str) -> Self {
        machine.clone_into(&mut self.machine);
        self
    }

    /// Memory in MiB, beside that for its files: 256 unless said otherwise, a JVM needs 512.
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Leaves the modules of VFIO out, as in a guest where nobody has loaded them.
    pub fn without_vfio(mut self) -> Self {
        self.vfio = false;
        self
    }

    /// Puts a program of the host into the guest, with the libraries that it needs: by its name, in `/bin`.
    pub fn program(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let place = format!("bin/{}", path.file_name().unwrap_or_default().to_string_lossy());
        self.add(|files| files.program(&place, path))
    }

    /// Puts a file of the host into the guest.
    pub fn host_file(self, place: &str, path: impl AsRef<Path>) -> Self {
        self.add(|files| files.host_file(place, path.as_ref()))
    }

    /// Puts a file into the guest.
    pub fn file(self, place: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.add(|files| {
            files.file(place, bytes.into(), 0o644);
            Ok(())
        })
    }

    /// The host's folder `path`, to be read at `place`, which is below `/share` if programs with another root want it.
    pub fn share(mut self, path: impl Into<PathBuf>, place: &str) -> Self {
        self.shares.push((path.into(), place.to_owned()));
        self
    }

    /// The host's `/usr`, to be read, with all programs and JDKs. Costs two seconds.
    pub fn host_programs(self) -> Self {
        let mut this = self.share("/usr", "/usr");
        this.files.host_links("etc/alternatives");
        // Debian's JDKs have their configuration here.
        for entry in std::fs::read_dir("/etc").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("java-") {
                this = this.add(|files| files.host_folder(&format!("etc/{name}"), &entry.path()));
            }
        }
        this
    }

    /// At `/i386`, a root of 32-bit programs with OpenJDK 17, for `Program::root`.
    pub fn root_32(mut self) -> Self {
        match Packages::find().and_then(|packages| packages.root_32()) {
            Ok(root) => self.share(root, "/i386"),
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Adds an argument of the kernel.
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Adds options of QEMU.
    pub fn options(mut self, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// Boots it, and returns when programs can be run in it.
    ///
    /// # Errors
    /// `Missing` when this machine cannot run guests; `Host` and `Guest` when this one cannot be started.
    pub fn boot(self) -> Result<Guest, Error> {
        let packages = Packages::find()?;
        let name = self.name.clone();
        let folder = guest::Folder::new(&name)?;
        let options = self.write(&packages, folder.path())?;
        Guest::start(name, folder, &options, BOOT_LIMIT)
    }

    /// Runs it with a shell on this terminal, until the guest is powered off.
    ///
    /// # Errors
    /// As `boot`.
    pub fn shell(mut self) -> Result<(), Error> {
        self.shell = true;
        let packages = Packages::find()?;
        let folder = guest::Folder::new(&self.name)?;
        let mut command = qemu::command(self.write(&packages, folder.path())?);
        command.args(["-serial", "mon:stdio"]).stdin(std::process::Stdio::inherit());
        let mut child = qemu::spawn(command).map_err(Error::host("qemu"))?;
        child.wait().map(drop).map_err(Error::host("qemu"))
    }

    /// Writes what QEMU needs into `folder`; returns its options.
    fn write(mut self, packages: &Packages, folder: &Path) -> Result<Vec<String>, Error> {
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
        // The archive, and what it unpacks to in a file system that takes half of the memory at most.
        let memory = (u64::from(self.memory) + 3 * (size >> 20)).to_string();

        let accelerator = Accelerator::choose(packages)?;
        let machine = match accelerator {
            // KVM's own interrupt controller cannot be remapped.
            Accelerator::Kvm if self.iommu != Iommu::None => format!("{},kernel-irqchip=split", self.machine),
            _ => self.machine.clone(),
        };
        // With one possible processor, the translator does not make locked instructions atomic towards other processes.
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

    /// Everything that each guest has.
    fn fill(&mut self, packages: &Packages) -> Result<(), Error> {
        let mut wanted = LINE.to_vec();
        if self.vfio {
            wanted.extend(VFIO);
        }
        if !self.shares.is_empty() {
            wanted.extend(SHARES);
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
        // Debian's C library for 32-bit programs on a 64-bit system.
        for (place, target) in [("lib32", "/usr/lib32"), ("lib/ld-linux.so.2", "/usr/lib/ld-linux.so.2")] {
            self.files.link_unless_there(place, target);
        }
        Ok(())
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

/// Options for the line to the agent and for folders of the host.
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

/// Options for the line to the agent, on which QEMU connects to `socket`.
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

/// The agent's program: cargo puts it beside the programs and above the tests of the same profile.
fn agent() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::host("the path of this program"))?;
    let places = own.ancestors().skip(1).take(2).map(|folder| folder.join("vmtest-agent"));
    places.into_iter().find(|path| path.exists()).ok_or_else(|| Error::Missing {
        what: format!("no vmtest-agent beside {}", own.display()),
        remedy: "run cargo build --package ivshmem-vmtest",
    })
}

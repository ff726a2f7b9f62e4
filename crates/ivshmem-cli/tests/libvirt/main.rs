//! Inserts the elements that the doctor prints unchanged into machines of a real libvirt.
#![expect(clippy::disallowed_methods, reason = "the folders of tests are changed by nobody else")]
#![expect(clippy::unwrap_used, reason = "this is test code")]

mod daemon;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ivshmem_conformance::checkout;
use ivshmem_conformance::huge_pages::HugePages;
use ivshmem_conformance::skip;
use ivshmem_server::Server;
use tempfile::TempDir;

use daemon::{Description, Libvirt, Machine, missing};

/// Names that need quoting in XML or in QEMU's options.
const NAMES: [&str; 5] = ["x", "a b", "a&b<", "a'b", "a,b\"é"];

/// A file in /dev/shm, where `<shmem>` finds it. Removed on drop.
struct Shm(PathBuf);

impl Shm {
    fn new(name: &str, size: u64, mode: u32) -> Self {
        let shm = Self(PathBuf::from(format!("/dev/shm/ivshmem-libvirt.{}.{name}", std::process::id())));
        make(&shm.0, size, mode);
        shm
    }

    fn target(&self) -> String {
        format!("plain:{}", self.0.display())
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn make(path: &Path, size: u64, mode: u32) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
}

/// The doctor's output for libvirt.
#[derive(Default)]
struct Advice {
    devices: String,
    domain: String,
    once_devices: String,
    once_features: String,
}

impl Advice {
    #[track_caller]
    fn of(libvirt: &Libvirt, target: &str, options: &[&str]) -> Self {
        let (status, text) = libvirt.doctor(target, options);
        assert_eq!(status, Some(0), "{text}");
        Self::read(&text)
    }

    fn read(text: &str) -> Self {
        let block = |heading: &str| {
            let lines = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
            let body: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
            body.join("\n")
        };
        Self {
            devices: block("libvirt, inside <devices>:"),
            domain: block("libvirt, inside <domain "),
            once_devices: block("libvirt, once for a q35 machine, inside <devices>:"),
            once_features: block("libvirt, once for a q35 machine, inside <features>:"),
        }
    }

    /// Starts the machine with all of these elements.
    #[track_caller]
    fn paste<'a>(&self, libvirt: &'a Libvirt, machine: &str, user: &str) -> Machine<'a> {
        self.try_to_paste(libvirt, machine, user)
            .unwrap_or_else(|why| panic!("{machine} as {user}: {} {}: {why}", self.devices, self.domain))
    }

    fn try_to_paste<'a>(
        &self,
        libvirt: &'a Libvirt,
        machine: &str,
        user: &str,
    ) -> Result<Machine<'a>, String> {
        let once = if machine == "q35" { self } else { &Self::default() };
        let devices = format!("{}\n{}", self.devices, once.once_devices);
        let features = &once.once_features;
        let description = Description {
            user,
            devices: &devices,
            features,
            domain: &self.domain,
            ..Description::of(machine)
        };
        libvirt.create(&description)
    }

    fn slot(&self) -> &str {
        self.devices.split("slot='").nth(1).unwrap().split('\'').next().unwrap()
    }
}

#[test]
fn what_is_printed_is_taken_by_machines_of_libvirt() {
    let test = "what_is_printed_is_taken_by_machines_of_libvirt";
    if let Some(why) = missing() {
        return skip(test, why);
    }
    let libvirt = Libvirt::start();
    let elsewhere = TempDir::with_prefix_in("ivshmem-libvirt & ", "/var/tmp").unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let plain = |target: &str, machine: &str, user: &str| {
        let advice = Advice::of(&libvirt, target, &["--qemu-user", user]);
        assert_eq!(advice.paste(&libvirt, machine, user).count("ivshmem-plain"), 1, "{target}");
        advice
    };
    for (name, (machine, user)) in NAMES.iter().zip([
        ("q35", "libvirt-qemu"),
        ("pc", "libvirt-qemu"),
        ("q35", "root"),
        ("pc", "root"),
        ("q35", "libvirt-qemu"),
    ]) {
        let shm = Shm::new(name, 1 << 20, 0o666);
        assert!(plain(&shm.target(), machine, user).devices.contains("<shmem "));
        // libvirt refuses a smaller one.
        let small = Shm::new(&format!("{name}.small"), 512 << 10, 0o666);
        assert!(plain(&small.target(), machine, user).domain.contains("below 1 MiB"));
        let file = elsewhere.path().join(name);
        make(&file, 1 << 20, 0o666);
        plain(&format!("plain:{}", file.display()), machine, user);
        let socket = elsewhere.path().join(format!("{name}.sock"));
        let _server = Server::builder(&socket).size(4096).vectors(2).mode(0o666).start().unwrap();
        let advice = Advice::of(&libvirt, &format!("doorbell:{}", socket.display()), &["--qemu-user", user]);
        let started = advice.paste(&libvirt, machine, user);
        let iommus = usize::from(machine == "q35");
        assert_eq!((started.count("ivshmem-doorbell"), started.count("intel-iommu")), (1, iommus));
    }
    huge_pages(&libvirt, elsewhere.path());
    several(&libvirt, elsewhere.path());
    plugged_in(&libvirt, elsewhere.path());
    judged_as_the_user_of_machines(&libvirt);
    given_by_libvirts_profile(&libvirt);
    documented(&libvirt, elsewhere.path());
}

/// As the doctor reports for AppArmor: libvirt's rules for a machine contain the file of a `<shmem>`, and no other file.
fn given_by_libvirts_profile(libvirt: &Libvirt) {
    let shm = [Shm::new("profile", 1 << 20, 0o666), Shm::new("profile.small", 4096, 0o666)];
    for (shm, is_given) in shm.iter().zip([true, false]) {
        let advice = Advice::of(libvirt, &shm.target(), &[]);
        let description =
            Description { devices: &advice.devices, domain: &advice.domain, ..Description::of("q35") };
        let rules = libvirt.apparmor_rules(&description);
        assert!(rules.contains("monitor.sock"), "{rules}");
        assert_eq!(rules.contains(&format!("\"{}\" rw,", shm.0.display())), is_given, "{rules}");
    }
}

/// The elements of the documentation, with their sockets and files at the paths of a real system.
fn documented(libvirt: &Libvirt, elsewhere: &Path) {
    let socket = elsewhere.join("documented.sock");
    let _server = Server::builder(&socket).vectors(2).mode(0o666).start().unwrap();
    libvirt.shell("mount -t tmpfs -o mode=1777 none /dev/shm");
    libvirt.shell(&format!("ln -s '{}' /run/ivshmem.sock", socket.display()));
    for (page, kind) in [("linux-guest.md", "ivshmem-doorbell"), ("windows.md", "ivshmem-plain")] {
        let path = checkout::root().join("docs").join(page);
        let text = fs::read_to_string(path).unwrap();
        let block = text.split("```xml\n").nth(1).unwrap().split("```").next().unwrap();
        let inside = |element: &str| {
            let (_, rest) = block.split_once(&format!("<{element}>"))?;
            rest.split_once(&format!("</{element}>")).map(|(inside, _)| inside)
        };
        let (features, devices) =
            (inside("features").unwrap_or_default(), inside("devices").unwrap_or(block));
        let description = Description { features, devices, ..Description::of("q35") };
        assert_eq!(libvirt.create(&description).unwrap().count(kind), 1, "{page}");
    }
}

fn huge_pages(libvirt: &Libvirt, elsewhere: &Path) {
    let _pages = match HugePages::add(2) {
        Ok(pages) => pages,
        Err(why) => return skip("huge_pages_of_libvirt", &why),
    };
    let point = elsewhere.join("huge");
    fs::create_dir(&point).unwrap();
    let point = point.display();
    libvirt.shell(&format!("mount -t hugetlbfs -o pagesize=2M,mode=755 none '{point}'"));
    libvirt.shell(&format!("truncate -s 2M '{point}/x' && chmod 666 '{point}/x'"));
    let (status, text) = libvirt.doctor(&format!("plain:{point}/x"), &[]);
    let count = (status == Some(0))
        .then(|| Advice::read(&text).paste(libvirt, "q35", "libvirt-qemu").count("ivshmem-plain"));
    libvirt.shell(&format!("umount '{point}'"));
    assert_eq!(count, Some(1), "{text}");
}

/// Each `<shmem>` has a separate slot on the root bus, and so a separate IOMMU group; QEMU assigns slots to its own
/// devices.
fn several(libvirt: &Libvirt, elsewhere: &Path) {
    let socket = elsewhere.join("several.sock");
    let _server = Server::builder(&socket).vectors(2).mode(0o666).start().unwrap();
    let server = Advice::of(libvirt, &format!("doorbell:{}", socket.display()), &[]);
    // There are ten slots. This file has the same one.
    let files = (0..1000).map(|number| Shm::new(&format!("several{number}"), 1 << 20, 0o666));
    let mut files = files.map(|shm| (Advice::of(libvirt, &shm.target(), &[]), shm));
    let (file, _shm) = files.find(|(file, _)| file.slot() == server.slot()).unwrap();
    let small = ["a-b", "a b"].map(|name| Shm::new(&format!("several.{name}"), 4096, 0o666));
    let small = small.each_ref().map(|shm| Advice::of(libvirt, &shm.target(), &[]).domain);
    let arguments = small.map(|domain| inside(&domain, "qemu:commandline").to_owned()).concat();
    let domain = format!("<qemu:commandline>{arguments}</qemu:commandline>");
    let both = |file: &str| Advice {
        devices: server.devices.clone() + file,
        domain: domain.clone(),
        once_devices: server.once_devices.clone(),
        once_features: server.once_features.clone(),
    };
    let colliding = both(&file.devices);
    let why = colliding.try_to_paste(libvirt, "q35", "libvirt-qemu").err().expect("two devices in one slot");
    assert!(why.contains("PCI Address"), "{why}");
    // As the comment above the slot says.
    assert!(file.devices.contains("give one of them another, from 0x10 to 0x19"), "{}", file.devices);
    let slot = (0x10..=0x19).map(|slot| format!("{slot:#x}")).find(|slot| slot != server.slot()).unwrap();
    let moved = file.devices.replace(&format!("slot='{}'", file.slot()), &format!("slot='{slot}'"));
    let machine = both(&moved).paste(libvirt, "q35", "libvirt-qemu");
    assert_eq!((machine.count("ivshmem-doorbell"), machine.count("ivshmem-plain")), (1, 3));
    let description = machine.description();
    for slot in [server.slot(), &slot] {
        let address = format!("bus='0x00' slot='{slot}'");
        assert!(description.contains(&address), "{address}: {description}");
    }
}

/// The content of an element.
fn inside<'a>(text: &'a str, element: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<{element}>")).unwrap();
    rest.split_once(&format!("</{element}>")).unwrap().0
}

/// Follows the doctor's last lines.
fn plugged_in(libvirt: &Libvirt, elsewhere: &Path) {
    let shm = Shm::new("later", 1 << 20, 0o666);
    let socket = elsewhere.join("later.sock");
    let _server = Server::builder(&socket).vectors(2).mode(0o666).start().unwrap();
    let (_, text) = libvirt.doctor(&shm.target(), &[]);
    let bridge = text.lines().last().unwrap().trim();
    assert!(bridge.ends_with("<controller type='pci' model='pcie-to-pci-bridge'/>"), "{bridge}");
    for (target, kind) in
        [(shm.target(), "ivshmem-plain"), (format!("doorbell:{}", socket.display()), "ivshmem-doorbell")]
    {
        let element = Advice::of(libvirt, &target, &[]).devices;
        let machine = libvirt.create(&Description::of("pc")).unwrap();
        machine.attach(&element).unwrap();
        assert_eq!(machine.count(kind), 1);
        drop(machine);

        // The root bus of q35 does not support hot-plug, a free root port does.
        let machine = libvirt.create(&Description::of("q35")).unwrap();
        let why = machine.attach(&element).unwrap_err();
        assert!(why.contains("doesn't support hotplug"), "{why}");
        let bus = free_root_port(&machine.description());
        let at_port = element.replace("bus='0x00'", &format!("bus='{bus:#04x}'"));
        let slot = at_port.split("slot='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        machine.attach(&at_port.replace(&slot, "0x00")).unwrap();
        assert_eq!(machine.count(kind), 1);
        drop(machine);

        // Without an address libvirt looks for a bridge.
        let address = element.lines().find(|line| line.contains("<address ")).unwrap();
        let element = element.replace(address, "");
        let machine = libvirt.create(&Description::of("q35")).unwrap();
        machine.attach(&element).unwrap_err();
        // Added in an editor to an existing description, and in a new one.
        let edited = machine.description().replace("</devices>", &format!("{bridge}</devices>"));
        drop(machine);
        let machine = libvirt.create_from("q35-libvirt-qemu", &edited).unwrap();
        machine.attach(&element).unwrap();
        assert_eq!(machine.count(kind), 1);
        drop(machine);
        let devices = format!("<controller type='pci' index='0' model='pcie-root'/>{bridge}");
        let description = Description { devices: &devices, ..Description::of("q35") };
        let machine = libvirt.create(&description).unwrap();
        machine.attach(&element).unwrap();
        assert_eq!(machine.count(kind), 1);
    }
}

/// The index of a root port whose bus has no device.
fn free_root_port(description: &str) -> u32 {
    let used = |index: u32| description.contains(&format!(" bus='{index:#04x}' "));
    let ports = description.split("<controller type='pci' index='").skip(1).filter_map(|rest| {
        let (index, rest) = rest.split_once('\'')?;
        rest.starts_with(" model='pcie-root-port'").then(|| index.parse().unwrap())
    });
    ports.filter(|index| !used(*index)).last().expect("libvirt keeps a root port free")
}

/// The doctor's findings for another user agree with what libvirt's machines get, and its remedy gives access.
fn judged_as_the_user_of_machines(libvirt: &Libvirt) {
    let dir = TempDir::with_prefix_in("ivshmem-libvirt.", "/dev/shm").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let socket = dir.path().join("s.sock");
    let _server = Server::builder(&socket).vectors(2).mode(0o600).start().unwrap();
    let closed = Shm::new("closed", 1 << 20, 0o600);
    let readable = Shm::new("readable", 1 << 20, 0o644);
    for target in [format!("doorbell:{}", socket.display()), closed.target(), readable.target()] {
        let (status, text) = libvirt.doctor(&target, &[]);
        assert_eq!(status, Some(4), "{text}");
        assert!(text.starts_with("problem: qemu-not-permitted"), "{text}");
        let advice = Advice::read(&text);
        let description = Description { devices: &advice.devices, ..Description::of("q35") };
        let why = libvirt.create(&description).err().expect("the doctor was wrong");
        assert!(why.contains("Permission denied"), "{why}");
        libvirt.shell(text.split('`').nth(1).unwrap());
        let advice = Advice::of(libvirt, &target, &[]);
        drop(advice.paste(libvirt, "q35", "libvirt-qemu"));
    }
}

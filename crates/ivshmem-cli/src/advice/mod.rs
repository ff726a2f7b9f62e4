//! The arguments of QEMU and the elements of libvirt that give a machine a shared memory, for the user to copy.
//!
//! Two memories in one machine do not collide: ids are derived from the path, and QEMU assigns slots. Only libvirt's
//! `<shmem>` needs a slot by number, which a comment in the element states.

pub(crate) mod quoting;

use std::path::{Path, PathBuf};

use ivshmem::{shell_word, size};
use serde_json::{Value, json};

use quoting::{attribute, monitor, option};

/// A memory, as far as it is known.
#[derive(Debug)]
pub(crate) struct Region {
    /// In bytes.
    pub size: u64,
    pub way: Way,
}

/// How a machine gets the memory. The paths are absolute, because QEMU and libvirt run in other directories.
#[derive(Debug)]
pub(crate) enum Way {
    File { path: PathBuf },
    Server { socket: PathBuf, vectors: u16 },
}

/// Arguments that Linux needs to give a program a device's interrupts; once for each machine.
const IOMMU: [&str; 4] = ["-machine", "q35,kernel-irqchip=split", "-device", "intel-iommu,intremap=on"];

/// The same as elements of libvirt; the second one is a feature.
const IOMMU_ELEMENT: &str = "<iommu model='intel'>\n  <driver intremap='on'/>\n</iommu>\n";
const IOAPIC_ELEMENT: &str = "<ioapic driver='qemu'/>\n";

/// The XML namespace in which libvirt accepts QEMU's own arguments.
const QEMU_NAMESPACE: &str = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";

/// libvirt refuses a smaller `<shmem>`.
const LEAST_SHMEM: u64 = 1 << 20;

impl Region {
    /// All advice as text. Each block is a heading followed by indented lines.
    pub(crate) fn text(&self) -> String {
        let mut text = self.qemu_text();
        if self.name().is_none() {
            return text;
        }
        let mut block = |heading: &str, body: &str| {
            text += &format!("{heading}\n");
            body.lines().for_each(|line| text += &format!("  {line}\n"));
        };
        if self.is_shmem() {
            block("libvirt, inside <devices>:", &self.libvirt());
        } else {
            block(&format!("libvirt, inside <domain type='kvm' {QEMU_NAMESPACE}>:"), &self.libvirt());
        }
        if self.has_interrupts() {
            block("libvirt, once for a q35 machine, inside <devices>:", IOMMU_ELEMENT);
            block("libvirt, once for a q35 machine, inside <features>:", IOAPIC_ELEMENT);
        }
        block(
            "QEMU, to plug it in later: start with -device pcie-root-port,id=later,chassis=1, and in the monitor:",
            &self.monitor().join("\n"),
        );
        block("libvirt, to plug it in later:", self.libvirt_later());
        text
    }

    /// The arguments of QEMU, quoted for a shell.
    pub(crate) fn qemu_text(&self) -> String {
        if self.name().is_none() {
            return "QEMU and libvirt: no arguments, as the path is not UTF-8 or has control characters; choose \
                    another one\n"
                .to_owned();
        }
        let join = |words: Vec<String>| words.iter().map(shell_word).collect::<Vec<_>>().join(" ");
        let own = join(self.own_words());
        if self.has_interrupts() {
            format!("QEMU:\n  {} \\\n  {own}\n", join(IOMMU.map(str::to_owned).to_vec()))
        } else {
            format!("QEMU:\n  {own}\n")
        }
    }

    pub(crate) fn add_to(&self, object: &mut Value) {
        object["size"] = json!(self.size);
        if self.name().is_none() {
            return;
        }
        let once = self.has_interrupts().then_some(IOMMU).into_iter().flatten().map(str::to_owned);
        object["qemu"] = json!(once.chain(self.own_words()).collect::<Vec<_>>());
        object["libvirt"] = json!(self.libvirt());
        if self.has_interrupts() {
            object["libvirt_once"] = json!({ "devices": IOMMU_ELEMENT, "features": IOAPIC_ELEMENT });
        }
    }

    fn has_interrupts(&self) -> bool {
        matches!(self.way, Way::Server { .. })
    }

    fn path(&self) -> &Path {
        match &self.way {
            Way::File { path } => path,
            Way::Server { socket, .. } => socket,
        }
    }

    /// The path, if the syntax of QEMU, of libvirt and of a shell can contain it.
    fn name(&self) -> Option<&str> {
        self.path().to_str().filter(|path| !path.contains(char::is_control))
    }

    /// The id of the memory in QEMU, which allows letters, digits, `-`, `.` and `_`. The id is unique for each path: `-`
    /// replaces `/` and every other character that is not allowed, and a path with such other characters also gets a hash.
    fn id(&self) -> String {
        let name = self.name().unwrap_or_default();
        let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        let kept: String = name.chars().map(|c| if is_kept(c) { c } else { '-' }).collect();
        if name.chars().all(|c| is_kept(c) || c == '/') {
            format!("ivshmem{kept}")
        } else {
            // The path is absolute and has no empty components, so no other path results in two hyphens.
            format!("ivshmem{kept}--{:08x}", hash(name))
        }
    }

    /// A slot of the root bus. libvirt assigns slots from the lowest one up and puts its own devices above 0x1a.
    fn slot(&self) -> u32 {
        0x10 + hash(self.name().unwrap_or_default()) % 10
    }

    /// The memory backend or the server's socket as an argument of QEMU.
    fn source(&self) -> String {
        let (id, name) = (self.id(), option(self.name().unwrap_or_default()));
        match self.way {
            Way::File { .. } => {
                let size = size::format(self.power_of_two());
                format!("memory-backend-file,id={id},share=on,mem-path={name},size={size}")
            }
            Way::Server { .. } => format!("socket,path={name},id={id}"),
        }
    }

    fn device(&self) -> String {
        let id = self.id();
        match self.way {
            Way::File { .. } => format!("ivshmem-plain,memdev={id}"),
            Way::Server { vectors, .. } => format!("ivshmem-doorbell,chardev={id},vectors={vectors}"),
        }
    }

    /// QEMU places devices in this form after all others, together with those of libvirt, which have this form too. So no
    /// device takes the slot of another.
    fn device_in_json(&self) -> Value {
        let id = self.id();
        match self.way {
            Way::File { .. } => json!({ "driver": "ivshmem-plain", "memdev": id }),
            Way::Server { vectors, .. } => {
                json!({ "driver": "ivshmem-doorbell", "chardev": id, "vectors": vectors })
            }
        }
    }

    fn own_words(&self) -> Vec<String> {
        let source = if self.has_interrupts() { "-chardev" } else { "-object" };
        vec![source.to_owned(), self.source(), "-device".to_owned(), self.device()]
    }

    fn monitor(&self) -> [String; 2] {
        // The text after object_add is one argument up to the end of the line.
        let source = if self.has_interrupts() {
            format!("chardev-add {}", monitor(&self.source()))
        } else {
            format!("object_add {}", self.source())
        };
        [source, format!("device_add {},bus=later", self.device())]
    }

    fn libvirt(&self) -> String {
        if !self.is_shmem() {
            let why = if self.shmem_name().is_some() {
                "libvirt takes no <shmem> below 1 MiB"
            } else {
                "a <shmem> can only be a file in /dev/shm itself"
            };
            let mut words = self.own_words();
            if let Some(device) = words.last_mut() {
                *device = self.device_in_json().to_string();
            }
            let line = |word: &String| format!("  <qemu:arg value='{}'/>\n", attribute(word));
            let words: String = words.iter().map(line).collect();
            return format!("<!-- {why} -->\n<qemu:commandline>\n{words}</qemu:commandline>\n");
        }
        let slot = self.slot();
        let name = attribute(&self.shmem_name().unwrap_or_default());
        let body = match &self.way {
            Way::File { .. } => format!(
                "  <model type='ivshmem-plain'/>\n  <size unit='KiB'>{}</size>\n",
                self.power_of_two() >> 10
            ),
            Way::Server { vectors, .. } => format!(
                "  <model type='ivshmem-doorbell'/>\n  <server path='{}'/>\n  <msi vectors='{vectors}' ioeventfd='on'/>\n",
                attribute(self.name().unwrap_or_default())
            ),
        };
        format!(
            "<shmem name='{name}'>\n{body}  \
             <!-- A slot of the root bus that nothing else has: so it has an IOMMU group of its own. Where two memories have\n       \
             the same slot, give one of them another, from 0x10 to 0x19. -->\n  \
             <address type='pci' domain='0x0000' bus='0x00' slot='0x{slot:02x}' function='0x0'/>\n</shmem>\n"
        )
    }

    fn libvirt_later(&self) -> &'static str {
        if self.is_shmem() {
            "virsh attach-device MACHINE FILE, with the element above in the file: as it is for a pc machine; for a \
             q35 one\nwith the bus of a free pcie-root-port and slot='0x00', or without <address> if the machine has, in \
             this order:\n<controller type='pci' model='pcie-root-port'/><controller type='pci' \
             model='pcie-to-pci-bridge'/>"
        } else {
            "not possible: it attaches only what <shmem> can say"
        }
    }

    fn is_shmem(&self) -> bool {
        let is_large = self.has_interrupts() || self.power_of_two() >= LEAST_SHMEM;
        is_large && self.shmem_name().is_some()
    }

    /// The name of a `<shmem>` element. A server's name is arbitrary.
    fn shmem_name(&self) -> Option<String> {
        let Way::File { path } = &self.way else { return Some(self.id()) };
        let name = path.strip_prefix("/dev/shm").ok()?.to_str()?;
        (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
    }

    /// The size that QEMU accepts.
    fn power_of_two(&self) -> u64 {
        power_of_two(self.size)
    }
}

/// FNV-1a
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The size that memory of at least `size` bytes has in QEMU.
pub(crate) fn power_of_two(size: u64) -> u64 {
    size.checked_next_power_of_two().unwrap_or(1 << 63).max(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> Region {
        Region { size, way: Way::File { path: path.into() } }
    }

    #[test]
    fn a_name_in_dev_shm_is_a_shmem_element_and_another_path_or_less_than_1_mib_is_not() {
        let named = file("/dev/shm/a&b", 3 << 20);
        assert!(named.libvirt().starts_with("<shmem name='a&amp;b'>"));
        assert!(named.libvirt().contains("<size unit='KiB'>4096</size>"), "rounded up");
        for path in ["/mnt/huge/x", "/dev/shm/a/b", "/dev/shm/"] {
            assert!(file(path, 3 << 20).libvirt().contains("<qemu:commandline>"), "{path}");
        }
        assert!(file("/dev/shm/x", 1 << 20).is_shmem());
        let small = file("/dev/shm/x", 512 << 10).libvirt();
        assert!(small.contains("<qemu:commandline>") && small.contains("below 1 MiB"), "{small}");
    }

    #[test]
    fn what_no_language_can_say_gets_no_arguments() {
        use std::os::unix::ffi::OsStrExt;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/dev/shm/\xff")).to_owned();
        for path in [odd, PathBuf::from("/dev/shm/a\nb")] {
            let region = Region { size: 4096, way: Way::File { path } };
            let mut object = json!({});
            region.add_to(&mut object);
            assert!(region.text().contains("choose another"), "{}", region.text());
            assert_eq!(object, json!({ "size": 4096 }));
        }
    }

    #[test]
    fn two_memories_have_different_ids_whatever_their_paths() {
        let paths =
            ["/x", "/a b", "/a-b", "/a/b", "/a.b", "/a_b", "/a,b", "/a--b", "/ab", "/a b--", "/\u{e9}", "/-"];
        let ids: std::collections::BTreeSet<String> =
            paths.iter().map(|path| file(path, 4096).id()).collect();
        assert_eq!(ids.len(), paths.len(), "{ids:?}");
        assert_eq!(file("/dev/shm/x", 4096).id(), "ivshmem-dev-shm-x");
        assert!((0x10..0x1a).contains(&file("/dev/shm/x", 4096).slot()));
    }
}

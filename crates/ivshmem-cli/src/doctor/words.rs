//! The words that QEMU and libvirt want for one region.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Failure;
use crate::output::Out;
use crate::values::units;

/// A region as far as it is known.
pub(super) struct Region {
    pub size: u64,
    pub way: Way,
}

/// How a machine gets it.
pub(super) enum Way {
    File { path: PathBuf },
    Server { socket: PathBuf, vectors: u16 },
}

impl Region {
    pub(super) fn print(&self, out: &mut Out) -> Result<(), Failure> {
        out.line(format_args!("QEMU:\n  {}", self.qemu().join(" ")))?;
        out.line(format_args!("libvirt, {}:", self.place()))?;
        self.libvirt().lines().try_for_each(|line| out.line(format_args!("  {line}")))
    }

    pub(super) fn add_to(&self, object: &mut Value) {
        object["size"] = json!(self.size);
        object["qemu"] = json!(self.qemu());
        object["libvirt"] = json!(self.libvirt());
    }

    /// Arguments for the command line; for a shell, paths with spaces need quotes.
    fn qemu(&self) -> Vec<String> {
        let words: Vec<String> = match &self.way {
            Way::File { path } => vec![
                "-object".to_owned(),
                format!(
                    "memory-backend-file,id=ivshmem,share=on,mem-path={},size={}",
                    commas(path),
                    units(self.power_of_two())
                ),
                "-device".to_owned(),
                "ivshmem-plain,memdev=ivshmem".to_owned(),
            ],
            Way::Server { socket, vectors } => vec![
                "-chardev".to_owned(),
                format!("socket,path={},id=ivshmem", commas(socket)),
                "-device".to_owned(),
                format!("ivshmem-doorbell,chardev=ivshmem,vectors={vectors}"),
            ],
        };
        // What Linux needs to give a program the interrupts of a device.
        let iommu = ["-machine", "q35,kernel-irqchip=split", "-device", "intel-iommu,intremap=on"];
        let iommu = matches!(self.way, Way::Server { .. }).then_some(iommu).into_iter().flatten();
        iommu.map(str::to_owned).chain(words).collect()
    }

    /// Where in a domain's description it belongs.
    fn place(&self) -> &'static str {
        if self.shmem_name().is_some() {
            "inside <devices>"
        } else {
            "inside <domain type='kvm' xmlns:qemu=...>"
        }
    }

    fn libvirt(&self) -> String {
        match (&self.way, self.shmem_name()) {
            (Way::File { .. }, Some(name)) => format!(
                "<shmem name='{name}'>\n  <model type='ivshmem-plain'/>\n  <size unit='KiB'>{}</size>\n</shmem>\n",
                self.power_of_two() >> 10
            ),
            (Way::Server { socket, vectors }, Some(name)) => format!(
                "<shmem name='{name}'>\n  <model type='ivshmem-doorbell'/>\n  <server path='{}'/>\n  \
                 <msi vectors='{vectors}' ioeventfd='on'/>\n</shmem>\n\
                 <iommu model='intel'>\n  <driver intremap='on'/>\n</iommu>\n\
                 <!-- and inside <features>: <ioapic driver='qemu'/>, for KVM's own cannot be remapped -->\n",
                escaped(&socket.display().to_string())
            ),
            // Only a name in /dev/shm can be said with <shmem>.
            (_, None) => {
                let line = |word: &String| format!("  <qemu:arg value='{}'/>\n", escaped(word));
                let words: String = self.qemu().iter().map(line).collect();
                format!(
                    "<!-- the domain needs xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' -->\n\
                     <qemu:commandline>\n{words}</qemu:commandline>\n"
                )
            }
        }
    }

    /// The name of a `shmem` element. That of a server may be any.
    fn shmem_name(&self) -> Option<String> {
        let Way::File { path } = &self.way else { return Some("ivshmem".to_owned()) };
        let name = path.strip_prefix("/dev/shm").ok()?.to_str()?;
        (!name.is_empty() && !name.contains('/')).then(|| escaped(name))
    }

    /// What QEMU accepts.
    fn power_of_two(&self) -> u64 {
        self.size.checked_next_power_of_two().unwrap_or(self.size).max(4096)
    }
}

/// QEMU takes a comma for the end of a value unless it is doubled.
fn commas(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// For an attribute in single quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_dev_shm_is_a_shmem_element_and_another_path_is_not() {
        let file = |path: &str| Region { size: 3 << 20, way: Way::File { path: path.into() } };
        let named = file("/dev/shm/a&b");
        assert!(named.libvirt().starts_with("<shmem name='a&amp;b'>"));
        assert!(named.libvirt().contains("<size unit='KiB'>4096</size>"), "rounded up");
        for path in ["/mnt/huge/x", "/dev/shm/a/b", "/dev/shm/"] {
            assert!(file(path).libvirt().contains("<qemu:commandline>"), "{path}");
        }
    }

    #[test]
    fn commas_are_doubled_for_qemu() {
        let region = Region { size: 4096, way: Way::File { path: "/tmp/a,b".into() } };
        assert!(region.qemu()[1].ends_with("mem-path=/tmp/a,,b,size=4K"), "{:?}", region.qemu());
    }
}

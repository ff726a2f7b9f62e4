//! The cache that `scripts/vm-packages` fills, and the kernel's modules in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Error;

/// The parts that guests are built from.
#[derive(Clone, Debug)]
pub struct Packages {
    root: PathBuf,
    /// The directory of the selected kernel.
    linux: PathBuf,
    /// The directory of its modules, which is named after its version.
    modules: PathBuf,
}

/// The environment variable with the name of the kernel's directory; the default is `linux`.
const KERNEL: &str = "VMTEST_KERNEL";

const REMEDY: &str = "run scripts/vm-packages, which needs apt-get and the network";

impl Packages {
    /// Finds the cache in `$XDG_CACHE_HOME` or in `~/.cache`. The kernel is that of this Debian, or that of Debian 13 if
    /// the environment has `VMTEST_KERNEL=linux13`.
    ///
    /// # Errors
    /// `Missing` when the cache is missing.
    pub fn find() -> Result<Self, Error> {
        if !cfg!(target_arch = "x86_64") {
            let what = format!("guests run programs of this machine, which is {}", std::env::consts::ARCH);
            return Err(Error::Missing { what, remedy: "use one with x86_64" });
        }
        let cache = cache(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
        let root = cache.join("ivshmem4j-build/vmtest");
        let name = std::env::var(KERNEL).ok().filter(|name| !name.is_empty());
        let name = name.as_deref().unwrap_or("linux");
        let linux = root.join(name);
        let version = std::fs::read_dir(linux.join("lib/modules")).ok().and_then(|mut all| all.next()?.ok());
        let missing =
            |what: &str| Error::Missing { what: format!("no {what} in {}", root.display()), remedy: REMEDY };
        let modules = version.ok_or_else(|| missing(name))?.path();
        if !root.join("busybox").exists() {
            return Err(missing("busybox"));
        }
        Ok(Self { root, linux, modules })
    }

    /// The kernel, which boots through PVH.
    pub fn kernel(&self) -> PathBuf {
        self.linux.join("vmlinux")
    }

    /// The static busybox.
    pub fn busybox(&self) -> PathBuf {
        self.root.join("busybox/bin/busybox")
    }

    /// A root with 32-bit programs: C library and OpenJDK 17.
    ///
    /// # Errors
    /// `Missing` when it is missing: the archives for i386 are not always consistent.
    pub fn root_32(&self) -> Result<PathBuf, Error> {
        let path = self.root.join("i386");
        let what = || format!("no {}", path.display());
        if path.exists() { Ok(path) } else { Err(Error::Missing { what: what(), remedy: REMEDY }) }
    }

    /// A file system with Debian's systemd and udev.
    ///
    /// # Errors
    /// `Missing` when it is missing: only root can build it.
    pub fn debian(&self) -> Result<PathBuf, Error> {
        let path = self.root.join("debian/root.ext4");
        let what = || format!("no {}", path.display());
        if path.exists() { Ok(path) } else { Err(Error::Missing { what: what(), remedy: REMEDY }) }
    }

    /// The path of a cached test result for this machine, shared by processes.
    pub(crate) fn verdict(&self, of: &str) -> PathBuf {
        self.root.join(of)
    }

    /// The files of the modules `names` and of all modules that they need, in loading order. A name that this kernel lacks
    /// is built in, or is not needed in this version.
    ///
    /// # Errors
    /// `Host` when the list of modules cannot be read.
    pub(crate) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>, Error> {
        let list = self.modules.join("modules.dep");
        let text = std::fs::read_to_string(&list).map_err(Error::host(list.display().to_string()))?;
        let order = in_order(&text, names);
        Ok(order.into_iter().map(|path| self.modules.join(path)).collect())
    }

    /// The files that a system needs below `/usr/lib/modules` so that its own tools can load the modules `names`: paths
    /// there, and the files. `depmod` in the guest creates the rest.
    ///
    /// # Errors
    /// Those of `modules`.
    pub(crate) fn module_tree(&self, names: &[&str]) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
        let lists = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];
        let files = self.modules(names)?.into_iter().chain(lists.map(|name| self.modules.join(name)));
        let above = self.modules.parent().expect("the folder of the version is in one");
        let placed = files.map(|file| (file.strip_prefix(above).expect("all are in it").to_owned(), file));
        Ok(placed.collect())
    }
}

fn cache(xdg: Option<OsString>, home: Option<OsString>) -> PathBuf {
    match xdg.filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => Path::new(&home.unwrap_or_default()).join(".cache"),
    }
}

/// Paths of modules.dep in loading order. Its lines are "path: path path": a module and those that it needs.
fn in_order<'a>(list: &'a str, names: &[&str]) -> Vec<&'a str> {
    let needs: BTreeMap<&str, &str> = list.lines().filter_map(|line| line.split_once(':')).collect();
    let mut order = Vec::new();
    for path in needs.keys() {
        if names.contains(&name(path)) {
            visit(path, &needs, &mut order);
        }
    }
    order
}

fn visit<'a>(path: &'a str, needs: &BTreeMap<&'a str, &'a str>, order: &mut Vec<&'a str>) {
    if order.contains(&path) {
        return;
    }
    for needed in needs.get(path).into_iter().flat_map(|paths| paths.split_whitespace()) {
        visit(needed, needs, order);
    }
    order.push(path);
}

/// A module's name: `vfio-pci` for `kernel/drivers/vfio/pci/vfio-pci.ko`.
pub(crate) fn name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need() {
        let list = "k/v/vfio-pci.ko: k/v/core.ko k/v/vfio.ko\nk/v/core.ko: k/v/irq.ko k/v/vfio.ko\n\
                    k/v/vfio.ko:\nk/v/irq.ko:\nk/other.ko: k/v/vfio.ko\n";
        let order = in_order(list, &["vfio-pci", "absent"]);
        assert_eq!(order, ["k/v/irq.ko", "k/v/vfio.ko", "k/v/core.ko", "k/v/vfio-pci.ko"]);
    }

    #[test]
    fn the_cache_is_where_the_system_keeps_caches() {
        let home = || Some(OsString::from("/home/x"));
        assert_eq!(cache(Some("/var/c".into()), home()), Path::new("/var/c"));
        assert_eq!(cache(Some("".into()), home()), Path::new("/home/x/.cache"));
        assert_eq!(cache(None, home()), Path::new("/home/x/.cache"));
    }
}

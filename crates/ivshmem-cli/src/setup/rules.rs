//! The file of udev rules: its text, and what it tells about who made it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::Failure;

pub(super) const RULES: &str = "/etc/udev/rules.d/70-ivshmem.rules";

const HEAD: &str = "# Made by `ivshmem setup`, and removed by `ivshmem setup --undo`.";

/// The rules. `$$` is udev's way to write `$`, `%p` a device's path in sysfs, and `%k` its name. (`%n`, the number in that,
/// is empty where the name has nothing else.)
///
/// Each script that gives something away ends well only when all it looked at was there and right.
pub(super) fn text(group: &str, created: bool) -> String {
    let head = head(group, created);
    format!(
        r#"{head}
# A device with interrupts (those have a BAR 1) belongs to vfio-pci, which alone gives them to programs. It is switched on
# before, because VFIO leaves it as it was found, and stays awake, because others use its memory meanwhile. The event of a
# device that is plugged in comes before the kernel has given it addresses and files.
ACTION=="add", SUBSYSTEM=="pci", ATTR{{vendor}}=="0x1af4", ATTR{{device}}=="0x1110", RUN+="/bin/sh -c 'cd /sys%p || exit; left=100; until [ -e resource2 ] || [ $$left = 0 ]; do left=$$((left-1)); sleep 0.1; done; [ -e resource1 ] || exit 0; modprobe -aq vfio-pci vfio_iommu_type1; echo 1 >enable; echo vfio-pci >driver_override; echo %k >/sys/bus/pci/drivers_probe; echo on >power/control'"

# The group may map memory and registers.
ACTION=="add|change|bind", SUBSYSTEM=="pci", ATTR{{vendor}}=="0x1af4", ATTR{{device}}=="0x1110", RUN+="/bin/sh -c 'cd /sys%p && for file in resource0 resource2 resource2_wc; do [ ! -e $$file ] || {{ chgrp {group} $$file && chmod 660 $$file; }}; done'"

# And take interrupts, by an IOMMU group with an ivshmem device and nothing else but bridges (class 0604), which VFIO gives to nobody.
# What is found to have anything else, or cannot be looked at, it loses.
ACTION=="add|change", SUBSYSTEM=="vfio", KERNEL=="[0-9]*|noiommu-[0-9]*", RUN+="/bin/sh -c 'node=/dev/vfio/%k; group=%k; given=0; for device in /sys/kernel/iommu_groups/$${{group#noiommu-}}/devices/*; do vendor= id= class=; read -r vendor <$$device/vendor; read -r id <$$device/device; read -r class <$$device/class; case $$vendor:$$id:$$class in 0x1af4:0x1110:0x*) given=1;; 0x*:0x*:0x0604*) ;; *) given=0; break;; esac; done; if [ $$given = 1 ]; then chgrp {group} $$node && chmod 660 $$node; else find $$node -group {group} -exec chown root:root {{}} + -exec chmod 600 {{}} +; fi'"

# What is plugged into an IOMMU group later has it looked at again.
ACTION=="add", SUBSYSTEM=="pci", RUN+="/bin/sh -c 'cd /sys%p && group=$$(readlink iommu_group) || exit 0; for node in $${{group##*/}} noiommu-$${{group##*/}}; do [ ! -e /sys/class/vfio/$$node ] || udevadm trigger --action=change /sys/class/vfio/$$node; done'"
"#
    )
}

/// The lines by which a later setup and its undoing know what was made.
pub(super) fn head(group: &str, created: bool) -> String {
    let created = if created { "created" } else { "found" };
    format!("{HEAD}\n# group {group} {created}\n")
}

/// What an earlier setup left.
pub(super) struct Made {
    pub group: String,
    /// Whether it created the group.
    pub created: bool,
}

impl Made {
    /// None when there was none.
    pub(super) fn find() -> Result<Option<Self>, Failure> {
        let path = Path::new(RULES);
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|why| Failure::NoSetup { why: format!("{RULES} cannot be read: {why}") })?,
        };
        Self::parse(&text).map(Some).ok_or(Failure::NotOurs { path })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut words = lines.next().filter(|line| *line == HEAD).and(lines.next())?.split(' ').skip(2);
        Some(Self { group: words.next()?.to_owned(), created: words.next()? == "created" })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Whether the rules give the node called `name` away, where `devices` are its IOMMU group: their vendor, number and
    /// class, as far as these can be read.
    fn is_given(name: &str, devices: Option<&[[&str; 3]]>) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join(name);
        fs::write(&node, "").unwrap();
        for (number, values) in devices.into_iter().flatten().enumerate() {
            let device = folder.path().join(format!("groups/6/devices/{number}"));
            fs::create_dir_all(&device).unwrap();
            for (file, value) in
                ["vendor", "device", "class"].iter().zip(values).filter(|(_, v)| !v.is_empty())
            {
                fs::write(device.join(file), format!("{value}\n")).unwrap();
            }
        }
        let rules = text("some-group", true);
        let rule = rules.lines().find(|line| line.contains("SUBSYSTEM==\"vfio\"")).unwrap();
        let script = rule.split("RUN+=\"/bin/sh -c '").nth(1).unwrap().split("'\"").next().unwrap();
        let there = folder.path().display();
        let script = script.replace("%k", name).replace("$$", "$").replace("chgrp some-group", ":");
        let script = script.replace("/sys/kernel/iommu_groups", &format!("{there}/groups"));
        let script = script.replace("/dev/vfio", &there.to_string());
        let mut sh = std::process::Command::new("/bin/sh");
        sh.arg("-c").arg(script).stderr(std::process::Stdio::null()).status().unwrap();
        fs::metadata(&node).unwrap().mode() & 0o777 == 0o660
    }

    #[test]
    fn only_a_group_that_is_seen_to_have_nothing_else_is_given_away() {
        const OURS: [&str; 3] = ["0x1af4", "0x1110", "0x050000"];
        const BRIDGE: [&str; 3] = ["0x1b36", "0x000e", "0x060400"];
        for name in ["6", "noiommu-6"] {
            for devices in [&[OURS][..], &[OURS, OURS], &[BRIDGE, OURS], &[OURS, BRIDGE]] {
                assert!(is_given(name, Some(devices)), "{name}: {devices:?}");
            }
            for devices in [
                &[][..],
                &[BRIDGE],
                &[OURS, ["0x1b36", "0x0011", "0xff0000"]],
                &[["0x1af4", "0x1005", "0x00ff00"], OURS],
                &[OURS, ["", "0x1110", "0x050000"]],
                &[OURS, ["0x1b36", "0x000e", ""]],
            ] {
                assert!(!is_given(name, Some(devices)), "{name}: {devices:?}");
            }
            assert!(!is_given(name, None));
        }
        assert!(!is_given("7", Some(&[OURS])));
    }

    #[test]
    fn the_file_tells_who_made_it_and_whose_the_group_is() {
        for created in [true, false] {
            let made = Made::parse(&text("some-group", created)).unwrap();
            assert_eq!((made.group.as_str(), made.created), ("some-group", created));
        }
        for foreign in ["", "# rules of somebody", &text("x", true)[1..]] {
            assert!(Made::parse(foreign).is_none());
        }
    }
}

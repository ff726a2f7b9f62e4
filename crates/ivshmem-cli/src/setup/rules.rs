//! The file of udev rules: its text, and its record of who created the group.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::failure::Failure;

pub(super) const RULES: &str = "/etc/udev/rules.d/70-ivshmem.rules";

const HEAD: &str = "# Made by `ivshmem setup`, and removed by `ivshmem setup --undo`.";

/// The rules. In udev's syntax, `$$` is `$`, `%p` is a device's path in sysfs, and `%k` is its name. (`%n`, the number in
/// the name, is empty for a name that is only a number.)
///
/// Each script that grants access succeeds only if everything it checked exists and is right, and revokes access with no
/// other programs than those that granted it. A node of another group stays with that group, which is compared by its
/// number, because one number may have several names. If `getent` reports that this group does not exist (its status 2), only
/// a node whose group has no name, or this name after all, is the removed group's: a new group with the removed group's number
/// counts as another group. If `stat` fails, or `getent` in any other way, access is revoked for every group.
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
# The group loses an IOMMU group that has any other device, before the change of rights or after it, or that cannot be examined.
ACTION=="add|change", SUBSYSTEM=="vfio", KERNEL=="[0-9]*|noiommu-[0-9]*", RUN+="/bin/sh -c 'node=/dev/vfio/%k; group=%k; is_ours() {{ ours=0; for device in /sys/kernel/iommu_groups/$${{group#noiommu-}}/devices/*; do vendor= id= class=; read -r vendor <$$device/vendor; read -r id <$$device/device; read -r class <$$device/class; case $$vendor:$$id:$$class in 0x1af4:0x1110:0x*) ours=1;; 0x*:0x*:0x0604*) ;; *) ours=0; break;; esac; done; [ $$ours = 1 ]; }}; gave=; is_ours && chgrp {group} $$node && gave=1 && chmod 660 $$node && is_ours || {{ ours=$$(getent group {group}); case $$? in 0) ours=$${{ours#*:*:}}; ours=$${{ours%%%%:*}};; 2) ours=none;; *) ours=;; esac; case $$gave:$$(stat -c %%g:%%G $$node):$$ours in 1:*|:$$ours:*|:*:UNKNOWN:*|:*:{group}:*|::*|*:) chmod 600 $$node; chgrp root $$node;; esac; }}'"

# What is plugged into an IOMMU group later has it looked at again.
ACTION=="add", SUBSYSTEM=="pci", RUN+="/bin/sh -c 'cd /sys%p && group=$$(readlink iommu_group) || exit 0; for node in $${{group##*/}} noiommu-$${{group##*/}}; do [ ! -e /sys/class/vfio/$$node ] || udevadm trigger --action=change /sys/class/vfio/$$node; done'"
"#
    )
}

/// The lines that record what was made, for a later setup and for undo.
pub(super) fn head(group: &str, created: bool) -> String {
    let created = if created { "created" } else { "found" };
    format!("{HEAD}\n# group {group} {created}\n")
}

/// What an earlier setup made.
pub(super) struct Made {
    pub group: String,
    /// Whether it created the group.
    pub created: bool,
}

impl Made {
    /// `None` without an earlier setup.
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
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use tempfile::TempDir;

    use super::*;

    const OURS: [&str; 3] = ["0x1af4", "0x1110", "0x050000"];
    const STRANGER: [&str; 3] = ["0x1b36", "0x0011", "0xff0000"];

    /// A VFIO node and its IOMMU group, in a directory.
    struct Vfio {
        folder: TempDir,
        node: PathBuf,
        name: String,
        /// The directory of the script's programs.
        path: String,
    }

    impl Vfio {
        /// Links only these of the programs that a shell would otherwise find.
        fn new(name: &str, mode: u32, programs: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let node = folder.path().join(name);
            let file = fs::File::create(&node).unwrap();
            file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
            for program in programs {
                symlink(format!("/usr/bin/{program}"), folder.path().join(program)).unwrap();
            }
            let path = folder.path().display().to_string();
            Self { folder, node, name: name.to_owned(), path }
        }

        /// Writes a program that replaces one of the system. Another process writes it: a child of another test could keep
        /// a file of this process open for writing, which could then not be executed.
        fn script(&self, name: &str, lines: &str) {
            let written = Command::new("/bin/sh")
                .args([
                    "-c",
                    "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2\" && /usr/bin/chmod 755 \"$2\"",
                    "sh",
                    lines,
                ])
                .arg(self.folder.path().join(name))
                .status();
            assert!(written.unwrap().success());
        }

        /// Adds a device with its vendor, device id and class; an empty value means a missing file.
        fn add(&self, number: usize, values: &[&str; 3]) {
            let device = self.folder.path().join(format!("groups/6/devices/{number}"));
            fs::create_dir_all(&device).unwrap();
            for (file, value) in
                ["vendor", "device", "class"].iter().zip(values).filter(|(_, v)| !v.is_empty())
            {
                fs::write(device.join(file), format!("{value}\n")).unwrap();
            }
        }

        /// The mode of the node after the rule for `group`.
        fn after_the_rule(&self, group: &str) -> u32 {
            let rules = text(group, true);
            let rule = rules.lines().find(|line| line.contains("SUBSYSTEM==\"vfio\"")).unwrap();
            let script = rule.split("RUN+=\"/bin/sh -c '").nth(1).unwrap().split("'\"").next().unwrap();
            let there = self.folder.path().display();
            let script = script.replace("%k", &self.name).replace("$$", "$").replace("%%", "%");
            let script = script.replace("/sys/kernel/iommu_groups", &format!("{there}/groups"));
            let script = script.replace("/dev/vfio", &there.to_string());
            let mut sh = Command::new("/bin/sh");
            sh.arg("-c").arg(script).env("PATH", &self.path).stderr(Stdio::null()).status().unwrap();
            fs::metadata(&self.node).unwrap().mode() & 0o777
        }
    }

    /// The group of the files that this test creates.
    fn own_group() -> String {
        let output = Command::new("/usr/bin/id").arg("-gn").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    const ALL: [&str; 4] = ["chgrp", "chmod", "stat", "getent"];

    fn is_given(name: &str, devices: Option<&[[&str; 3]]>) -> bool {
        let vfio = Vfio::new(name, 0o600, &ALL);
        devices.into_iter().flatten().enumerate().for_each(|(number, values)| vfio.add(number, values));
        vfio.after_the_rule(&own_group()) == 0o660
    }

    #[test]
    fn what_is_ours_no_longer_is_taken_back_with_the_programs_that_gave_it() {
        for programs in [&ALL[..], &ALL[..3], &ALL[..2]] {
            let vfio = Vfio::new("6", 0o600, programs);
            vfio.add(0, &OURS);
            assert_eq!(vfio.after_the_rule(&own_group()), 0o660, "{programs:?}");
            vfio.add(1, &STRANGER);
            assert_eq!(vfio.after_the_rule(&own_group()), 0o600, "{programs:?}");
        }
    }

    #[test]
    fn what_another_group_has_stays_and_what_this_one_has_by_any_name_is_taken_back() {
        let gid = rustix::process::getegid().as_raw();
        let groups = |gid| format!("another-name:x:{gid}:\nivshmem:x:{gid}:somebody\nivshmem-2:x:1:\n");
        for (groups, mode) in [
            (groups(gid), 0o600),
            (groups(gid + 1), 0o660),
            // One number is a prefix of the other.
            (groups(gid * 10 + 10), 0o660),
        ] {
            let vfio = Vfio::new("6", 0o660, &ALL[..2]);
            let file = vfio.folder.path().join("group");
            fs::write(&file, &groups).unwrap();
            vfio.script("getent", &format!("/usr/bin/grep \"^$2:\" {}", file.display()));
            vfio.script("stat", "/usr/bin/stat \"$@\" | /usr/bin/sed s/:.*/:another-name/");
            vfio.add(0, &OURS);
            vfio.add(1, &STRANGER);
            assert_eq!(vfio.after_the_rule("ivshmem"), mode, "{groups}");
        }
    }

    #[test]
    fn a_group_that_is_gone_takes_only_what_has_no_group_with_a_name_and_a_failed_query_takes_all() {
        for (getent, node, mode) in [
            // The group does not exist.
            ("exit 2", "4711:another-name", 0o660),
            ("exit 2", "4711:UNKNOWN", 0o600),
            ("exit 2", "4711:ivshmem", 0o600),
            ("exit 2", "", 0o600),
            // Nothing is known about the group, or half of it.
            ("", "4711:another-name", 0o600),
            ("exit 1", "4711:another-name", 0o600),
            ("echo ivshmem:x:4712:; exit 1", "4711:another-name", 0o600),
            ("kill -9 $$", "4711:another-name", 0o600),
        ] {
            let vfio = Vfio::new("6", 0o660, &ALL[..2]);
            vfio.script("getent", getent);
            vfio.script("stat", &format!("echo {node}"));
            vfio.add(0, &STRANGER);
            assert_eq!(vfio.after_the_rule("ivshmem"), mode, "{getent}, {node}");
        }
        // The system's own programs, and a group that it does not have.
        let vfio = Vfio::new("6", 0o660, &ALL);
        vfio.add(0, &STRANGER);
        assert_eq!(vfio.after_the_rule("ivshmem-none"), 0o660);
        // Without getent.
        let vfio = Vfio::new("6", 0o660, &ALL[..3]);
        vfio.add(0, &STRANGER);
        assert_eq!(vfio.after_the_rule("ivshmem-none"), 0o600);
    }

    #[test]
    fn what_joins_while_a_group_is_given_has_it_taken_back() {
        let vfio = Vfio::new("6", 0o600, &["chgrp"]);
        vfio.add(0, &OURS);
        vfio.add(1, &STRANGER);
        let (devices, hidden) =
            (vfio.folder.path().join("groups/6/devices"), vfio.folder.path().join("hidden"));
        fs::rename(devices.join("1"), &hidden).unwrap();
        // As if the device came just before the mode changes.
        vfio.script(
            "chmod",
            &format!(
                "[ ! -e {hidden} ] || /usr/bin/mv {hidden} {devices}/1\nexec /usr/bin/chmod \"$@\"",
                hidden = hidden.display(),
                devices = devices.display()
            ),
        );
        // Also if the node has another group meanwhile.
        vfio.script("stat", "echo 4711:another-name");
        vfio.script("getent", "echo name:x:4712:");
        assert_eq!(vfio.after_the_rule(&own_group()), 0o600);
        assert!(!hidden.exists());
    }

    #[test]
    fn what_a_group_had_that_is_removed_is_taken_back() {
        let vfio = Vfio::new("6", 0o660, &["chgrp", "chmod"]);
        vfio.add(0, &STRANGER);
        vfio.script("stat", "echo 4711:UNKNOWN");
        vfio.script("getent", "echo removed:x:4712:");
        assert_eq!(vfio.after_the_rule("removed"), 0o600);
    }

    #[test]
    fn only_a_group_that_is_seen_to_have_nothing_else_is_given_away() {
        const BRIDGE: [&str; 3] = ["0x1b36", "0x000e", "0x060400"];
        for name in ["6", "noiommu-6"] {
            for devices in [&[OURS][..], &[OURS, OURS], &[BRIDGE, OURS], &[OURS, BRIDGE]] {
                assert!(is_given(name, Some(devices)), "{name}: {devices:?}");
            }
            for devices in [
                &[][..],
                &[BRIDGE],
                &[OURS, STRANGER],
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

//! Security modules, which may deny access that a file's mode permits.

use std::fs;
use std::path::Path;

use ivshmem::shell_word;

use super::users::as_root;
use crate::finding::Finding;

/// Explains why a user was denied access that the file's mode permits.
pub(super) fn refused(path: &Path) -> Finding {
    let profile = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    let profile = match profile.trim_end_matches(['\0', '\n']) {
        "" => "no profile is known".to_owned(),
        profile => format!("its profile is {profile}"),
    };
    Finding::problem(
        "security-module",
        format!(
            "the mode of {} lets this program in, and the kernel does not: a security module forbids it ({profile})",
            path.display()
        ),
        "AppArmor: allow the path in the profile; SELinux: ausearch -m avc tells what to allow; a sandbox (systemd, \
         Landlock, snap, flatpak): run outside of it; dmesg often has the reason",
    )
}

/// Checks restrictions of libvirt's machines, which do not apply to this program. `root` is the root of the system's files.
pub(super) fn of_machines(path: &Path, root: &Path) -> Vec<Finding> {
    [apparmor(path, root), selinux(path, root)].into_iter().flatten().collect()
}

/// AppArmor's rules for libvirt's machines, and the file for an administrator's additions.
const APPARMOR_RULES: &str = "etc/apparmor.d/abstractions/libvirt-qemu";
const APPARMOR_LOCAL: &str = "etc/apparmor.d/local/abstractions/libvirt-qemu";

fn apparmor(path: &Path, root: &Path) -> Option<Finding> {
    let enabled = fs::read_to_string(root.join("sys/module/apparmor/parameters/enabled")).ok()?;
    if enabled.trim() != "Y" || !root.join(APPARMOR_RULES).exists() {
        return None;
    }
    let path = path.display().to_string();
    // In addition, libvirt permits what a machine's description names, as far as its version supports that.
    let local = fs::read_to_string(root.join(APPARMOR_LOCAL)).unwrap_or_default();
    let rule = apparmor_rule(&path);
    let is_allowed = local.lines().any(|line| {
        let line = line.trim().trim_start_matches("owner ");
        [&rule, &format!("\"{path}\"")]
            .into_iter()
            .any(|rule| line.strip_prefix(rule.as_str()).is_some_and(|rest| rest.starts_with([' ', '\t'])))
    });
    (!is_allowed).then(|| {
        Finding::note(
            "apparmor",
            format!(
                "AppArmor confines libvirt's machines here, and no local rule lets them have {path}: a machine may have it only \
                 if libvirt gives it by itself, as 9.0 does for a <shmem>, and no version for what stands in <qemu:commandline>"
            ),
            format!(
                "{}, and restart the machine",
                as_root(&format!(
                    "echo {} >>/{APPARMOR_LOCAL}",
                    shell_word(format_args!("{} rw,", apparmor_rule(&path)))
                ))
            ),
        )
    })
}

/// A path in the syntax of AppArmor's rules, where some characters are wildcards or quotes.
fn apparmor_rule(path: &str) -> String {
    let mut rule = String::new();
    for c in path.chars() {
        if "\\*?[]{}^\"".contains(c) {
            rule.push('\\');
        }
        rule.push(c);
    }
    if rule.contains([' ', ',', '\t', '#']) { format!("\"{rule}\"") } else { rule }
}

fn selinux(path: &Path, root: &Path) -> Option<Finding> {
    let enforcing = fs::read_to_string(root.join("sys/fs/selinux/enforce")).ok()?;
    if enforcing.trim() != "1" {
        return None;
    }
    let mut label = [0; 256];
    let length = rustix::fs::getxattr(path, "security.selinux", &mut label).unwrap_or(0);
    let label = String::from_utf8_lossy(&label[..length]);
    let label = label.trim_end_matches('\0');
    (!label.contains(":svirt_")).then(|| {
        let word = shell_word(path.display());
        Finding::note(
            "selinux",
            format!(
                "SELinux is enforcing, and {} has the label {label:?}, which machines may not use",
                path.display()
            ),
            format!(
                "{}; to last: `semanage fcontext -a -t svirt_image_t {word}`",
                as_root(&format!("chcon -t svirt_image_t {word}"))
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn apparmor_is_noted_until_a_local_rule_names_the_path() {
        let root = tempfile::tempdir().unwrap();
        let path = Path::new("/dev/shm/x");
        let names = || of_machines(path, root.path()).iter().map(|finding| finding.name).collect::<Vec<_>>();
        assert!(names().is_empty(), "no AppArmor");
        write(root.path(), "sys/module/apparmor/parameters/enabled", "Y\n");
        assert!(names().is_empty(), "no libvirt");
        write(root.path(), APPARMOR_RULES, "");
        assert_eq!(names(), ["apparmor"]);
        write(root.path(), APPARMOR_LOCAL, "/dev/shm/xy rw,\n");
        assert_eq!(names(), ["apparmor"]);
        write(root.path(), APPARMOR_LOCAL, "/dev/shm/xy rw,\n  /dev/shm/x rw,\n");
        assert!(names().is_empty());
    }

    #[test]
    fn selinux_is_noted_when_it_enforces_and_the_label_is_another() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        write(root.path(), "sys/fs/selinux/enforce", "0");
        assert!(of_machines(&file, root.path()).is_empty());
        write(root.path(), "sys/fs/selinux/enforce", "1");
        assert_eq!(of_machines(&file, root.path())[0].name, "selinux");
    }
}

//! Findings about files.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use ivshmem_conformance::skip;
use ivshmem_server::Server;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::mounts::in_mounts;
use super::{HERE, Nobody, Visit, commands, cured, folder, is_root, make, visit};
use crate::{ivshmem, run};

/// A path that is not in /dev/shm, where some remedies create a file. Removed on drop.
struct Elsewhere(TempDir);

impl Elsewhere {
    fn new() -> Self {
        let dir = TempDir::with_prefix_in("ivshmem-elsewhere.", "/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    /// A file with the same name as its directory.
    fn path(&self) -> Box<Path> {
        self.0.path().join(self.0.path().file_name().unwrap()).into()
    }

    fn target(&self) -> String {
        format!("plain:{}", self.path().display())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new("/dev/shm").join(self.0.path().file_name().unwrap()));
    }
}

#[test]
fn a_file_in_order_gets_arguments_that_fit_it() {
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 8 << 20, 0o666);
    let visit = visit(&target, &["--size", "8M"]);
    visit.is_well();
    let text = String::from_utf8(run(&["doctor", &target]).stdout).unwrap();
    assert!(
        text.contains("nothing is wrong") && text.contains("size=8M") && text.contains("<qemu:arg"),
        "{text}"
    );
    assert_eq!(visit.report["size"], 8 << 20);
}

#[test]
fn a_missing_file_is_created_by_the_remedy() {
    // Also with a size that no machine accepts, which is rounded up, and with names that need quoting in a shell.
    for (name, size) in [("x", "4M"), ("x", "3M"), ("a b", "1"), ("a'b & c", "64K")] {
        let (dir, target) = folder(name);
        let remedy = cured("file-missing", HERE, || visit(&target, &["--size", size]));
        assert!(remedy.starts_with("create it: `ivshmem create "), "{remedy}");
        let mode = fs::metadata(dir.path().join(name)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else reads it, whatever the umask is");
    }
    // If a link names the file, it is created at the link's target.
    let (dir, target) = folder("link");
    std::os::unix::fs::symlink("middle", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("end"), dir.path().join("middle")).unwrap();
    cured("file-missing", HERE, || visit(&target, &[]));
    assert!(dir.path().join("end").is_file());
    // Examining has created nothing.
    let (dir, target) = folder("y");
    visit(&format!("{target}?size=4M"), &[]).remedy("file-missing");
    assert!(!dir.path().join("y").exists());
}

#[test]
fn a_missing_file_is_created_for_the_machine_as_well() {
    if !is_root("a_missing_file_is_created_for_the_machine_as_well") {
        return;
    }
    let (dir, target) = folder("x");
    let remedy = cured("file-missing", HERE, || visit(&target, &["--qemu-user", "nobody"]));
    // A file that a shell creates has a mode by its umask until it is changed.
    assert!(!remedy.contains("chmod") && !remedy.contains("chown"), "{remedy}");
    let facts = fs::metadata(dir.path().join("x")).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o777), (0, 0o660), "no more than is needed");
}

#[test]
fn a_missing_directory_is_made_by_the_remedy() {
    let (_dir, target) = folder("a/b c/x");
    cured("directory-missing", HERE, || visit(&target, &["--size", "4M"]));
    let (dir, target) = folder("link");
    std::os::unix::fs::symlink("none/x", dir.path().join("link")).unwrap();
    cured("directory-missing", HERE, || visit(&target, &[]));
}

#[test]
fn a_link_that_another_user_may_have_put_there_is_not_followed() {
    if !is_root("a_link_that_another_user_may_have_put_there_is_not_followed") {
        return;
    }
    let (dir, target) = folder("link");
    let (link, end) = (dir.path().join("link"), dir.path().join("end"));
    std::os::unix::fs::symlink(&end, &link).unwrap();
    // A link of this user is followed, and one that only this user can have created.
    for (owner, of_directory, mode, is_followed) in [
        (0, 0, 0o1777, true),
        (65_534, 0, 0o755, true),
        (65_534, 0, 0o1777, false),
        (65_534, 0, 0o775, false),
        (65_534, 65_534, 0o755, false),
    ] {
        std::os::unix::fs::lchown(&link, Some(owner), None).unwrap();
        std::os::unix::fs::chown(dir.path(), Some(of_directory), None).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let remedy = visit(&target, &[]).remedy(if is_followed { "file-missing" } else { "not-a-file" });
        assert_eq!(remedy.contains(end.to_str().unwrap()), is_followed, "{owner} {mode:o}: {remedy}");
        // Nothing can be created below it.
        visit(&format!("{target}/x"), &[]).remedy("not-a-file");
    }
}

/// The target exists, and the cause does not deny it: a directory above it is closed, or the kernel follows no such link.
#[test]
fn a_link_of_another_user_that_the_kernel_does_not_follow_is_told_from_a_broken_one() {
    if !is_root("a_link_of_another_user_that_the_kernel_does_not_follow_is_told_from_a_broken_one") {
        return;
    }
    let nobody = Nobody::new();
    let (dir, target) = folder("link");
    let (link, closed) = (dir.path().join("link"), dir.path().join("closed"));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(&closed).unwrap();
    make(&closed.join("end"), 1 << 20, 0o666);
    std::os::unix::fs::symlink(closed.join("end"), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(1), None).unwrap();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let owner = users.lines().find(|line| line.split(':').nth(2) == Some("1"));
    let owner = owner.map_or("1", |line| line.split(':').next().unwrap());
    let is_refused = |visited: &Visit| {
        visited.cause_has(&format!("is a link of user {owner}, and user "));
        let remedy = visited.remedy("not-a-file");
        let removal = format!("as root: `rm {}`", link.display());
        assert!(remedy.starts_with("name another file: ") && remedy.ends_with(&removal), "{remedy}");
    };
    let protects = fs::read_to_string("/proc/sys/fs/protected_symlinks").unwrap().trim() == "1";
    // A directory above the target is open to nobody else.
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    is_refused(&nobody.visit(&target, &[]));
    is_refused(&nobody.visit(&format!("{target}/x"), &[]));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    for visited in [nobody.visit(&target, &[]), visit(&target, &[])] {
        if protects { is_refused(&visited) } else { visited.is_well() }
    }
    // Root's link is trusted, so the remedy may be about its target.
    std::os::unix::fs::lchown(&link, Some(0), None).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    nobody.visit(&target, &[]).remedy("not-permitted");
}

#[test]
fn what_is_no_file_is_told_apart() {
    for (path, word) in [("/dev/null", "a device"), ("/tmp", "a directory")] {
        let visit = visit(&format!("plain:{path}"), &[]);
        visit.remedy("not-a-file");
        visit.cause_has(word);
    }
    // A directory, a server's socket, a pipe, and a file in the place of a directory.
    let (_dir, target) = folder("");
    cured("not-a-file", HERE, || visit(target.trim_end_matches('/'), &[]));
    let (dir, target) = folder("s");
    let _server = Server::builder(dir.path().join("s")).start().unwrap();
    cured("not-a-file", HERE, || visit(&target, &[]));
    let other = Elsewhere::new();
    let made = Command::new("mkfifo").arg(&*other.path()).status().unwrap();
    assert!(made.success());
    cured("not-a-file", HERE, || visit(&other.target(), &[]));
    let (dir, target) = folder("x/y");
    make(&dir.path().join("x"), 4096, 0o666);
    assert!(visit(&target, &[]).names.contains(&"not-a-file".to_owned()));
}

#[test]
fn a_name_that_is_too_long_is_replaced_by_the_remedy() {
    let test = "a_name_that_is_too_long_is_replaced_by_the_remedy";
    let target = format!("plain:/dev/shm/{}", "x".repeat(256));
    let remedy = visit(&target, &[]).remedy("path-too-long");
    assert!(commands(&remedy)[0].contains(" plain:/dev/shm/ivshmem "), "{remedy}");
    // The remedy creates a file whose name may be in use, so not in this system's /dev/shm.
    in_mounts(test, "tmpfs", "size=16M", |mounted| {
        mounted.run("mount --bind $M /dev/shm");
        let place = mounted.place();
        cured("path-too-long", place, || place.visit(&target, &[]));
    });
}

#[test]
fn an_empty_file_is_a_note_and_gets_its_size_by_the_remedy() {
    // packaging/ivshmem.conf creates such files, and libvirt sets their size.
    let (dir, target) = folder("a b");
    make(&dir.path().join("a b"), 0, 0o666);
    let visited = visit(&target, &[]);
    visited.remedy("file-empty");
    assert_eq!(visited.report["findings"][0]["severity"], "note");
    cured("file-empty", HERE, || visit(&target, &["--size", "3M"]));
}

#[test]
fn a_size_that_is_no_power_of_two_is_rounded_up_by_the_remedy() {
    for size in [3_000_000, 2048] {
        let (dir, target) = folder("x");
        make(&dir.path().join("x"), size, 0o666);
        visit(&target, &[]).cause_has(&size.to_string());
        cured("size-not-a-power-of-two", HERE, || visit(&target, &[]));
    }
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 3 << 20, 0o666);
    cured("size-not-a-power-of-two", HERE, || visit(&target, &["--size", "3M"]));
}

#[test]
fn a_stale_file_of_another_size_is_made_new_by_the_remedy() {
    for wanted in ["2M", "1500K", "64K"] {
        let (dir, target) = folder("x");
        fs::write(dir.path().join("x"), vec![7; 1 << 20]).unwrap();
        cured("size-differs", HERE, || visit(&target, &["--size", wanted]));
        let content = fs::read(dir.path().join("x")).unwrap();
        assert!(content.iter().all(|byte| *byte == 0), "what was there is of another time");
    }
}

#[test]
fn remedies_work_on_files_of_others_in_a_sticky_directory() {
    if !is_root("remedies_work_on_files_of_others_in_a_sticky_directory") {
        return;
    }
    // fs.protected_regular prevents even root from opening such a file with O_CREAT, as `>` and plain truncate do.
    for (size, name) in [(0, "file-empty"), (5000, "size-not-a-power-of-two")] {
        let (dir, target) = folder("x");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        make(&dir.path().join("x"), size, 0o666);
        std::os::unix::fs::chown(dir.path().join("x"), Some(65534), Some(65534)).unwrap();
        let visits = || visit(&target, &[]);
        match name {
            "file-empty" => cured("file-empty", HERE, visits),
            _ => cured("size-not-a-power-of-two", HERE, visits),
        };
    }
}

#[test]
fn a_user_without_permission_gets_it_by_the_remedy() {
    if !is_root("a_user_without_permission_gets_it_by_the_remedy") {
        return;
    }
    let (dir, target) = folder("x");
    let nobody = Nobody::new();
    make(&dir.path().join("x"), 1 << 20, 0o600);
    nobody.visit(&target, &[]).cause_has("mode 600, user root");
    cured("not-permitted", HERE, || nobody.visit(&target, &[]));
    // Its owner, who has removed their own permission; then a machine of another user as well.
    let path = dir.path().join("x");
    let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
    std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    cured("not-permitted", HERE, || nobody.visit(&target, &[]));
    assert_eq!(mode(), 0o600, "no more than is needed");
    let both = || nobody.visit(&target, &["--qemu-user", "daemon"]);
    cured("qemu-not-permitted", HERE, both);
    assert_eq!(mode() & 0o007, 0, "others get nothing");

    // A directory that was created for memory; its content cannot be examined before.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let visited = nobody.visit(&target, &[]);
    visited.cause_has("may not pass");
    cured("not-permitted", HERE, || nobody.visit(&target, &[]));
    // A directory that was created for something else.
    let other = Elsewhere::new();
    fs::set_permissions(other.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    make(&other.path(), 5000, 0o600);
    let remedy = cured("not-permitted", HERE, || {
        let mut visited = nobody.visit(&other.target(), &[]);
        visited.names.retain(|name| name == "not-permitted");
        visited
    });
    assert!(!remedy.contains("chmod 660 /var") && !remedy.contains("chmod ug"), "{remedy}");
}

#[test]
fn who_may_not_make_or_resize_a_file_hears_that_root_may() {
    if !is_root("who_may_not_make_or_resize_a_file_hears_that_root_may") {
        return;
    }
    let (dir, target) = folder("x");
    let nobody = Nobody::new();
    let remedy = cured("file-missing", HERE, || nobody.visit(&target, &[]));
    assert!(remedy.starts_with("create it: as root: `"), "{remedy}");
    let facts = fs::metadata(dir.path().join("x")).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o777), (65534, 0o600), "no more than is needed");
    let below = format!("{target}.d/x");
    let remedy = cured("directory-missing", HERE, || nobody.visit(&below, &[]));
    assert!(remedy.contains(": as root: `"), "{remedy}");
    make(&dir.path().join("x"), 5000, 0o644);
    std::os::unix::fs::chown(dir.path().join("x"), Some(0), Some(0)).unwrap();
    let reading = format!("{target}?readonly");
    let remedy = cured("size-not-a-power-of-two", HERE, || nobody.visit(&reading, &[]));
    assert!(remedy.contains(": as root: `truncate"), "{remedy}");
    // A user with permission does not need root.
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let remedy = nobody.visit(&format!("{}/y", target.trim_end_matches("/x")), &[]).remedy("file-missing");
    assert!(!remedy.contains("as root"), "{remedy}");
    make(&dir.path().join("x"), 5000, 0o666);
    let remedy = nobody.visit(&target, &[]).remedy("size-not-a-power-of-two");
    assert!(!remedy.contains("as root"), "{remedy}");
}

#[test]
fn who_only_reads_needs_no_more() {
    if !is_root("who_only_reads_needs_no_more") {
        return;
    }
    let (dir, target) = folder("x");
    let nobody = Nobody::new();
    make(&dir.path().join("x"), 1 << 20, 0o644);
    nobody.visit(&format!("{target}?readonly"), &[]).is_well();
    nobody.visit(&target, &[]).remedy("not-permitted");
    // A machine always writes.
    nobody.visit(&format!("{target}?readonly"), &["--qemu-user", "nobody"]).remedy("qemu-not-permitted");
    make(&dir.path().join("x"), 1 << 20, 0o600);
    let reading = format!("{target}?readonly");
    let remedy = cured("not-permitted", HERE, || nobody.visit(&reading, &[]));
    assert!(remedy.contains("chmod g+r "), "{remedy}");
    nobody.visit(&target, &[]).remedy("not-permitted");
}

#[test]
fn a_line_of_tmpfiles_makes_the_file_for_whoever_needs_it() {
    if !is_root("a_line_of_tmpfiles_makes_the_file_for_whoever_needs_it") {
        return;
    }
    for name in ["x", "a b", "a%b", "it's"] {
        let (dir, target) = folder(name);
        let nobody = Nobody::new();
        let path = dir.path().join(name);
        make(&path, 4096, 0o600);
        let remedy = nobody.visit(&target, &[]).remedy("not-permitted");
        let line = remedy.split("ivshmem.conf: ").nth(1).unwrap();
        fs::remove_file(&path).unwrap();
        let conf = dir.path().join("ivshmem.conf");
        fs::write(&conf, format!("{line}\n")).unwrap();
        let made = Command::new("systemd-tmpfiles").arg("--create").arg(&conf).output().unwrap();
        assert!(made.status.success() && path.exists(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
        assert_eq!(nobody.visit(&target, &[]).names, ["file-empty"]);
    }
}

#[test]
fn nothing_is_advised_that_would_open_or_cut_a_file_of_the_system() {
    if !is_root("nothing_is_advised_that_would_open_or_cut_a_file_of_the_system") {
        return;
    }
    let nobody = Nobody::new();
    let (dir, _) = folder("x");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("/etc/shadow", &link).unwrap();
    let before = fs::metadata("/etc/shadow").unwrap();
    for path in ["/etc/shadow", "/etc/passwd", "/bin/sh", "/root/.bashrc", link.to_str().unwrap()] {
        for options in [&[][..], &["--size", "4M"], &["--qemu-user", "nobody"]] {
            let target = format!("plain:{path}");
            for visited in [nobody.visit(&target, options), visit(&target, options)] {
                for finding in visited.report["findings"].as_array().unwrap() {
                    for command in commands(finding["remedy"].as_str().unwrap()) {
                        assert!(!command.contains(&format!(" {path}")), "{command}");
                    }
                }
                let has_arguments = visited.report["qemu"].is_array();
                assert!(!has_arguments || !Path::new(path).exists() || path.starts_with("/root"), "{path}");
            }
        }
    }
    let after = fs::metadata("/etc/shadow").unwrap();
    assert_eq!((before.mode(), before.len()), (after.mode(), after.len()));
}

#[test]
fn no_file_is_made_among_files_of_the_system() {
    for (path, name) in [
        ("/etc/nologin-x", "file-missing"),
        ("/run/nologin-x", "file-missing"),
        ("/etc/no-such-folder/x", "directory-missing"),
        ("/usr/no-such-folder/x", "directory-missing"),
        ("/etc/cron.d", "not-a-file"),
        ("/usr/lib", "not-a-file"),
    ] {
        for options in [&[][..], &["--size", "4M"], &["--qemu-user", "nobody"]] {
            let visited = visit(&format!("plain:{path}"), options);
            let all = commands(&visited.remedy(name));
            assert!(!all.iter().any(|command| command.contains(path)), "{path}: {all:?}");
            assert!(all[0].contains("/dev/shm/"), "{path}: {all:?}");
            assert!(!visited.report["qemu"].is_array(), "no machine makes it either");
        }
    }
}

#[test]
fn a_file_that_the_machine_may_not_use_is_opened_to_it_by_the_remedy() {
    if !is_root("a_file_that_the_machine_may_not_use_is_opened_to_it_by_the_remedy") {
        return;
    }
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o600);
    visit(&target, &[]).is_well();
    let options = ["--qemu-user", "nobody"];
    let remedy = cured("qemu-not-permitted", HERE, || visit(&target, &options));
    assert!(remedy.contains("chmod g+rw "), "root has it anyway: {remedy}");
    // A directory, and both at the same time.
    for mode in [0o660, 0o600] {
        make(&dir.path().join("x"), 1 << 20, mode);
        std::os::unix::fs::chown(dir.path().join("x"), Some(0), Some(0)).unwrap();
        std::os::unix::fs::chown(dir.path(), Some(0), Some(0)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        visit(&target, &options).cause_has("may not pass");
        cured("qemu-not-permitted", HERE, || visit(&target, &options));
    }
    let visited = visit(&target, &["--qemu-user", "no-such-person"]);
    let typed = HERE.type_in(&visited.remedy("no-such-user"));
    assert!(typed.is_well);
    // No user gets access to a directory for other purposes.
    let other = Elsewhere::new();
    fs::set_permissions(other.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    make(&other.path(), 4096, 0o666);
    visit(&other.target(), &options).is_well();
}

#[test]
fn lists_of_users_beside_the_mode_are_looked_at() {
    let test = "lists_of_users_beside_the_mode_are_looked_at";
    if !is_root(test) {
        return;
    }
    let (dir, target) = folder("x");
    let path = dir.path().join("x");
    make(&path, 1 << 20, 0o600);
    let options = ["--qemu-user", "nobody"];
    let list = |list: &str| {
        let status = Command::new("setfacl").args(["-m", list]).arg(&path).status();
        status.is_ok_and(|status| status.success())
    };
    if !list("u:nobody:rw") {
        return skip(test, "no access lists: the package acl, or /dev/shm's file system");
    }
    visit(&target, &options).is_well();
    // The mask limits the list's entries, and a list may deny what the mode permits to all.
    assert!(list("m::r"));
    cured("qemu-not-permitted", HERE, || visit(&target, &options));
    make(&path, 1 << 20, 0o666);
    assert!(list("u:nobody:-"));
    cured("qemu-not-permitted", HERE, || visit(&target, &options));
    // Users with access keep it: an owner other than both users, and the group.
    let nobody = Nobody::new();
    for (owner, group, mode) in [(4711, 4711, 0o600), (0, 4711, 0o660)] {
        fs::remove_file(&path).unwrap();
        make(&path, 1 << 20, mode);
        std::os::unix::fs::chown(&path, Some(owner), Some(group)).unwrap();
        let visits = || {
            let mut visited = nobody.visit(&target, &["--qemu-user", "daemon"]);
            visited.names.truncate(1);
            visited
        };
        let remedy = cured("not-permitted", HERE, visits);
        assert!(remedy.contains("setfacl is in Debian's package acl"), "{remedy}");
        nobody.visit(&target, &["--qemu-user", "daemon"]).is_well();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (owner, group));
    }
}

#[test]
fn a_file_that_nobody_may_change_is_told_apart() {
    let test = "a_file_that_nobody_may_change_is_told_apart";
    if !is_root(test) {
        return;
    }
    let (dir, target) = folder("x");
    let path = dir.path().join("x");
    make(&path, 1 << 20, 0o666);
    if !Command::new("chattr").arg("+i").arg(&path).status().is_ok_and(|status| status.success()) {
        return skip(test, "/dev/shm has no attributes here");
    }
    cured("immutable", HERE, || visit(&target, &[]));
}

#[test]
fn what_the_system_says_of_a_file_that_it_does_not_open_is_told() {
    let test = "what_the_system_says_of_a_file_that_it_does_not_open_is_told";
    in_mounts(test, "tmpfs", "size=16M", |mounted| {
        mounted.run("mount --bind $M /dev/shm");
        // A running program, of a size that memory may have.
        mounted.run("cp /usr/bin/cat /dev/shm/program && truncate -s 1M /dev/shm/program");
        let place = mounted.place();
        let mut program = place.command("/dev/shm/program");
        let mut program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = program.stdin.take().unwrap();
        input.write_all(b"x").unwrap();
        program.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let target = "plain:/dev/shm/program";
        let visited = place.visit(target, &[]);
        cured("not-opened", place, || place.visit(target, &[]));
        place.visit(&format!("{target}?readonly"), &[]).is_well();
        drop(input);
        program.wait().unwrap();
        visited.cause_has("Text file busy");
        place.visit(target, &[]).is_well();
    });
}

#[test]
fn a_file_that_becomes_a_pipe_while_it_is_looked_at_makes_nobody_wait() {
    let (dir, target) = folder("x");
    let (path, pipe) = (dir.path().join("x"), dir.path().join("pipe"));
    make(&path, 1 << 20, 0o666);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let over = AtomicBool::new(false);
    let codes: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                renameat_with(CWD, &path, CWD, &pipe, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let looks = (0..200).map(|_| {
            // `timeout` ends a doctor that waits for a writer of the pipe.
            let mut doctor = Command::new("timeout");
            doctor.args(["--signal=KILL", "30"]).arg(ivshmem().get_program());
            doctor.args(["doctor", &format!("{target}?readonly")]);
            doctor.output().map(|output| output.status.code())
        });
        let codes = looks.collect();
        over.store(true, Relaxed);
        codes
    });
    // A file has no finding, a pipe is a problem.
    assert!(codes.iter().all(|code| matches!(code, Ok(Some(0 | 4)))), "{codes:?}");
}

#[test]
fn a_sandbox_is_told_apart_from_permissions() {
    use landlock::{
        ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    };
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 20, 0o666);
    // The thread that starts the doctor cannot leave the sandbox again.
    let confined = std::thread::spawn({
        let target = target.clone();
        move || {
            let reading = AccessFs::from_read(ABI::V1);
            let root = PathBeneath::new(PathFd::new("/").unwrap(), reading);
            let rules =
                Ruleset::default().handle_access(AccessFs::from_all(ABI::V1)).unwrap().create().unwrap();
            let status = rules.add_rule(root).unwrap().restrict_self().unwrap();
            (status.ruleset != RulesetStatus::NotEnforced).then(|| visit(&target, &[]))
        }
    });
    match confined.join().unwrap() {
        Some(visited) => drop(visited.remedy("security-module")),
        None => skip("a_sandbox_is_told_apart_from_permissions", "this kernel has no Landlock"),
    }
    // The remedy: run it outside the sandbox.
    visit(&target, &[]).is_well();
}

#[test]
fn a_region_that_no_machine_can_address_is_told() {
    // On a tmpfs, a file of that size without its space is another finding.
    let other = Elsewhere::new();
    make(&other.path(), 1 << 40, 0o666);
    cured("address-width", HERE, || visit(&other.target(), &[]));
    visit(&other.target(), &["--phys-bits", "46"]).is_well();
    // More memory than the host has is never recommended.
    let (dir, target) = folder("x");
    make(&dir.path().join("x"), 1 << 45, 0o666);
    let remedy = visit(&target, &["--phys-bits", "52"]).remedy("no-space");
    assert!(remedy.starts_with("make the memory smaller"), "{remedy}");
}

#[test]
fn an_option_that_a_target_has_not_is_refused_as_everywhere() {
    let (_dir, target) = folder("x");
    let output = run(&["doctor", &format!("{target}?read-only")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("size=BYTES, readonly and prefault"));
}

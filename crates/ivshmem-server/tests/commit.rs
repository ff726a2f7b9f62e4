//! The commit that the programs tell is that of the last build, however git keeps its branches: this package's build script, in
//! repositories with nothing but a program that prints what it found.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::UNIX_EPOCH;

use ivshmem_conformance::checkout;

#[test]
fn a_build_after_a_commit_or_a_checkout_tells_the_new_commit_and_no_other_build_looks() {
    for (branch, logs) in
        [("main", "true"), ("main", "false"), ("kept/in/folders", "true"), ("kept/in/folders", "false")]
    {
        for is_packed in [false, true] {
            let case = format!("{branch}, logs {logs}, packed {is_packed}");
            let place = tempfile::tempdir().unwrap();
            let repository = Repository(place.path());
            repository.fill(branch, logs);
            let pack = || _ = is_packed.then(|| repository.git(&["pack-refs", "--all", "--prune"]));
            pack();
            assert_eq!(repository.told(), repository.head(), "{case}");
            assert!(repository.is_fresh(), "{case}");
            repository.commit();
            assert_eq!(repository.told(), repository.head(), "{case}");
            repository.commit();
            pack();
            assert_eq!(repository.told(), repository.head(), "{case}");
            assert!(repository.is_fresh(), "{case}");
            repository.git(&["checkout", "--detach", "HEAD~1"]);
            assert_eq!(repository.told(), repository.head(), "{case}");
            assert!(repository.is_fresh(), "{case}");
            repository.git(&["checkout", branch]);
            assert_eq!(repository.told(), repository.head(), "{case}");
        }
    }
}

/// A git that keeps its branches in the format reftable changes its files, and no other file that this git changes.
#[test]
fn a_build_after_a_commit_in_the_format_reftable_tells_the_new_commit() {
    for (case, is_linked, is_shared) in [
        ("a repository", false, true),
        ("a linked worktree's branch", true, true),
        ("a linked worktree's HEAD", true, false),
    ] {
        let place = tempfile::tempdir().unwrap();
        let (main, linked) = (place.path().join("main"), place.path().join("linked"));
        fs::create_dir(&main).unwrap();
        Repository(&main).fill("main", "false");
        Repository(&main).git(&["worktree", "add", linked.to_str().unwrap()]);
        let repository = Repository(if is_linked { &linked } else { &main });
        let tables = main.join(if is_shared { ".git/reftable" } else { ".git/worktrees/linked/reftable" });
        fs::create_dir(&tables).unwrap();
        fs::write(tables.join("tables.list"), "1").unwrap();
        assert_eq!(repository.told(), repository.head(), "{case}");
        assert!(repository.is_fresh(), "{case}");
        repository.commit();
        for entry in walk(&main.join(".git")) {
            File::options().write(true).open(&entry).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        assert!(repository.is_fresh(), "{case}: the files of the usual format tell the new commit");
        fs::write(tables.join("tables.list"), "2").unwrap();
        assert_eq!(repository.told(), repository.head(), "{case}");
        assert!(repository.is_fresh(), "{case}");
    }
}

/// The files below a folder, without git's objects, which are read-only.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| !path.ends_with("objects"))
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

struct Repository<'a>(&'a Path);

impl Repository<'_> {
    fn fill(&self, branch: &str, logs: &str) {
        let package = self.0.join("crates/ivshmem-server");
        fs::create_dir_all(package.join("src")).unwrap();
        fs::copy(checkout::package().join("build.rs"), package.join("build.rs")).unwrap();
        fs::write(package.join("src/main.rs"), "fn main() { print!(\"{}\", env!(\"IVSHMEM_COMMIT\")); }")
            .unwrap();
        let manifest = "[package]\nname = \"told\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        fs::write(self.0.join(".gitignore"), "target\nCargo.lock\n").unwrap();
        self.git(&["init", "--initial-branch", branch]);
        self.git(&["config", "core.logAllRefUpdates", logs]);
        self.git(&["add", "."]);
        self.commit();
    }

    fn commit(&self) {
        let who =
            ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgSign=false"];
        self.git(&[&who[..], &["commit", "--allow-empty", "--message", "next"]].concat());
    }

    fn head(&self) -> String {
        format!(" ({})", self.git(&["rev-parse", "--short=12", "HEAD"]).trim_end())
    }

    fn git(&self, arguments: &[&str]) -> String {
        // Nothing of this user's or this system's settings.
        let settings = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"].map(|name| (name, "/dev/null"));
        let mut git = Command::new("/usr/bin/git");
        git.arg("-C").arg(self.0).args(arguments).envs(settings);
        succeeded(git)
    }

    fn told(&self) -> String {
        succeeded(self.cargo("run"))
    }

    /// Whether one more build runs nothing.
    fn is_fresh(&self) -> bool {
        let output = self.cargo("build").arg("--verbose").output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("Fresh told")
    }

    fn cargo(&self, verb: &str) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo starts tests"));
        cargo.arg(verb).arg("--offline").current_dir(self.0.join("crates/ivshmem-server"));
        cargo.env("CARGO_TARGET_DIR", self.0.join("target"));
        cargo
    }
}

fn succeeded(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

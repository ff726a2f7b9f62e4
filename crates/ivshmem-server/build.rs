//! Puts the commit that is built into the version that the programs `ivshmem-server` and `ivshmem` tell.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let commit = commit().map_or(String::new(), |commit| format!(" ({commit})"));
    println!("cargo:rustc-env=IVSHMEM_COMMIT={commit}");
}

/// None in sources that are no checkout, as those of a tarball.
fn commit() -> Option<String> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?).join("../..").canonicalize().ok()?;
    // Not that of another project into whose folders these sources were unpacked.
    if git(&root, &["rev-parse", "--show-toplevel"])? != root.to_str()? {
        return None;
    }
    // In git's usual format, each commit and each checkout writes to one of these, also where no log of HEAD is kept.
    let branch = git(&root, &["symbolic-ref", "--quiet", "HEAD"]);
    let branch = branch.as_deref().unwrap_or("HEAD");
    for name in ["HEAD", "logs/HEAD", "packed-refs", branch] {
        let path = root.join(git(&root, &["rev-parse", "--git-path", name])?);
        let there = if name == branch {
            // A packed branch has no file, and no folder where its name has a slash: the next commit makes them, which the folder
            // shows that is there already.
            path.ancestors().find(|path| path.exists())
        } else {
            // Cargo would take what is not there for changed, at each build.
            Some(path.as_path()).filter(|path| path.exists())
        };
        if let Some(there) = there {
            println!("cargo:rerun-if-changed={}", there.display());
        }
    }
    // In git's format reftable, those files stay as they are. A linked worktree has such a folder for its own HEAD, and shares
    // the one with the branches.
    let own = git(&root, &["rev-parse", "--git-path", "reftable"])?;
    let shared = git(&root, &["rev-parse", "--git-common-dir"])? + "/reftable";
    for folder in [own, shared].map(|folder| root.join(folder)).iter().filter(|folder| folder.exists()) {
        println!("cargo:rerun-if-changed={}", folder.display());
    }
    git(&root, &["rev-parse", "--short=12", "HEAD"])
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

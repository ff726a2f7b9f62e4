//! Keeps the library in the process once it is loaded.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A Java virtual machine unloads a library with the class loader that loaded it, and knows nothing of threads that
    // may still be running in it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete");
    }
}

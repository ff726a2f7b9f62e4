//! Behaviour that depends on a terminal: bars, colours, the width of the help, and bytes that a terminal must not get.

use std::fs;
use std::process::{Command, Stdio};

use ivshmem_conformance::checkout;

use crate::{bad, good, ivshmem, region, run};

/// Runs words in a shell on a terminal. Returns its exit status, and everything that the terminal received.
fn on_terminal(words: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tempfile::TempDir::new().unwrap();
    let typescript = dir.path().join("typescript");
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", words, typescript.to_str().unwrap()])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm");
    script.envs(environment.iter().copied());
    let status = script.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    (status.code(), fs::read_to_string(&typescript).unwrap())
}

#[test]
fn what_takes_long_shows_a_bar_to_those_who_look() {
    let program = checkout::built("ivshmem");
    let (_dir, target, _path) = region(256 << 20);
    // Standard error is the terminal, standard output is not.
    let (code, text) = on_terminal(&format!("{program} read {target} >/dev/null"), &[]);
    assert!(code == Some(0) && text.contains("of 256.00 MiB"), "{text:?}");
    // The length of a pipe is unknown.
    let (code, text) = on_terminal(&format!("head -c 192M /dev/zero | {program} write {target}"), &[]);
    assert!(code == Some(0) && text.contains("MiB, ") && text.contains("/s"), "{text:?}");
    let (code, text) = on_terminal(&format!("head -c 1M /dev/zero | {program} write {target}"), &[]);
    assert!(code == Some(0) && !text.contains("/s"), "{text:?}");
    // Without a terminal.
    good(&run(&["fill", &target, "0"]));
}

#[test]
fn bytes_that_are_no_text_are_kept_from_a_terminal() {
    let program = checkout::built("ivshmem");
    let (_dir, target, path) = region(4096);
    let (code, text) = on_terminal(&format!("{program} read {target}"), &[]);
    assert!(code == Some(1) && text.contains("ivshmem dump") && !text.contains('\0'), "{text:?}");
    let (code, text) = on_terminal(&format!("{program} read {target} --binary"), &[]);
    assert!(code == Some(0) && text.contains('\0'), "{text:?}");
    let (code, text) = on_terminal(&format!("{program} read {target} | tr '\\0' x"), &[]);
    assert!(code == Some(0) && text.contains("xxxx"), "{text:?}");
    fs::write(&path, "Gr\u{fc}\u{df}e\n").unwrap();
    let (code, text) = on_terminal(&format!("{program} read {target}"), &[]);
    assert!(code == Some(0) && text.contains("Gr\u{fc}\u{df}e"), "{text:?}");
    // A character across the end of a piece of 1 MiB, and binary data only after that.
    let mut long = "a".repeat((1 << 20) - 1) + "\u{fc}" + &"b".repeat(1 << 19);
    fs::write(&path, &long).unwrap();
    let (code, text) = on_terminal(&format!("{program} read {target}"), &[]);
    assert!(code == Some(0) && text.contains("a\u{fc}b"), "{code:?} {} bytes", text.len());
    long.push('\x1b');
    fs::write(&path, &long).unwrap();
    let (code, text) = on_terminal(&format!("{program} read {target}"), &[]);
    assert!(
        code == Some(1) && text.contains("ivshmem dump") && !text.contains("aaa"),
        "{} bytes",
        text.len()
    );
    // Elsewhere the bytes are unchanged.
    fs::write(&path, [0xff, 0]).unwrap();
    assert_eq!(run(&["read", &target]).stdout, [0xff, 0]);
}

#[test]
fn colours_are_where_they_are_wanted() {
    let program = checkout::built("ivshmem");
    const RED: &str = "\x1b[31m";
    let wrong = ["info", "plain:/nonexistent/x"];
    let coloured = |arguments: &[&str]| {
        let output = ivshmem().args(arguments).env_remove("NO_COLOR").output().unwrap();
        let text = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
        text.contains('\x1b')
    };
    assert!(!coloured(&wrong) && !coloured(&["--help"]));
    for help in [&["--help"][..], &["dump", "--help"], &["nonsense"], &wrong] {
        assert!(coloured(&[help, &["--color=always"]].concat()), "{help:?}");
        assert!(coloured(&[&["--color", "always"], help].concat()), "{help:?}");
        assert!(!coloured(&[help, &["--color=never"]].concat()), "{help:?}");
    }
    let words = format!("{program} info plain:/nonexistent/x");
    assert!(on_terminal(&words, &[]).1.contains(RED));
    assert!(!on_terminal(&words, &[("NO_COLOR", "1")]).1.contains('\x1b'));
    assert!(!on_terminal(&format!("{words} --color=never"), &[]).1.contains('\x1b'));
    assert!(bad(&run(&["--color=green", "info", "auto"]), 2).contains("auto, always, never"));
}

#[test]
fn the_help_has_as_many_columns_as_the_terminal_and_breaks_no_list() {
    let verbs = ["", "serve", "create", "listen", "ping", "doctor"];
    for (columns, verb) in [40, 60, 79, 80, 100, 120, 300].iter().flat_map(|c| verbs.map(|verb| (*c, verb))) {
        let output = ivshmem()
            .args([verb, "--help"].iter().filter(|word| !word.is_empty()))
            .env("COLUMNS", columns.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let is_command = |line: &str| line.starts_with("  ivshmem ") || line.starts_with("  printf ");
        for line in text.lines().filter(|line| !is_command(line) && columns >= 60) {
            assert!(line.chars().count() <= columns.min(100), "{verb} {columns}: {line}");
        }
        if verb.is_empty() && columns >= 60 {
            // The continuation of an entry is in its column.
            let targets = text
                .lines()
                .skip_while(|line| *line != "Targets:")
                .skip(1)
                .take_while(|line| !line.is_empty());
            for line in targets {
                let starts = line.starts_with("  ") && !line.starts_with("   ");
                assert!(
                    starts || line.starts_with(&" ".repeat(24)) && !line.starts_with(&" ".repeat(25)),
                    "{columns}: {line:?}"
                );
            }
        }
    }
}

#[test]
fn the_version_names_the_commit_where_that_is_known() {
    let text = String::from_utf8(run(&["-V"]).stdout).unwrap();
    let git = Command::new("git")
        .args(["-C", checkout::package().to_str().unwrap(), "rev-parse", "--short=12", "HEAD"])
        .output();
    match git {
        Ok(git) if git.status.success() => {
            let commit = String::from_utf8(git.stdout).unwrap();
            assert_eq!(text, format!("ivshmem {} ({})\n", env!("CARGO_PKG_VERSION"), commit.trim()));
        }
        _ => assert_eq!(text, format!("ivshmem {}\n", env!("CARGO_PKG_VERSION"))),
    }
}

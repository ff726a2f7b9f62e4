use std::io::Write;

/// The list of tests that may be skipped everywhere.
const ALLOWED: &str = include_str!("../../../tests/skips");

/// Reports that a test cannot run on this machine, and the reason. The test must return afterwards.
///
/// # Panics
/// With `CI=true` in the environment, unless the file `tests/skips` lists the test: a machine that is meant to run all
/// tests must not lose one silently.
pub fn skip(test: &str, reason: &str) {
    // Not println: the test harness discards the output of a passing test.
    let _ = writeln!(std::io::stderr(), "SKIP {test}: {reason}");
    let strict = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(
        !strict || is_allowed(ALLOWED, test),
        "{test} is skipped with CI=true and not in tests/skips: {reason}"
    );
}

fn is_allowed(list: &str, test: &str) -> bool {
    list.lines().any(|line| line.split_once(':').is_some_and(|(name, _)| name == test))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_allowed_by_its_whole_name_only() {
        let list = "# comment: none\nhuge_pages: no machine has any\n";
        assert!(is_allowed(list, "huge_pages"));
        assert!(
            !is_allowed(list, "huge")
                && !is_allowed(list, " no machine has any")
                && !is_allowed("", "huge_pages")
        );
    }
}

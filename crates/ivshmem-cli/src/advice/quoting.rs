//! Text of the system in the languages that people paste it into, but for that of a shell, which the library knows.

/// A value among QEMU's options: a comma would end it unless it is doubled.
pub(crate) fn option(text: &str) -> String {
    text.replace(',', ",,")
}

/// An attribute of XML in single quotes.
pub(crate) fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;")
}

/// One argument of a command of QEMU's monitor.
pub(crate) fn monitor(text: &str) -> String {
    if text.contains([' ', '"', '\\']) {
        return format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#));
    }
    text.to_owned()
}

/// A path in a line of tmpfiles.d, where a percent sign begins what systemd replaces.
pub(crate) fn tmpfiles(text: &str) -> String {
    let text = text.replace('%', "%%");
    if text.contains([' ', '"', '\'', '\\']) {
        return format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_own_marks() {
        assert_eq!(option("a,b"), "a,,b");
        assert_eq!(attribute("<'a'&b>"), "&lt;&apos;a&apos;&amp;b&gt;");
        assert_eq!((monitor("a'b"), monitor("a b\"")), ("a'b".into(), r#""a b\"""#.into()));
        assert_eq!((tmpfiles("/x%y"), tmpfiles("/a 'b'")), ("/x%%y".into(), "\"/a 'b'\"".into()));
    }
}

//! Quotes text of the system for QEMU, XML, QEMU's monitor and tmpfiles.d. The library quotes for shells.

/// A value among QEMU's options, where a comma must be doubled because a single one ends the value.
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

/// A path in a line of tmpfiles.d, where a percent sign begins a specifier of systemd.
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

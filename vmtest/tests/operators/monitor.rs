//! QEMU's monitor protocol (QMP).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The monitor of a running machine.
pub(super) struct Monitor(BufReader<UnixStream>);

impl Monitor {
    #[expect(clippy::disallowed_methods, reason = "a test may wait for the other end of a socket")]
    pub(super) fn new(path: &Path) -> Self {
        let mut monitor = Self(BufReader::new(UnixStream::connect(path).unwrap()));
        monitor.line();
        monitor.ask(r#"{"execute":"qmp_capabilities"}"#);
        monitor
    }

    /// Plugs an ivshmem device into a slot of a bus.
    pub(super) fn plug(&mut self, server: &Path, bus: &str, place: u8) {
        let backend = format!(
            r#"{{"type":"socket","data":{{"server":false,"addr":{{"type":"unix","data":{{"path":"{}"}}}}}}}}"#,
            server.display()
        );
        self.ask(&format!(
            r#"{{"execute":"chardev-add","arguments":{{"id":"for-{bus}","backend":{backend}}}}}"#
        ));
        self.ask(&format!(
            r#"{{"execute":"device_add","arguments":{{"driver":"ivshmem-doorbell","id":"in-{bus}","chardev":"for-{bus}","vectors":2,"bus":"{bus}","addr":"{place}"}}}}"#
        ));
    }

    /// Types a line into the human monitor, which must produce no output.
    pub(super) fn type_in(&mut self, line: &str) {
        let words = line.replace('\\', r"\\").replace('"', r#"\""#);
        let said = self.ask(&format!(
            r#"{{"execute":"human-monitor-command","arguments":{{"command-line":"{words}"}}}}"#
        ));
        assert!(said.contains(r#""return": """#), "{line}: {said}");
    }

    /// Sends one command and returns its answer.
    pub(super) fn ask(&mut self, command: &str) -> String {
        writeln!(self.0.get_mut(), "{command}").unwrap();
        loop {
            let line = self.line();
            assert!(!line.contains("\"error\""), "{command}: {line}");
            if line.contains("\"return\"") {
                return line;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "QEMU has closed its monitor");
        line
    }
}

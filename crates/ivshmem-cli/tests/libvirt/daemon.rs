//! A separate libvirt for the tests: nothing of it is visible outside, and nothing of it outlives the test.
//!
//! It has its own mount and process namespaces. The first process in them reads from a pipe of the test. It ends when the
//! pipe is closed or the test is killed, and then the kernel ends the daemon, the machines, and the mounts.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ivshmem_conformance::checkout;
use tempfile::TempDir;

/// Created like that of Debian's package libvirt-daemon-system, which is not installed, because it starts daemons.
const USER: &str = "libvirt-qemu";

/// Runs as the first process in the namespaces. `$D` is a directory that all users may enter.
const SCRIPT: &str = r#"
set -e
for place in /etc/libvirt /run /var/lib /var/log /var/cache; do mount -t tmpfs -o mode=755 none $place; done
if ! grep -q ^libvirt-qemu: /etc/passwd; then
  cp /etc/passwd /etc/group $D
  echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>$D/passwd
  echo 'libvirt-qemu:x:64055:' >>$D/group
  mount --bind $D/passwd /etc/passwd
  mount --bind $D/group /etc/group
fi
# libvirt asks QEMU again what it can before each start, where KVM is there and does not work.
if [ -e /dev/kvm ]; then touch $D/kvm; chmod 0 $D/kvm; mount --bind $D/kvm /dev/kvm; fi
# No network, no storage: only machines.
mkdir $D/drivers
cp /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so $D/drivers
cat >/etc/libvirt/qemu.conf <<end
security_driver = "none"
user = "libvirt-qemu"
group = "libvirt-qemu"
namespaces = []
stdio_handler = "file"
cgroup_controllers = []
remember_owner = 0
end
printf 'unix_sock_group = "root"\nauth_unix_rw = "none"\nlog_outputs = "3:stderr"\n' >/etc/libvirt/libvirtd.conf
LIBVIRT_DRIVER_DIR=$D/drivers /usr/sbin/libvirtd </dev/null 2>$D/log &
# Daemons leave their children to this shell, which takes them (a simpler one would not).
read -r || true
"#;

pub(crate) struct Libvirt {
    child: Child,
    dir: TempDir,
}

impl Libvirt {
    /// # Panics
    /// When it does not start.
    pub(crate) fn start() -> Self {
        let dir = TempDir::with_prefix("ivshmem-libvirt.").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let ready = UnixDatagram::bind(dir.path().join("ready")).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", SCRIPT])
            .env("D", dir.path())
            .env("NOTIFY_SOCKET", dir.path().join("ready"))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut libvirt = Self { child, dir };
        ready.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let mut message = [0; 64];
        match ready.recv(&mut message) {
            Ok(length) if message[..length].starts_with(b"READY=1") => libvirt,
            other => {
                drop(libvirt.child.stdin.take());
                let mut said = String::new();
                libvirt.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("libvirtd does not come up: {other:?} {said} {}", libvirt.log());
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A command that runs a program in these namespaces.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let namespaces = format!("/proc/{}/ns", self.child.id());
        command.arg(format!("--mount={namespaces}/mnt")).arg(format!("--pid={namespaces}/pid_for_children"));
        command.args(["--", program]).stdin(Stdio::null());
        command
    }

    /// Runs a command of a remedy as root.
    #[track_caller]
    pub(crate) fn shell(&self, command: &str) {
        let output = self.command("sh").args(["-c", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", said(&output));
    }

    pub(crate) fn virsh(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command("virsh").args(["--connect", "qemu:///system"]).args(args).output().unwrap();
        if output.status.success() { Ok(said(&output)) } else { Err(said(&output)) }
    }

    /// Exit status and output of the doctor, in a system with libvirt's user.
    pub(crate) fn doctor(&self, target: &str, options: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(checkout::built("ivshmem"));
        let output = command.args(["doctor", target]).args(options).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Validates a description against libvirt's schema and starts the machine, which stays paused.
    pub(crate) fn create(&self, description: &Description) -> Result<Machine<'_>, String> {
        self.create_from(&description.name(), &description.text())
    }

    /// The rules of the AppArmor profile for such a machine.
    #[track_caller]
    pub(crate) fn apparmor_rules(&self, description: &Description) -> String {
        let id = "11111111-2222-3333-4444-555555555555";
        let text = description.text().replacen("<memory", &format!("<uuid>{id}</uuid><memory"), 1);
        let file = self.dir.path().join("rules.xml");
        fs::write(&file, text).unwrap();
        let mut helper = self.command("/usr/lib/libvirt/virt-aa-helper");
        helper.args(["-d", "-r", "-u", &format!("libvirt-{id}")]).stdin(fs::File::open(file).unwrap());
        let output = helper.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    pub(crate) fn create_from(&self, name: &str, text: &str) -> Result<Machine<'_>, String> {
        let file = self.dir.path().join(format!("{name}.xml"));
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let checked = self.command("virt-xml-validate").args([file, "domain"]).output().unwrap();
        assert!(checked.status.success(), "{text}{}", said(&checked));
        self.virsh(&["create", "--paused", file])?;
        Ok(Machine { libvirt: self, name: name.to_owned() })
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A small machine without disks, and the elements to insert.
#[derive(Clone, Copy)]
pub(crate) struct Description<'a> {
    /// "q35" or "pc".
    pub machine: &'a str,
    /// The user that QEMU runs as: "root" or libvirt's user.
    pub user: &'a str,
    pub devices: &'a str,
    pub features: &'a str,
    /// Directly inside the domain.
    pub domain: &'a str,
}

impl<'a> Description<'a> {
    pub(crate) fn of(machine: &'a str) -> Self {
        Self { machine, user: USER, devices: "", features: "", domain: "" }
    }

    fn name(&self) -> String {
        format!("{}-{}", self.machine, self.user)
    }

    fn text(&self) -> String {
        let Self { machine, user, devices, features, domain } = self;
        format!(
            "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{}</name>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <features><acpi/>{features}</features>
  <devices>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <video><model type='vga'/></video>
{devices}
  </devices>
  <seclabel type='static' model='dac' relabel='yes'><label>{user}:{user}</label></seclabel>
{domain}
</domain>
",
            self.name()
        )
    }
}

/// A started machine. Destroyed on drop.
pub(crate) struct Machine<'a> {
    libvirt: &'a Libvirt,
    name: String,
}

impl Machine<'_> {
    /// Number of devices of this kind in QEMU.
    pub(crate) fn count(&self, kind: &str) -> usize {
        let tree = self.libvirt.virsh(&["qemu-monitor-command", &self.name, "--hmp", "info qtree"]).unwrap();
        tree.matches(&format!("dev: {kind}")).count()
    }

    pub(crate) fn description(&self) -> String {
        self.libvirt.virsh(&["dumpxml", &self.name]).unwrap()
    }

    /// Plugs in a device.
    pub(crate) fn attach(&self, element: &str) -> Result<String, String> {
        let file = self.libvirt.dir.path().join("device.xml");
        fs::write(&file, element).unwrap();
        self.libvirt.virsh(&["attach-device", &self.name, file.to_str().unwrap()])
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        let _ = self.libvirt.virsh(&["destroy", &self.name]);
    }
}

/// What this machine lacks for a separate libvirt.
pub(crate) fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root, for mounts of its own");
    }
    let programs =
        ["/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/xmllint", "/usr/bin/qemu-system-x86_64"];
    programs.iter().any(|program| !Path::new(program).exists()).then_some("libvirt or QEMU is not here")
}

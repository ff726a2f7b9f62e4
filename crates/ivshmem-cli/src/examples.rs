//! The text after the options in each verb's help and man page. A test runs the examples that can run on a host.

macro_rules! examples {
    ($($verb:ident: $text:literal)*) => {
        $(pub(crate) const $verb: &str = concat!("Examples:", $text);)*
    };
}

examples! {
    SERVE: "
  ivshmem serve /run/ivshmem.sock
      4 MiB and one vector for each client; what to pass to QEMU is printed
  ivshmem serve /run/ivshmem.sock --size 64M --vectors 2 --mode 660 --owner :kvm
      For virtual machines of the group kvm
  ivshmem serve /run/ivshmem.sock --status /run/ivshmem-status.sock
      `ivshmem status /run/ivshmem-status.sock` shows how it is doing"

    CREATE: "
  ivshmem create plain:/dev/shm/new 64M
      For QEMU's ivshmem-plain, and for programs
  ivshmem create plain:/dev/shm/new 64M --mode 660 --owner :kvm
      For virtual machines of the group kvm
  ivshmem create plain:/dev/shm/x 64M --grow
      Or makes longer what is there"

    LIST: "
  ivshmem list
      In a virtual machine: its ivshmem devices
  ivshmem list --json
      The same for programs"

    BIND: "
  ivshmem bind auto
      In a virtual machine: its only ivshmem device
  ivshmem bind pci:00:05.0 --undo
      Takes one back"

    SETUP: "
  ivshmem setup --dry-run
      In a virtual machine: what would be done
  ivshmem setup --undo
      Takes it back"

    INFO: "
  ivshmem info plain:/dev/shm/x
      What it is, and its size
  ivshmem info doorbell:/run/ivshmem.sock --json
      Also id, vectors and peers, for programs"

    PEERS: "
  ivshmem peers doorbell:/run/ivshmem.sock
      All connected peers"

    READ: "
  ivshmem read plain:/dev/shm/x 0x1000 256 >copy
      256 bytes from 4096 on, into a file
  ivshmem read doorbell:/run/ivshmem.sock | gzip >memory.gz
      All of a server's memory"

    DUMP: "
  ivshmem dump plain:/dev/shm/x 0x1000 256
      256 bytes from 4096 on
  ivshmem dump doorbell:/run/ivshmem.sock -o memory.txt
      All of a server's memory, into a file"

    WRITE: "
  ivshmem write plain:/dev/shm/x 0x1000 <copy
      A file into the memory, from 4096 on
  printf Hello | ivshmem write doorbell:/run/ivshmem.sock
      Five bytes to its beginning"

    FILL: "
  ivshmem fill plain:/dev/shm/x 0
      Zeroes everywhere
  ivshmem fill doorbell:/run/ivshmem.sock 0xff 4K 64
      64 bytes from 4096 on"

    WATCH: "
  ivshmem watch plain:/dev/shm/x 0 256
      The first 256 bytes, until Ctrl-C
  ivshmem watch plain:/dev/shm/x 0 4K --timeout 1 --lines
      For a second, with a line for each change"

    RING: "
  ivshmem ring doorbell:/run/ivshmem.sock 0 1
      Interrupts peer 0 on its vector 1"

    LISTEN: "
  ivshmem listen doorbell:/run/ivshmem.sock
      All vectors, until Ctrl-C
  ivshmem listen doorbell:/run/ivshmem.sock 1 --timeout 5 --count 1
      One interrupt of vector 1; exit status 3 when it has not come in 5 s
  ivshmem listen doorbell:/run/ivshmem.sock --time
      With the time in front of each line"

    PING: "
  ivshmem ping doorbell:/run/ivshmem.sock --answer
      One side, until Ctrl-C
  ivshmem ping doorbell:/run/ivshmem.sock 0 --count 100
      The other side: 100 interrupts of peer 0 and its answers"

    STATUS: "
  ivshmem status /run/ivshmem-status.sock
      For people
  ivshmem status /run/ivshmem-status.sock --json
      For programs"

    DOCTOR: "
  ivshmem doctor doorbell:/run/ivshmem.sock --size 64M
      A server, for a machine that expects 64 MiB of it
  ivshmem doctor plain:/dev/shm/x
      A file"

    COMPLETIONS: "
  ivshmem completions bash >ivshmem.bash
      For /usr/share/bash-completion/completions, or to be sourced"
}

/**
 * Shared memory and interrupts between QEMU virtual machines and their host.
 *
 * <p>Programs in different virtual machines and on the host map the same memory and send interrupts to each other. An
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory} is a device: its memory, its interrupts and its peers. A
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory} is the memory. This page introduces both.
 *
 * <h2>Opening</h2>
 * <p>{@link io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem} opens devices. On the host, a device is a file
 * (<em>plain</em>) or a connection to a server whose clients include QEMU machines (<em>doorbell</em>); in a virtual
 * machine, it is a device of the machine. A target string can name any of them, for example on the command line of a
 * program:
 * <pre>{@code
 * IvshmemMemory file = Ivshmem.plain("/dev/shm/example", 1 << 20); // made if it is not there, with at least 1 MiB
 * IvshmemMemory host = Ivshmem.doorbell("/tmp/ivshmem.sock");      // a client of a server
 * IvshmemMemory guest = Ivshmem.open("auto");                      // the one device of this virtual machine
 * IvshmemMemory other = Ivshmem.open("doorbell:/tmp/ivshmem.sock");
 * }</pre>
 * <p>A server runs as the program {@code ivshmem-server}, or inside a Java program:
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer}.
 *
 * <h2>Reading and writing</h2>
 * <p>Offsets and lengths are {@code long}, in bytes; offsets may have any alignment. A program reads and writes arrays of
 * bytes, and numbers in the processor's byte order or in a named order:
 * <pre>{@code
 * try (IvshmemMemory device = Ivshmem.plain("/dev/shm/example", 1 << 20)) {
 *     NativeMemory memory = device.getMemory();
 *     memory.write(64, "text".getBytes(StandardCharsets.UTF_8));
 *     memory.writeInt(128, 42);
 *     memory.writeLongLE(136, 43);
 *     byte[] text = new byte[4];
 *     memory.read(64, text);
 *     long sum = memory.readInt(128) + memory.readLongLE(136);
 *     long before = memory.getAndAdd(144, 1L); // in one step, also for other machines
 * }
 * }</pre>
 *
 * <h2>Publishing</h2>
 * <p>Plain reads and writes are the fastest and have no guaranteed order. So write the bytes plainly, and then a number with
 * <em>release</em>; a program that reads that number with <em>acquire</em>, or waits for it with {@code spin}, sees the
 * bytes:
 * <pre>{@code
 * void send(NativeMemory memory, byte[] text) {
 *     memory.write(8, text);
 *     memory.writeInt(4, text.length);
 *     memory.writeIntRelease(0, 1);
 * }
 *
 * byte[] receive(NativeMemory memory) {
 *     if (!memory.spin(0, 1, 1, 10_000, TimeUnit.MILLISECONDS)) { // looks every millisecond, for 10 seconds
 *         throw new IllegalStateException("nobody has sent anything");
 *     }
 *     int length = memory.readInt(4);
 *     if (length < 0 || length > 1024) { // the other side could have written anything
 *         throw new IllegalStateException("a text of " + length + " bytes");
 *     }
 *     byte[] text = new byte[length];
 *     memory.read(8, text);
 *     return text;
 * }
 * }</pre>
 *
 * <h2>Interrupts</h2>
 * <p>Each client of a server has an id and a number of vectors, and can ring every vector of the other clients:
 * <pre>{@code
 * void serve(IvshmemMemory device) throws InterruptedException {
 *     Semaphore rung = new Semaphore(0);
 *     device.registerInterruptServiceRoutine(0, vector -> rung.release());
 *     while (device.getMemory().readIntAcquire(0) == 0) {
 *         rung.acquire();
 *     }
 * }
 *
 * void call(IvshmemMemory device, int peer) {
 *     device.getMemory().writeIntRelease(0, 1);
 *     device.sendInterrupt(peer, 0);
 * }
 * }</pre>
 * <p>An interrupt is a hint: several interrupts may be merged into one, and an interrupt may arrive early. Read the memory
 * after each. The receiver of an interrupt sees every write that the sender made before. On the host,
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener} reports peers that connect and disconnect;
 * virtual machines receive no such reports. After a restart of a server with the same memory, a device reconnects if
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.DoorbellOptions#reconnect()} is set. If a guest lacks what interrupts
 * need, {@code supportsInterrupts()} returns false, and the exception of {@code registerInterruptServiceRoutine} gives the
 * remedy.
 *
 * <h2>Threads and closing</h2>
 * <p>All methods of all classes may be called from any thread, unless their documentation states otherwise. Routines and
 * listeners run in daemon threads of the library, or in the {@link java.util.concurrent.Executor} of the device. A slow
 * routine delays only its own vector. Exceptions of routines and listeners go to the exception handler of the device.
 *
 * <p>A device may be closed at any time and from any thread. Closing does not wait, wakes all waiting threads, and frees all
 * resources. Every later access throws {@link java.lang.IllegalStateException}; none crashes the JVM. The garbage collector
 * eventually closes a device that is no longer reachable.
 *
 * <h2>Errors</h2>
 * <table>
 *   <caption>Which exception means what</caption>
 *   <tr><th>exception</th><th>meaning</th></tr>
 *   <tr><td>{@link java.lang.IllegalArgumentException}</td><td>an error of the caller: an offset outside the memory, a
 *       negative number</td></tr>
 *   <tr><td>{@link java.lang.IllegalStateException}</td><td>the device or the memory is closed</td></tr>
 *   <tr><td>{@link java.lang.UnsupportedOperationException}</td><td>this kind of device does not support the operation, or
 *       the memory is read-only</td></tr>
 *   <tr><td>{@link io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException}</td><td>a failure outside the program: the
 *       code is for programs, the message gives the cause and the remedy</td></tr>
 * </table>
 * <pre>{@code
 * try (IvshmemMemory device = Ivshmem.open("auto")) {
 *     System.out.println(device.getMemory().size() + " bytes");
 * } catch (IvshmemException e) {
 *     if (e.getCode() == IvshmemException.Code.PERMISSION_DENIED) {
 *         System.err.println("run this as root: " + e.getMessage());
 *     } else {
 *         throw e;
 *     }
 * }
 * }</pre>
 *
 * <h2>Options of the JVM</h2>
 * <table>
 *   <caption>Options for the command line</caption>
 *   <tr><th>option</th><th>when</th></tr>
 *   <tr><td>{@code --enable-native-access=ALL-UNNAMED}</td><td>Java 24 and newer, jar on the class path. Without it the JVM
 *       prints a warning or, with {@code --illegal-native-access=deny}, refuses to load the library.
 *       {@code Enable-Native-Access: ALL-UNNAMED} in the manifest of a jar that is run with {@code -jar} has the same
 *       effect.</td></tr>
 *   <tr><td>{@code --enable-native-access=io.github.alexanderschuetz97.ivshmem4j}</td><td>the same, jar on the module
 *       path</td></tr>
 *   <tr><td>{@code -Divshmem4j.native.path=FILE}</td><td>to load this native library instead of the one in the jar</td></tr>
 *   <tr><td>{@code -Djava.io.tmpdir=FOLDER}</td><td>if both the user's cache and the temporary folder are mounted
 *       noexec</td></tr>
 * </table>
 * <p>Nothing needs {@code --add-opens}. The jar is a module and an OSGi bundle, and contains the configuration for GraalVM's
 * native-image, with which no image has been built yet. In OSGi on Java 8, the framework may have to be configured to export
 * {@code sun.misc}.
 *
 * @see <a href="https://github.com/AlexanderSchuetz97/Ivshmem4j">the project: guides, examples, the command line and the server</a>
 */
package io.github.alexanderschuetz97.ivshmem4j.api;

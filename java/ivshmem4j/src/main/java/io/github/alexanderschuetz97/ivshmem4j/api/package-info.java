/**
 * Shared memory and interrupts between QEMU virtual machines and their host.
 *
 * <p>Programs in different virtual machines, and on the host, map the same memory and call each other by interrupts. An
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory} is a device: its memory, its interrupts, its peers. A
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory} is the memory. This page is the way through both.
 *
 * <h2>Opening</h2>
 * <p>{@link io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem} opens devices. On the host that is a file
 * (<em>plain</em>), or a server that QEMU machines are clients of as well (<em>doorbell</em>); in a virtual machine it is
 * the device that the machine has. One string can name any of them, so a program can take it from its command line:
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
 * <p>Offsets and lengths are {@code long}, in bytes; any alignment will do. Bytes of an array, numbers in the processor's
 * byte order, or in a named one:
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
 * <p>Plain reads and writes are the fastest and promise no order. So write the bytes plainly, and then a number with
 * <em>release</em>; who reads that number with <em>acquire</em>, or waits for it with {@code spin}, sees the bytes:
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
 * <p>Each program that a server knows has an id and a number of vectors, and each can ring each vector of the others:
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
 * <p>An interrupt is a hint: several may come as one, and one may come early. Look at the memory after each. What was written
 * before an interrupt is sent is seen by whoever it calls. On the host,
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener} tells who comes and goes; virtual machines are
 * not told. A server that goes and is started anew with the same memory is come back to where
 * {@link io.github.alexanderschuetz97.ivshmem4j.api.DoorbellOptions#reconnect()} asks for it. A guest may lack what interrupts need; {@code supportsInterrupts()} is false then, and the exception of
 * {@code registerInterruptServiceRoutine} says what to do.
 *
 * <h2>Threads and closing</h2>
 * <p>All methods of all classes may be called from any thread, unless they say otherwise. Routines and listeners run in
 * daemon threads of the library's, or in the {@link java.util.concurrent.Executor} that was given; a slow one delays its own
 * vector only. What they throw goes to the handler that was given.
 *
 * <p>Closing is allowed at any time and in any thread, waits for nothing, wakes who waits, and leaves nothing behind. Every
 * later access throws {@link java.lang.IllegalStateException}; none crashes the JVM. A device that nobody refers to any more
 * is closed by the garbage collector, some time.
 *
 * <h2>Errors</h2>
 * <table>
 *   <caption>Which exception means what</caption>
 *   <tr><th>exception</th><th>meaning</th></tr>
 *   <tr><td>{@link java.lang.IllegalArgumentException}</td><td>a mistake in the call: outside the memory, negative</td></tr>
 *   <tr><td>{@link java.lang.IllegalStateException}</td><td>the device or the memory is closed</td></tr>
 *   <tr><td>{@link java.lang.UnsupportedOperationException}</td><td>this kind of device cannot do it, or the memory is for reading
 *       only</td></tr>
 *   <tr><td>{@link io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException}</td><td>anything outside the program: its code is
 *       for decisions, its message says what happened and what to do</td></tr>
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
 *   <caption>What to put on the command line</caption>
 *   <tr><th>option</th><th>when</th></tr>
 *   <tr><td>{@code --enable-native-access=ALL-UNNAMED}</td><td>Java 24 and newer, jar on the class path. Without it the JVM warns,
 *       and with {@code --illegal-native-access=deny} it refuses. {@code Enable-Native-Access: ALL-UNNAMED} in the manifest of a
 *       jar that is run with {@code -jar} does the same.</td></tr>
 *   <tr><td>{@code --enable-native-access=io.github.alexanderschuetz97.ivshmem4j}</td><td>the same, jar on the module path</td></tr>
 *   <tr><td>{@code -Divshmem4j.native.path=FILE}</td><td>to load this native library and not the one of the jar</td></tr>
 *   <tr><td>{@code -Djava.io.tmpdir=FOLDER}</td><td>where neither the user's cache nor the temporary folder may hold programs
 *       (mounted noexec)</td></tr>
 * </table>
 * <p>Nothing needs {@code --add-opens}. The jar is a module, an OSGi bundle, and has what GraalVM's native-image has to know,
 * though no image of it has been built yet. In OSGi on Java 8 a framework may have to be told to hand on {@code sun.misc}.
 *
 * @see <a href="https://github.com/AlexanderSchuetz97/Ivshmem4j">the project: guides, examples, the command line and the server</a>
 */
package io.github.alexanderschuetz97.ivshmem4j.api;

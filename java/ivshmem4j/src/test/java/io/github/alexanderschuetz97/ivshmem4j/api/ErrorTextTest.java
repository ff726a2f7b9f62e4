package io.github.alexanderschuetz97.ivshmem4j.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.alexanderschuetz97.ivshmem4j.Script;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException.Code;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/**
 * The messages of errors in a Java program: each names the request and gives a remedy in Java terms. The errors come from
 * the native library; every kind is covered that any Linux machine can produce.
 */
@Timeout(60)
@EnabledOnOs(value = OS.LINUX, disabledReason = "servers run on Linux")
class ErrorTextTest {

    private static final int SIZE = 1 << 16;
    private static final PlainOptions PLAIN = PlainOptions.defaults();
    private static final DoorbellOptions DOORBELL = DoorbellOptions.defaults();
    private static final Pattern CALL = Pattern.compile("(\\w+)\\(");
    /** Options (except those of QEMU) and verbs of programs, names of Rust, and numbers that were negative. */
    private static final Pattern FOREIGN = Pattern.compile(
        "(^|\\W)--?(?!device ivshmem)[A-Za-z]|`|\\b[a-z]+_[a-z]+|::|0o\\d|ivshmem (create|info|serve|peers|ring|status|listen)"
            + "|4294967295|18446744073709551615");
    /** Words that only a program with a target string for {@link Ivshmem#open(String)} uses. */
    private static final Pattern TARGET = Pattern.compile("readonly|memory-only|cache=");
    private static final Set<String> METHODS = new HashSet<>();

    static {
        for (final Class<?> type : Arrays.asList(Ivshmem.class, IvshmemMemory.class, IvshmemServer.class,
            IvshmemServer.Builder.class, NativeMemory.class, PlainOptions.class, DoorbellOptions.class)) {
            for (final Method method : type.getMethods()) {
                METHODS.add(method.getName());
            }
        }
    }

    @TempDir
    Path folder;

    private final Set<Code> seen = EnumSet.noneOf(Code.class);
    private Process broken;

    @AfterEach
    void endTheServer() throws InterruptedException {
        if (broken != null) {
            broken.destroyForcibly().waitFor();
        }
    }

    @Test
    void ofFiles() throws Exception {
        refused(Code.NOT_FOUND, path("missing"), () -> Ivshmem.plain(path("missing")));
        refused(Code.NOT_FOUND, path("no/where"), () -> Ivshmem.plain(path("no/where"), SIZE));
        Files.createSymbolicLink(folder.resolve("link"), folder.resolve("nowhere"));
        refused(Code.NOT_FOUND, path("link"), () -> Ivshmem.plain(path("link"), SIZE));
        Files.createFile(folder.resolve("empty"));
        refused(Code.INVALID_ARGUMENT, path("empty"), () -> Ivshmem.plain(path("empty")));
        refused(Code.INVALID_ARGUMENT, folder.toString(), () -> Ivshmem.plain(folder.toString(), SIZE));
        refused(Code.INVALID_ARGUMENT, "/dev/null", () -> Ivshmem.plain("/dev/null", SIZE));
        refused(Code.PERMISSION_DENIED, "/sys/ivshmem4j", () -> Ivshmem.plain("/sys/ivshmem4j", SIZE));
        final PlainOptions vast = PLAIN.size(1L << 46).window(0, SIZE);
        refused(Code.NO_SPACE, String.valueOf(1L << 46), () -> Ivshmem.plain("/dev/shm/ivshmem4j-none", vast));

        Ivshmem.plain(path("memory"), SIZE).close();
        final String memory = path("memory");
        refused(Code.ALREADY_EXISTS, memory, () -> Ivshmem.plain(memory, PLAIN.size(SIZE).createNew()));
        refused(Code.INVALID_ARGUMENT, "createNew", () -> Ivshmem.plain(memory, PLAIN.createNew()));
        refused(Code.INVALID_ARGUMENT, "readOnly", () -> Ivshmem.plain(memory, PLAIN.size(SIZE).createNew().readOnly()));
        refused(Code.INVALID_ARGUMENT, String.valueOf(SIZE + 1), () -> Ivshmem.plain(memory, PLAIN.size(SIZE + 1).readOnly()));
        refused(Code.INVALID_ARGUMENT, String.valueOf(1L << 62), () -> Ivshmem.plain(memory, 1L << 62));
        refused(IllegalArgumentException.class, String.valueOf(SIZE), () -> Ivshmem.plain(memory, PLAIN.window(SIZE, 1)));
        seen(Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.NO_SPACE, Code.ALREADY_EXISTS);
    }

    @Test
    void ofServersAndTheirClients() throws Exception {
        final String socket = path("s");
        refused(Code.NOT_FOUND, socket, () -> Ivshmem.doorbell(socket));
        Files.createFile(folder.resolve("file"));
        refused(Code.INVALID_ARGUMENT, path("file"), () -> Ivshmem.doorbell(path("file")));
        final String tooLong = path(new String(new char[100]).replace('\0', 'x'));
        refused(Code.INVALID_ARGUMENT, "107", () -> Ivshmem.doorbell(tooLong));
        refused(Code.INVALID_ARGUMENT, "107", () -> IvshmemServer.builder(tooLong).start());
        refused(Code.NOT_FOUND, path("no/where"), () -> IvshmemServer.builder(path("no/where")).start());
        refused(Code.ALREADY_EXISTS, path("file"), () -> IvshmemServer.builder(path("file")).start());
        for (final int vectors : new int[] {-1, 257, Integer.MIN_VALUE}) {
            refused(Code.INVALID_ARGUMENT, vectors + " vectors", () -> server().vectors(vectors).start());
        }
        for (final long size : new long[] {-1, 0, Long.MIN_VALUE}) {
            refused(Code.INVALID_ARGUMENT, "size " + size, () -> server().size(size).start());
        }
        for (final int clients : new int[] {-1, 0, 65_537}) {
            refused(Code.INVALID_ARGUMENT, clients + " clients", () -> server().maxClients(clients).start());
        }
        refused(Code.INVALID_ARGUMENT, "/dev/null", () -> server().memoryFile("/dev/null").start());
        Files.write(folder.resolve("short"), new byte[100]);
        Files.setAttribute(folder.resolve("short"), "unix:mode", 0644);
        refused(Code.PERMISSION_DENIED, "ask for mode 0644", () -> server().memoryFile(path("short")).start());
        Files.setAttribute(folder.resolve("short"), "unix:mode", 0600);
        refused(Code.ALREADY_EXISTS, "100 bytes", () -> server().memoryFile(path("short")).start());

        final String memory = path("memory");
        try (IvshmemServer server = server().size(SIZE).maxClients(1).memoryFile(memory).start();
            IvshmemMemory device = Ivshmem.doorbell(socket)) {
            refused(Code.BUSY, socket, () -> server().start());
            refused(Code.BUSY, memory, () -> IvshmemServer.builder(path("t")).size(SIZE).memoryFile(memory).start());
            refused(Code.REFUSED, socket, () -> Ivshmem.doorbell(socket));
            for (final int peer : new int[] {7, -1, 65_536}) {
                refused(Code.UNKNOWN_PEER, "peer " + peer, () -> device.getVectors(peer));
            }
            refused(Code.UNKNOWN_PEER, "getPeers()", () -> device.sendInterrupt(7, 0));
            refused(Code.UNKNOWN_PEER, "-1", () -> device.sendInterrupt(-1, 0));
            for (final int vector : new int[] {1, 256, -1}) {
                refused(Code.UNKNOWN_VECTOR, "vector " + vector, () -> device.sendInterrupt(0, vector));
                refused(Code.UNKNOWN_VECTOR, "vector " + vector, () -> device.waitInterrupt(vector));
                refused(Code.UNKNOWN_VECTOR, "vector " + vector, () -> device.nextInterrupt(vector));
                refused(Code.UNKNOWN_VECTOR, "vector " + vector, () -> device.registerInterruptServiceRoutine(vector, v -> { }));
            }
            device.close();
            refused(IllegalStateException.class, "closed", () -> device.sendInterrupt(0, 0));
            refused(IllegalStateException.class, "closed", () -> device.waitInterrupt(0, 1, TimeUnit.SECONDS));
            server.close();
            refused(IllegalStateException.class, "closed", server::getClients);
        }
        try (IvshmemServer server = server().start()) {
            refused(Code.TIMED_OUT, "2 expected", () -> Ivshmem.doorbell(socket, DOORBELL.grace(0).vectors(2)));
            assertEquals(1, server.getVectors());
        }
        broken = Script.start("listening", "broken_server.py", path("b"));
        if (broken == null) {
            System.out.println("SKIP ofServersAndTheirClients: there is no python3");
            return;
        }
        refused(Code.PROTOCOL, path("b"), () -> Ivshmem.doorbell(path("b")));
        broken.destroyForcibly().waitFor();
        refused(Code.NOT_FOUND, path("b"), () -> Ivshmem.doorbell(path("b")));
        seen(Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.ALREADY_EXISTS, Code.PERMISSION_DENIED, Code.BUSY, Code.REFUSED,
            Code.UNKNOWN_PEER, Code.UNKNOWN_VECTOR, Code.TIMED_OUT, Code.PROTOCOL);
    }

    @Test
    void ofWhatAKindOfMemoryCannotDo() throws Exception {
        Ivshmem.plain(path("memory"), SIZE).close();
        try (IvshmemMemory plain = Ivshmem.plain(path("memory"), PLAIN.readOnly())) {
            final NativeMemory memory = plain.getMemory();
            for (final Executable cannot : Arrays.<Executable>asList(
                () -> plain.sendInterrupt(0, 0), () -> plain.waitInterrupt(0), () -> plain.nextInterrupt(0), plain::getPeers,
                plain::getOwnPeerID, () -> plain.getVectors(0))) {
                refused(UnsupportedOperationException.class, "Ivshmem.doorbell", cannot);
            }
            refused(UnsupportedOperationException.class, "reading only", () -> memory.write(8, 1));
            refused(UnsupportedOperationException.class, "reading only", () -> memory.getAndAdd(8, 1));
            refused(IllegalArgumentException.class, String.valueOf(SIZE), () -> memory.read(SIZE));
            plain.close();
            refused(IllegalStateException.class, "closed", () -> memory.read(0));
        }
        try (IvshmemMemory plain = Ivshmem.plain(path("memory"))) {
            if (plain.getMemory().supports16ByteCompareAndSet()) {
                refused(IllegalArgumentException.class, "offset 8", () -> plain.getMemory().compareAndSet(8, new byte[32]));
            }
        }
        refused(UnsupportedOperationException.class, "Windows", Ivshmem::windowsListPCI);
    }

    @Test
    void ofTargets() throws Exception {
        Files.write(folder.resolve("memory"), new byte[SIZE]);
        for (final String target : Arrays.asList("", "nonsense", path("memory"), "plain:", "doorbell:", "plain:x?wrong",
            "plain:x?size=0", "00:05.0", "pci:0?cache=never")) {
            refused(IllegalArgumentException.class, target, true, () -> Ivshmem.open(target));
        }
        refused(Code.INVALID_ARGUMENT, "nonsense", () -> Ivshmem.open("pci:nonsense"));
        refused(Code.NOT_FOUND, "0000:ff:1f.7", () -> Ivshmem.open("pci:0000:ff:1f.7"));
        refused(UnsupportedOperationException.class, "Windows", () -> Ivshmem.open("windows:0"));
    }

    private String path(final String name) {
        return folder.resolve(name).toString();
    }

    private IvshmemServer.Builder server() {
        return IvshmemServer.builder(path("s"));
    }

    private void seen(final Code... codes) {
        assertEquals(EnumSet.copyOf(Arrays.asList(codes)), seen);
    }

    private void refused(final Code code, final String named, final Executable call) {
        final IvshmemException e = refused(IvshmemException.class, named, false, call);
        assertEquals(code, e.getCode(), e.getMessage());
        seen.add(code);
    }

    private void refused(final Class<? extends RuntimeException> type, final String named, final Executable call) {
        refused(type, named, false, call);
    }

    private <T extends RuntimeException> T refused(
        final Class<T> type, final String named, final boolean ofTarget, final Executable call) {
        final T e = assertThrows(type, call);
        final String text = String.valueOf(e.getMessage());
        assertTrue(text.contains(named), () -> text + ": does not name " + named);
        // Paths and the caller's text may contain any words.
        final String own = text.replace(folder.toString(), "").replace(named.isEmpty() ? "\0" : named, "");
        final Matcher foreign = FOREIGN.matcher(own);
        assertFalse(foreign.find(), () -> text + ": has " + foreign.group());
        assertTrue(ofTarget || !TARGET.matcher(own).find(), () -> text + ": has what a target has");
        final List<String> clauses = Arrays.asList(own.split("[:;] "));
        assertEquals(clauses.size(), new HashSet<>(clauses).size(), () -> text + ": says something twice");
        for (final Matcher called = CALL.matcher(own); called.find();) {
            assertTrue(METHODS.contains(called.group(1)), () -> text + ": no class has " + called.group());
        }
        return e;
    }
}

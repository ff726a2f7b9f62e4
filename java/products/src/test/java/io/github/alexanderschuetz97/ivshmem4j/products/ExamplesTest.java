package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Each example of java/examples works as its head comment describes, with the command that the comment contains. */
@Timeout(300)
class ExamplesTest {

    private static final Path EXAMPLES =
        Products.project().resolve("java/examples/src/main/java/io/github/alexanderschuetz97/ivshmem4j/examples");
    /** The examples that the demos run: scripts/demo and scripts/demo-host. */
    private static final Set<String> OF_THE_DEMOS = Set.of("Answer", "Ask", "Meet");

    @TempDir
    private Path folder;
    private final List<Running> running = new ArrayList<>();

    @AfterEach
    void endAll() throws Exception {
        for (final Running program : running) {
            program.close();
        }
    }

    @Test
    void eachExampleIsInTheListWithItsCommandAndHasATest() throws Exception {
        final String list = Files.readString(Products.project().resolve("java/examples/README.md"));
        final Set<String> tests = Arrays.stream(ExamplesTest.class.getDeclaredMethods())
            .map(method -> method.getName().toLowerCase()).collect(Collectors.toSet());
        final Set<String> seen = new TreeSet<>();
        try (Stream<Path> files = Files.list(EXAMPLES)) {
            for (final Path file : files.toList()) {
                final String name = file.getFileName().toString().replace(".java", "");
                final String source = Files.readString(file);
                if (!source.contains("void main(")) {
                    continue;
                }
                seen.add(name);
                assertTrue(list.contains(name + ".java"), name + " is not in README.md");
                if (!OF_THE_DEMOS.contains(name)) {
                    final String command = "java -cp ivshmem4j.jar " + name + ".java";
                    assertTrue(source.contains(command), name + " does not say how to run it");
                    assertTrue(list.contains(command), "README.md does not say how to run " + name);
                    assertTrue(tests.stream().anyMatch(test -> test.startsWith(name.toLowerCase())), "no test for " + name);
                }
            }
        }
        assertTrue(seen.containsAll(OF_THE_DEMOS), seen.toString());
    }

    @Test
    void noteGoesFromOneProgramToAnother() throws Exception {
        final String file = folder.resolve("note").toString();
        final Running reader = start("Note", "read", file);
        assertEquals("exit 0", start("Note", "write", file, "Back at five, \u00fc").rest());
        assertEquals("Back at five, \u00fc\nexit 0", reader.rest());
    }

    @Test
    void bellRingsOnTheVectorThatIsNamed() throws Exception {
        final String target = "doorbell:" + server();
        final Running listener = start("Bell", target);
        final String greeting = listener.line();
        assertTrue(greeting.matches("peer [0-9]+ listens"), greeting);
        assertEquals("exit 0", start("Bell", target, greeting.split(" ")[1], "1").rest());
        assertEquals("rung on vector 1\nthe message is 42\nexit 0", listener.rest());
    }

    @Test
    void waitersWaitForEachVectorAndEndWithTheDevice() throws Exception {
        final String target = "doorbell:" + server();
        for (final String jdk : Products.jdks()) {
            final List<String> command = command("Waiters", target);
            command.set(0, jdk + "/bin/java");
            if (jdk.equals(Products.newJdk())) {
                command.add(1, "--enable-native-access=ALL-UNNAMED");
            }
            final Running waiters = new Running(command, builder -> {});
            running.add(waiters);
            final String greeting = waiters.line();
            assertTrue(greeting.matches("peer [0-9]+ waits"), greeting);
            assertEquals("exit 0", start("Bell", target, greeting.split(" ")[1], "1").rest());
            assertEquals("rung on vector 1", waiters.line());
            waiters.enter();
            assertEquals("all threads have ended\nexit 0", waiters.rest());
        }
    }

    @Test
    void viewReadsAFileIntoTheMemory() throws Exception {
        final Path file = Files.writeString(folder.resolve("text"), "Hello");
        assertEquals("5 bytes, the first is 72 and 72\nexit 0",
            start("View", folder.resolve("view").toString(), file.toString()).rest());
    }

    @Test
    void peersAreToldWhoComesAndGoes() throws Exception {
        final String target = "doorbell:" + server();
        final Running watcher = start("Peers", target);
        assertTrue(watcher.line().matches("I am peer [0-9]+"));
        final Running guest = start("Bell", target);
        final String peer = guest.line().split(" ")[1];
        String line = "";
        while (!line.equals("peer " + peer + " has 2 vectors")) {
            line = watcher.line();
            assertTrue(line != null && line.startsWith("peer "), String.valueOf(line));
        }
        guest.close();
        assertEquals("peer " + peer + " has left", watcher.line());
        watcher.enter();
        assertEquals("exit 0", watcher.rest());
    }

    @Test
    void tillStaysRightWhileTwoProgramsChangeIt() throws Exception {
        final String file = folder.resolve("till").toString();
        final Running one = start("Till", file, "20000");
        final Running two = start("Till", file, "20000");
        assertEquals(40000, lastOfBoth(one, two, "([0-9]+) booked so far\nexit 0"));
    }

    @Test
    void countLosesNothingWhileTwoProgramsCount() throws Exception {
        final String file = folder.resolve("count").toString();
        final Running one = start("Count", file, "1000000");
        final Running two = start("Count", file, "1000000");
        assertEquals(2_000_000, lastOfBoth(one, two, "program [12] has done its part, ([0-9]+) counted so far\nexit 0"));
    }

    @Test
    void pipeCarriesAFileThroughMemoryThatIsSmaller() throws Exception {
        final byte[] content = new byte[1_000_003];
        new Random(7).nextBytes(content);
        final Path original = Files.write(folder.resolve("original"), content);
        final Path copy = folder.resolve("copy");
        final String pipe = folder.resolve("pipe").toString();
        final Running receiver = new Running(command("Pipe", "receive", pipe), builder -> builder.redirectOutput(copy.toFile()));
        running.add(receiver);
        final Running sender = new Running(command("Pipe", "send", pipe), builder -> builder.redirectInput(original.toFile()));
        running.add(sender);
        assertEquals("exit 0", sender.rest());
        assertEquals("exit 0", receiver.rest());
        assertEquals(-1, Files.mismatch(original, copy));
    }

    @Test
    void guestSaysWhatADeviceCanDoAndWhatIsMissing() throws Exception {
        final String said = start("Guest", "doorbell:" + server()).rest();
        assertTrue(said.matches("1048576 bytes of memory\npeer [0-9]+\n2 vectors\ncan be interrupted\nexit 0"), said);
        final Path file = Files.write(folder.resolve("plain"), new byte[4096]);
        assertEquals("4096 bytes of memory\nno peer id\n0 vectors\nhas no interrupts\nexit 0",
            start("Guest", "plain:" + file).rest());
        final String none = start("Guest").rest();
        assertTrue(none.matches("[A-Z_]+: .+\nexit 0"), none);
    }

    @Test
    void hostServesUntilEnterIsPressed() throws Exception {
        final Path socket = folder.resolve("host.sock");
        final Running host = start("Host", socket.toString());
        assertEquals("1048576 bytes and 2 vectors at " + socket, host.line());
        final String said = start("Guest", "doorbell:" + socket).rest();
        assertTrue(said.startsWith("1048576 bytes of memory\npeer "), said);
        host.enter();
        final String end = host.rest();
        assertTrue(end.matches("[12] clients at the end\nexit 0"), end);
        assertTrue(Files.notExists(socket));
    }

    /** Starts a server with 1 MiB and 2 vectors. */
    private String server() throws Exception {
        final Path socket = folder.resolve("server.sock");
        final Path program = Products.DIST.resolve("linux-x86_64/ivshmem-server");
        running.add(new Running(List.of(program.toString(), "-F", "-S", socket.toString(), "-l", "1M", "-n", "2"),
            builder -> builder.redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(ProcessBuilder.Redirect.DISCARD)));
        while (Files.notExists(socket)) {
            Thread.sleep(10);
        }
        return socket.toString();
    }

    private Running start(final String name, final String... arguments) throws Exception {
        final Running program = new Running(command(name, arguments), builder -> {});
        running.add(program);
        return program;
    }

    private List<String> command(final String name, final String... arguments) {
        final List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java",
            "-Duser.home=" + folder, "-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8", "-cp", Products.jar().toString(),
            EXAMPLES.resolve(name + ".java").toString()));
        command.addAll(List.of(arguments));
        return command;
    }

    /** The larger of the numbers that two programs print at the end. */
    private static long lastOfBoth(final Running one, final Running two, final String pattern) throws Exception {
        long last = 0;
        for (final Running program : List.of(one, two)) {
            final String said = program.rest();
            assertTrue(said.matches(pattern), said);
            last = Math.max(last, Long.parseLong(said.replaceAll(pattern, "$1")));
        }
        return last;
    }
}

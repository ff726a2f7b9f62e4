package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.alexanderschuetz97.ivshmem4j.Jvm;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemServer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.io.TempDir;

/** Waiting virtual threads: all wake, and none pins its carrier. Two carriers serve all of them. */
@EnabledForJreRange(min = JRE.JAVA_21)
class VirtualThreadsTest {

    private static final int THREADS = 10_000;
    private static final int ROUNDS = 3;

    @TempDir
    Path folder;

    @Test
    @Timeout(300)
    void tenThousandVirtualThreadsAreWokenByAnotherProcessAndPinNoCarrier() throws Exception {
        if (ToolProvider.getSystemJavaCompiler() == null) {
            System.out.println("SKIP virtual_threads: this Java runs no source, as it has no compiler");
            return;
        }
        try (IvshmemServer server = IvshmemServer.builder(folder.resolve("s").toString()).vectors(2).start();
            IvshmemMemory ringer = Ivshmem.doorbell(server.getPath());
            Jvm waiters = new Jvm(fromSource(server.getPath()))) {
            final int peer = Integer.parseInt(waiters.readLine());
            while (!ringer.isOtherPeerConnected(peer) || ringer.getVectors(peer) < 2) {
                Thread.yield();
            }
            for (int round = 0; round < ROUNDS; round++) {
                assertEquals("waiting", waiters.readLine());
                ringer.sendInterrupt(peer, 0);
                assertEquals("woken", waiters.readLine());
            }
            assertEquals("pinned 0, on purpose 1\nexit 0", waiters.readAll());
        }
    }

    private static ProcessBuilder fromSource(final String server) {
        final List<String> command = new ArrayList<>(Arrays.asList(
            System.getProperty("java.home") + "/bin/java",
            "-Djdk.virtualThreadScheduler.parallelism=2", "-Djdk.virtualThreadScheduler.maxPoolSize=2"));
        if (!JRE.JAVA_21.isCurrentVersion()) {
            command.add("--enable-native-access=ALL-UNNAMED");
        }
        for (final String name : Arrays.asList("ivshmem4j.native.path", "ivshmem4j.memory")) {
            if (System.getProperty(name) != null) {
                command.add("-D" + name + "=" + System.getProperty(name));
            }
        }
        command.addAll(Arrays.asList("-cp", System.getProperty("java.class.path"),
            "src/test/java21/VirtualWaiters.java", server, String.valueOf(THREADS), String.valueOf(ROUNDS)));
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
    }
}

package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.File;
import java.io.InputStreamReader;
import java.io.Reader;
import java.lang.invoke.MethodType;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The metadata for native images of GraalVM lists exactly the names that the native library looks up. The test builds no
 * image, as no package registry has native-image.
 */
class NativeImageTest {

    private static final String FOLDER = "META-INF/native-image/io.github.alexanderschuetz97/ivshmem4j/";
    /** Uses each part of the native library, and causes each kind of failure. */
    private static final String PROGRAM = """
        import io.github.alexanderschuetz97.ivshmem4j.api.*;

        public final class Program {
            private static int fails(final Runnable call) {
                try {
                    call.run();
                    return 0;
                } catch (final RuntimeException e) {
                    return 1;
                }
            }

            public static void main(final String[] arguments) throws Exception {
                final String folder = arguments[0];
                int failures = fails(() -> Ivshmem.plain(folder + "/missing")) + fails(() -> Ivshmem.open("auto"));
                Ivshmem.linuxListPCI();
                try (IvshmemServer server = IvshmemServer.builder(folder + "/socket").size(1 << 20).vectors(2).start();
                    IvshmemMemory device = Ivshmem.doorbell(server.getPath());
                    IvshmemMemory other = Ivshmem.doorbell(server.getPath())) {
                    server.getClients();
                    final NativeMemory memory = device.getMemory();
                    memory.getAndAdd(1, (byte) 1);
                    memory.getAndAdd(1, (short) 1);
                    memory.getAndAdd(1, 1);
                    memory.getAndAdd(1, 1L);
                    memory.getAndSet(1, 1L);
                    memory.compareAndSet(1, 1, 2);
                    memory.compareAndSet(16, new byte[32]);
                    memory.sync(0, 4096, false);
                    failures += fails(() -> memory.getAndAdd(-1, (byte) 1)) + fails(() -> device.sendInterrupt(77, 0));
                    final java.util.concurrent.CountDownLatch rung = new java.util.concurrent.CountDownLatch(2);
                    device.registerInterruptServiceRoutine(0, vector -> rung.countDown());
                    device.registerPeerConnectionListener(new PeerConnectionListener() {
                        @Override
                        public void onConnect(final int peer, final int vectors) {
                            if (vectors > 0) {
                                rung.countDown();
                            }
                        }

                        @Override
                        public void onDisconnect(final int peer) {}
                    });
                    other.sendInterrupt(device.getOwnPeerID(), 0);
                    rung.await();
                    device.getPeers();
                    device.getVectors(other.getOwnPeerID());
                }
                System.out.println(failures);
            }
        }
        """;

    @TempDir
    private Path folder;

    @Test
    void theMetadataForJniIsWhatTheNativeLibraryLooksUp() throws Exception {
        for (final String jdk : Products.jdks()) {
            final Set<String> lookups = lookups(jdk);
            assertTrue(lookups.stream().anyMatch(line -> line.contains("/NativeFailure;")), lookups.toString());
            assertEquals(String.join("\n", lookups), String.join("\n", described("jni-config.json")), jdk);
        }
    }

    @Test
    void theMetadataForReflectionNamesWhatExists() throws Exception {
        assertEquals(Set.of("class Lsun/misc/Unsafe;", "field Lsun/misc/Unsafe; theUnsafe"), described("reflect-config.json"));
        assertEquals("theUnsafe", Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe").getName());
    }

    @Test
    void theMetadataForResourcesTakesInAllNativeLibrariesAndNothingElse() throws Exception {
        final JsonArray includes =
            json("resource-config.json").getAsJsonObject().getAsJsonObject("resources").getAsJsonArray("includes");
        assertEquals(1, includes.size());
        final Pattern pattern = Pattern.compile(includes.get(0).getAsJsonObject().get("pattern").getAsString());
        try (JarFile jar = new JarFile(Products.jar().toFile())) {
            assertEquals(jar.stream().map(entry -> entry.getName()).filter(name -> name.matches(".*\\.(so|dll)")).toList(),
                jar.stream().map(entry -> entry.getName()).filter(name -> pattern.matcher(name).matches()).toList());
        }
    }

    /** The names that a run of the program looks up. */
    private Set<String> lookups(final String jdk) throws Exception {
        final Path agent = folder.resolve("agent.so");
        final Path source = Products.project().resolve("java/products/src/test/native/lookups.c");
        final String include = System.getProperty("java.home") + "/include";
        assertEquals("exit 0", Products.run(List.of("cc", "-shared", "-fPIC", "-Wall", "-Werror", "-I" + include,
            "-I" + include + "/linux", "-o", agent.toString(), source.toString(), "-ldl")));
        assertEquals("", Products.compile(folder, List.of(Products.jar().toString()), "Program", PROGRAM));
        final Path lines = folder.resolve("lookups");
        final Path library = Products.DIST.resolve("linux-x86_64/libivshmem4j.so");
        assertEquals("4\nexit 0", Products.run(jdk, List.of("java",
            jdk.equals(Products.newJdk()) ? "--enable-native-access=ALL-UNNAMED" : "-Dnone=",
            "-agentpath:" + agent + "=" + lines, "-Divshmem4j.native.path=" + library,
            "-cp", Products.jar() + File.pathSeparator + folder, "Program", folder.toString())));
        final Set<String> found = new TreeSet<>(Files.readAllLines(lines));
        // A look-up of a member of a type needs the type.
        found.addAll(found.stream().map(line -> "class " + line.split(" ")[1]).toList());
        return found;
    }

    /** The entries of a metadata file in the format of the agent. Each must exist. */
    private Set<String> described(final String name) throws Exception {
        final Set<String> lines = new TreeSet<>();
        try (URLClassLoader loader = new URLClassLoader(new URL[] {Products.jar().toUri().toURL()})) {
            for (final JsonElement element : json(name).getAsJsonArray()) {
                final JsonObject entry = element.getAsJsonObject();
                final Class<?> type = Class.forName(entry.get("name").getAsString(), false, loader);
                lines.add("class " + type.descriptorString());
                for (final JsonElement method : members(entry, "methods")) {
                    lines.add("method " + type.descriptorString() + " " + method(type, method.getAsJsonObject(), loader));
                }
                for (final JsonElement field : members(entry, "fields")) {
                    final String member = field.getAsJsonObject().get("name").getAsString();
                    lines.add("field " + type.descriptorString() + " " + type.getDeclaredField(member).getName());
                }
            }
        }
        return lines;
    }

    private static String method(final Class<?> type, final JsonObject method, final ClassLoader loader) throws Exception {
        final String name = method.get("name").getAsString();
        final List<String> parameters =
            method.getAsJsonArray("parameterTypes").asList().stream().map(JsonElement::getAsString).toList();
        return Arrays.stream(type.getDeclaredMethods())
            .filter(found -> found.getName().equals(name)
                && Arrays.stream(found.getParameterTypes()).map(Class::getTypeName).toList().equals(parameters))
            .map(found -> name + MethodType.methodType(found.getReturnType(), found.getParameterTypes()).toMethodDescriptorString())
            .collect(Collectors.collectingAndThen(Collectors.toList(), found -> {
                assertEquals(1, found.size(), type + " has no " + method);
                return found.get(0);
            }));
    }

    private static JsonArray members(final JsonObject entry, final String kind) {
        return entry.has(kind) ? entry.getAsJsonArray(kind) : new JsonArray();
    }

    private static JsonElement json(final String name) throws Exception {
        try (JarFile jar = new JarFile(Products.jar().toFile());
            Reader in = new InputStreamReader(jar.getInputStream(jar.getEntry(FOLDER + name)), StandardCharsets.UTF_8)) {
            return JsonParser.parseReader(in);
        }
    }
}

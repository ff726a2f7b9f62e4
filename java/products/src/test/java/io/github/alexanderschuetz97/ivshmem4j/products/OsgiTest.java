package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.File;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.osgi.framework.launch.Framework;

/** The jar is a bundle: in Apache Felix, another bundle maps memory with it. */
class OsgiTest {

    private static final String USER = """
        package user;

        import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
        import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
        import org.osgi.framework.BundleActivator;
        import org.osgi.framework.BundleContext;

        public final class Activator implements BundleActivator {
            @Override
            public void start(final BundleContext context) {
                try (IvshmemMemory device = Ivshmem.plain(System.getProperty("file"), 4096)) {
                    device.getMemory().getAndAdd(0, (short) 1);
                    device.getMemory().writeIntRelease(4, device.getMemory().readIntAcquire(4) + 10);
                    System.out.println(device.getMemory().readShort(0) + " " + device.getMemory().readInt(4));
                }
            }

            @Override
            public void stop(final BundleContext context) {}
        }
        """;

    @TempDir
    private Path folder;

    @Test
    void aBundleThatImportsTheApiMapsMemoryOnEachJdk() throws Exception {
        final Path user = user("io.github.alexanderschuetz97.ivshmem4j.api;version=\"[2.0,3)\"");
        for (final String jdk : Products.jdks()) {
            assertEquals(String.join("\n", "1 10",
                "io.github.alexanderschuetz97.ivshmem4j " + bundleVersion() + " true true", "2 20", "again true", "exit 0"),
                host(jdk, user), jdk);
        }
    }

    @Test
    void theInternalPackagesAreNotThereForOtherBundles() throws Exception {
        final String said = host(Products.newJdk(), user("io.github.alexanderschuetz97.ivshmem4j.internal"));
        assertEquals(true, said.contains("BundleException") && said.contains("missing requirement"), said);
    }

    @Test
    void anApiOfAnotherMajorVersionIsNotTakenForThis() throws Exception {
        final String said =
            host(Products.newJdk(), user("io.github.alexanderschuetz97.ivshmem4j.api;version=\"[3.0,4)\""));
        assertEquals(true, said.contains("BundleException") && said.contains("missing requirement"), said);
    }

    private String host(final String jdk, final Path user) throws Exception {
        final Path file = folder.resolve("memory" + jdk.hashCode());
        final String said = Products.run(jdk, List.of("java",
            jdk.equals(Products.newJdk()) ? "--enable-native-access=ALL-UNNAMED" : "-Dnone=",
            "-Dfile=" + file, "-Duser.home=" + folder, "-cp", felix() + File.pathSeparator + here(), OsgiHost.class.getName(),
            folder.resolve("framework" + jdk.hashCode()).toString(), Products.jar().toString(), user.toString()));
        Files.deleteIfExists(file);
        // Warnings of the JVM about the framework itself.
        return said.replaceAll("WARNING: .*\n", "");
    }

    /** Creates a bundle with the class above. */
    private Path user(final String imports) throws Exception {
        final Path classes = Files.createDirectories(folder.resolve("classes"));
        assertEquals("", Products.compile(classes, List.of(felix(), Products.jar().toString()), "user.Activator", USER));
        final Manifest manifest = new Manifest();
        final Attributes main = manifest.getMainAttributes();
        main.put(Attributes.Name.MANIFEST_VERSION, "1.0");
        main.putValue("Bundle-ManifestVersion", "2");
        main.putValue("Bundle-SymbolicName", "user");
        main.putValue("Bundle-Activator", "user.Activator");
        main.putValue("Import-Package", "org.osgi.framework," + imports);
        final Path bundle = folder.resolve("user.jar");
        try (OutputStream out = Files.newOutputStream(bundle); JarOutputStream jar = new JarOutputStream(out, manifest)) {
            jar.putNextEntry(new JarEntry("user/Activator.class"));
            jar.write(Files.readAllBytes(classes.resolve("user/Activator.class")));
        }
        return bundle;
    }

    private static String bundleVersion() throws Exception {
        try (JarFile jar = new JarFile(Products.jar().toFile())) {
            return jar.getManifest().getMainAttributes().getValue("Bundle-Version");
        }
    }

    private static String felix() throws Exception {
        return Path.of(Framework.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
    }

    private static String here() throws Exception {
        return Path.of(OsgiHost.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toString();
    }
}

package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.Attributes;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The metadata and the content of the jar. */
class JarTest {

    private static final String NAME = "io.github.alexanderschuetz97.ivshmem4j";

    @Test
    void theModuleExportsTheApiAndNeedsNothingButTheJdk() {
        final ModuleDescriptor module =
            ModuleFinder.of(Products.jar()).find(NAME).map(found -> found.descriptor()).orElseThrow();
        assertEquals(Set.of(NAME + ".api"),
            module.exports().stream().map(ModuleDescriptor.Exports::source).collect(Collectors.toSet()));
        assertTrue(module.exports().stream().noneMatch(ModuleDescriptor.Exports::isQualified));
        assertEquals(Set.of("java.base", "jdk.unsupported"),
            module.requires().stream().map(ModuleDescriptor.Requires::name).collect(Collectors.toSet()));
        assertTrue(module.opens().isEmpty() && !module.isOpen() && !module.isAutomatic());
    }

    @Test
    void theCodeNeedsNoOtherModuleThanTheDescriptorSays() throws Exception {
        final String said = Products.run(Products.newJdk(), List.of("jdeps", "--multi-release", "25",
            "--print-module-deps", Products.jar().toString()));
        assertEquals(Set.of("java.base", "jdk.unsupported"), Set.of(said.lines().findFirst().orElseThrow().split(",")));
    }

    @Test
    void theJarToolFindsNothingWrongWithItsLayers() throws Exception {
        assertEquals("exit 0", Products.run(Products.newJdk(), List.of("jar", "--validate", "--file", Products.jar().toString())));
    }

    @Test
    void theNewLayerIsThereWithItsSources() throws Exception {
        final String layer = "META-INF/versions/22/" + NAME.replace('.', '/') + "/internal/memory/ForeignMemory.";
        assertTrue(entries(Products.jar()).contains(layer + "class"));
        final Set<String> sources = entries(Products.sources());
        assertTrue(sources.contains(layer + "java"));
        assertTrue(sources.contains("module-info.java"));
        // Each class has a source.
        for (final String entry : entries(Products.jar())) {
            if (entry.endsWith(".class")) {
                assertTrue(sources.contains(entry.replaceAll("(\\$[^/]*)?\\.class$", ".java")), entry);
            }
        }
        assertTrue(sources.stream().noneMatch(entry -> entry.matches(".*\\.(so|dll|class)")));
    }

    @Test
    void theManifestHasTheSameVersionEverywhere() throws Exception {
        try (JarFile jar = new JarFile(Products.jar().toFile())) {
            final Attributes main = jar.getManifest().getMainAttributes();
            final String version = main.getValue("Implementation-Version");
            assertTrue(Products.jar().getFileName().toString().equals("ivshmem4j-" + version + ".jar"), version);
            assertEquals(version.replace('-', '.'), main.getValue("Bundle-Version"));
            assertEquals(NAME + ".api;version=\"" + version.replaceAll("-.*", "") + "\"", main.getValue("Export-Package"));
            assertEquals("true", main.getValue("Multi-Release"));
        }
    }

    @Test
    void eachPlatformHasItsNativeLibrary() throws Exception {
        final Set<String> packed = entries(Products.jar()).stream().filter(entry -> entry.matches(".*\\.(so|dll)"))
            .collect(Collectors.toCollection(TreeSet::new));
        assertTrue(packed.containsAll(Set.of("META-INF/native/linux-x86/libivshmem4j.so",
            "META-INF/native/linux-x86_64/libivshmem4j.so")), packed.toString());
        try (JarFile jar = new JarFile(Products.jar().toFile())) {
            for (final String entry : packed) {
                final Path same = Products.DIST.resolve(entry.replace("META-INF/native/", ""));
                assertArrayEquals(Files.readAllBytes(same), jar.getInputStream(jar.getEntry(entry)).readAllBytes(), entry);
            }
        }
    }

    private static Set<String> entries(final Path jar) throws Exception {
        try (JarFile file = new JarFile(jar.toFile())) {
            return file.stream().map(entry -> entry.getName()).collect(Collectors.toCollection(TreeSet::new));
        }
    }
}

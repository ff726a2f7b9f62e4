package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The samples of the API documentation compile for Java 8, and its first page has all required samples. */
class SamplesTest {

    private static final String API = "io/github/alexanderschuetz97/ivshmem4j/api/";
    private static final Pattern SAMPLE = Pattern.compile("<pre>\\{@code\\n(.*?)\\n *\\* *\\}</pre>", Pattern.DOTALL);
    /** A sample that consists of methods instead of statements. */
    private static final Pattern METHODS = Pattern.compile("^\\w[\\w\\[\\]]* \\w+\\(.*\\) (throws \\w+ )?\\{$", Pattern.MULTILINE);

    @TempDir
    private Path folder;

    @Test
    void theSamplesCompile() throws Exception {
        int onFirstPage = 0;
        int others = 0;
        try (JarFile jar = new JarFile(Products.sources().toFile())) {
            for (final JarEntry entry : jar.stream().filter(file -> file.getName().startsWith(API)).toList()) {
                final List<String> samples = samples(text(jar, entry));
                for (int i = 0; i < samples.size(); i++) {
                    final String name = "Sample" + others + onFirstPage;
                    assertEquals("", Products.compile(folder, List.of(Products.jar().toString()), name, wrap(name, samples.get(i))),
                        entry.getName() + ": " + samples.get(i));
                    if (entry.getName().endsWith("package-info.java")) {
                        onFirstPage++;
                    } else {
                        others++;
                    }
                }
            }
        }
        assertTrue(onFirstPage >= 5, onFirstPage + " samples on the first page");
        assertTrue(others >= 1, others + " samples on other pages");
    }

    @Test
    void theFirstPageHasItsChapters() throws Exception {
        try (JarFile jar = new JarFile(Products.javadoc().toFile())) {
            final String page = text(jar, jar.getEntry("io.github.alexanderschuetz97.ivshmem4j/" + API + "package-summary.html"));
            for (final String chapter : List.of("Opening", "Reading and writing", "Publishing", "Interrupts", "Threads and closing",
                "Errors", "Options of the JVM")) {
                assertTrue(page.contains(">" + chapter + "</h2>"), chapter);
            }
            assertTrue(page.contains("--enable-native-access=ALL-UNNAMED"));
        }
    }

    private static List<String> samples(final String source) {
        final List<String> samples = new ArrayList<>();
        for (final MatchResult found : SAMPLE.matcher(source).results().toList()) {
            samples.add(Pattern.compile("^ *\\* ?", Pattern.MULTILINE).matcher(found.group(1)).replaceAll(""));
        }
        return samples;
    }

    private static String wrap(final String name, final String sample) {
        return "import io.github.alexanderschuetz97.ivshmem4j.api.*; import java.nio.charset.StandardCharsets;"
            + " import java.util.concurrent.*; class " + name + " {\nIvshmemMemory device; NativeMemory memory;\n"
            + (METHODS.matcher(sample).find() ? sample : "void sample() throws Exception {\n" + sample + "\n}") + "\n}\n";
    }

    private static String text(final JarFile jar, final ZipEntry entry) throws Exception {
        return new String(jar.getInputStream(entry).readAllBytes(), StandardCharsets.UTF_8);
    }
}

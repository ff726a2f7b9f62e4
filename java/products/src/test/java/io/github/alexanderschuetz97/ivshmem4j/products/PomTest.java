package io.github.alexanderschuetz97.ivshmem4j.products;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.xpath.XPathFactory;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;

/** The deployed files meet the requirements of Maven Central, and a user's Maven needs only one POM. */
class PomTest {

    private final Path repository = Products.DIST.resolve("maven/io/github/alexanderschuetz97");

    @Test
    void theDescriptionHasAllThatMavenCentralDemands() throws Exception {
        final Document pom = pom();
        for (final String path : List.of("groupId", "artifactId", "version", "name", "description", "url",
            "licenses/license/name", "licenses/license/url", "developers/developer/name", "scm/connection",
            "scm/developerConnection", "scm/url", "issueManagement/url")) {
            assertFalse(text(pom, path).isBlank(), path);
        }
        assertEquals("LGPL-3.0-or-later", text(pom, "licenses/license/name"));
        // By default, Maven appends a module's name to inherited values.
        assertEquals("https://github.com/AlexanderSchuetz97/Ivshmem4j", text(pom, "url"));
        assertEquals("https://github.com/AlexanderSchuetz97/Ivshmem4j", text(pom, "scm/url"));
        assertEquals("scm:git:https://github.com/AlexanderSchuetz97/Ivshmem4j.git", text(pom, "scm/connection"));
    }

    @Test
    void theDescriptionStandsAloneAndBringsNoDependency() throws Exception {
        final Document pom = pom();
        for (final String path : List.of("parent", "dependencies/dependency", "repositories", "build", "profiles")) {
            assertEquals("", text(pom, path), path);
        }
        assertFalse(Files.exists(repository.resolve("ivshmem4j-parent")));
        assertFalse(Files.readString(pomFile()).contains("${"));
    }

    @Test
    void sourcesAndDocumentationAndDigestsAreDeployed() throws Exception {
        final List<String> names = names();
        for (final String end : List.of(".jar", "-sources.jar", "-javadoc.jar", ".pom")) {
            final String name = names.stream().filter(file -> file.endsWith(end)).findFirst().orElseThrow(() ->
                new AssertionError("no " + end + " in " + names));
            assertTrue(names.contains(name + ".sha1") && names.contains(name + ".md5"), name);
        }
    }

    private List<String> names() throws Exception {
        try (Stream<Path> files = Files.list(pomFile().getParent())) {
            return files.map(file -> file.getFileName().toString()).collect(Collectors.toList());
        }
    }

    private Path pomFile() throws Exception {
        try (Stream<Path> files = Files.walk(repository.resolve("ivshmem4j"))) {
            return files.filter(file -> file.toString().endsWith(".pom")).findFirst().orElseThrow();
        }
    }

    private Document pom() throws Exception {
        return DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(pomFile().toFile());
    }

    private static String text(final Document pom, final String path) throws Exception {
        return XPathFactory.newInstance().newXPath().evaluate("/project/" + path, pom).trim();
    }
}

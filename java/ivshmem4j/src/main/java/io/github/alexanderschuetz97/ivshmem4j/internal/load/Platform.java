package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import java.util.List;
import java.util.Locale;

/** The platform of a native library: operating system, processor and, on Linux, the C library of this JVM. */
final class Platform {

    private final String os;
    private final String arch;
    private final boolean musl;

    Platform(final String os, final String arch, final boolean musl) {
        this.os = os;
        this.arch = arch;
        this.musl = musl;
    }

    /**
     * Determines the platform of a JVM.
     *
     * @param osName the system property {@code os.name}
     * @param osArch the system property {@code os.arch}: the processor type of the JVM, thus 32 bits for a 32-bit JVM
     * @param mappings the lines of {@code /proc/self/maps}; empty if the file does not exist
     */
    static Platform of(final String osName, final String osArch, final List<String> mappings) {
        final String name = osName.toLowerCase(Locale.ROOT);
        final String os = name.startsWith("windows") ? "windows" : name.replace(" ", "");
        return new Platform(os, arch(osArch.toLowerCase(Locale.ROOT)), usesMusl(mappings));
    }

    private static String arch(final String osArch) {
        switch (osArch) {
            case "amd64":
            case "x86_64":
                return "x86_64";
            case "x86":
            case "i386":
            case "i486":
            case "i586":
            case "i686":
                return "x86";
            default:
                return osArch;
        }
    }

    /** The mappings show which C library this process has loaded; a musl on the disk may be unused. */
    private static boolean usesMusl(final List<String> mappings) {
        for (final String line : mappings) {
            final String file = line.substring(line.lastIndexOf('/') + 1);
            if (file.startsWith("ld-musl-") || file.startsWith("libc.musl-")) {
                return true;
            }
        }
        return false;
    }

    boolean isMusl() {
        return musl;
    }

    boolean isWindows() {
        return os.equals("windows");
    }

    /** For example {@code linux-x86_64} or {@code linux-musl-x86_64}. */
    String name() {
        return os + (musl ? "-musl-" : "-") + arch;
    }

    /** For example {@code libivshmem4j.so}. */
    String fileName() {
        return isWindows() ? "ivshmem4j.dll" : "libivshmem4j.so";
    }

    /** The path of the library for this platform in the jar. */
    String resource() {
        return "/META-INF/native/" + name() + "/" + fileName();
    }
}

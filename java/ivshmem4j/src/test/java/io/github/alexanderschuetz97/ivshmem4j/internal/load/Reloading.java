package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** A program that loads the library repeatedly, as a container does for each new version of an application. */
public final class Reloading {

    private static final int PATIENCE = 300;

    private Reloading() {}

    /** For each jar in turn: loads it with a number of class loaders, drops them, and prints which objects are left. */
    public static void main(final String[] arguments) throws Exception {
        final int count = Integer.parseInt(arguments[0]);
        for (int jar = 1; jar < arguments.length; jar++) {
            final List<WeakReference<ClassLoader>> loaders = new ArrayList<>();
            int worked = 0;
            for (int i = 0; i < count; i++) {
                worked += use(arguments[jar], i % 2 == 0 ? "use" : "forget", loaders) ? 1 : 0;
            }
            // Unclosed objects are closed first, which other class loaders of the same library then notice.
            for (int tries = 0; tries < PATIENCE && (alive(loaders) > 0 || !threads().isEmpty()); tries++) {
                System.gc();
                Thread.sleep(50);
            }
            final long libraries = Files.readAllLines(Paths.get("/proc/self/maps")).stream()
                .filter(line -> line.matches(".* r-xp .*/\\.?ivshmem4j[-/].*")).count();
            System.out.println(
                worked + " worked, alive " + alive(loaders) + ", libraries " + libraries + ", threads " + threads());
        }
    }

    private static boolean use(final String jar, final String method, final List<WeakReference<ClassLoader>> loaders)
        throws Exception {
        final Path self = Paths.get(Reloading.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        final URL[] path = {Paths.get(jar).toUri().toURL(), self.toUri().toURL()};
        try (URLClassLoader loader = new URLClassLoader(path, ClassLoader.getSystemClassLoader().getParent())) {
            loaders.add(new WeakReference<>(loader));
            return String.valueOf(loader.loadClass(Probe.class.getName() + "$Use").getMethod(method).invoke(null))
                .startsWith("works");
        }
    }

    private static long alive(final List<WeakReference<ClassLoader>> loaders) {
        return loaders.stream().filter(loader -> loader.get() != null).count();
    }

    private static List<String> threads() {
        return Thread.getAllStackTraces().keySet().stream().map(Thread::getName)
            .filter(name -> name.startsWith("ivshmem4j")).sorted().collect(Collectors.toList());
    }
}

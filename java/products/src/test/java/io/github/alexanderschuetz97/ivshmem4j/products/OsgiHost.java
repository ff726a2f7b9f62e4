package io.github.alexanderschuetz97.ivshmem4j.products;

import java.nio.file.Path;
import java.util.Map;
import java.util.ServiceLoader;
import org.osgi.framework.Bundle;
import org.osgi.framework.launch.Framework;
import org.osgi.framework.launch.FrameworkFactory;
import org.osgi.framework.wiring.FrameworkWiring;

/** An OSGi framework with the library and a bundle that uses it; then both once more, with new class loaders. */
final class OsgiHost {

    private OsgiHost() {}

    /** Arguments: a folder for the framework, the jar, and the bundle that uses it. */
    public static void main(final String[] arguments) {
        int code = 1;
        try {
            use(arguments);
            code = 0;
        } catch (final Exception e) {
            e.printStackTrace(System.out);
        }
        // The framework has threads that would keep the JVM alive.
        System.exit(code);
    }

    private static void use(final String[] arguments) throws Exception {
        final Framework framework = ServiceLoader.load(FrameworkFactory.class).findFirst().orElseThrow().newFramework(Map.of(
            "org.osgi.framework.storage", arguments[0],
            "org.osgi.framework.storage.clean", "onFirstInit"));
        framework.start();
        final Bundle library = framework.getBundleContext().installBundle(Path.of(arguments[1]).toUri().toString());
        final Bundle user = framework.getBundleContext().installBundle(Path.of(arguments[2]).toUri().toString());
        library.start();
        user.start();
        System.out.println(library.getSymbolicName() + " " + library.getVersion() + " "
            + (library.getState() == Bundle.ACTIVE) + " " + (user.getState() == Bundle.ACTIVE));
        user.stop();
        library.update();
        framework.adapt(FrameworkWiring.class).refreshBundles(null, event -> start(user));
        // The framework starts the library again together with its user.
        for (int tries = 0; tries < 1000 && user.getState() != Bundle.ACTIVE; tries++) {
            Thread.sleep(20);
        }
        System.out.println("again " + (user.getState() == Bundle.ACTIVE));
        framework.stop();
        framework.waitForStop(0);
    }

    private static void start(final Bundle bundle) {
        try {
            bundle.start();
        } catch (final Exception e) {
            e.printStackTrace(System.out);
        }
    }
}

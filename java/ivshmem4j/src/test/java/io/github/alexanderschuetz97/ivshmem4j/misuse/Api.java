package io.github.alexanderschuetz97.ivshmem4j.misuse;

import io.github.alexanderschuetz97.ivshmem4j.api.InterruptServiceRoutine;
import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.io.IOException;
import java.lang.reflect.Executable;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The public classes and methods of the library, read from the jar, so that new ones are included automatically. */
final class Api {

    private final List<Class<?>> types = new ArrayList<>();
    /** Static methods and constructors. */
    private final List<Executable> makers = new ArrayList<>();
    private final Map<Class<?>, List<Method>> methods = new ConcurrentHashMap<>();

    Api() throws IOException, URISyntaxException, ClassNotFoundException {
        for (final String name : classNames()) {
            final Class<?> type = Class.forName(name);
            if (Modifier.isPublic(type.getModifiers()) && !Throwable.class.isAssignableFrom(type) && !type.isEnum()) {
                types.add(type);
                makers.addAll(Arrays.asList(type.getConstructors()));
                Arrays.stream(type.getMethods()).filter(method -> Modifier.isStatic(method.getModifiers()))
                    .forEach(makers::add);
            }
        }
        makers.sort(Comparator.comparing(Executable::toString));
    }

    private static List<String> classNames() throws IOException, URISyntaxException {
        final String folder = Ivshmem.class.getPackage().getName().replace('.', '/');
        final Path code = Paths.get(Ivshmem.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        if (Files.isDirectory(code)) {
            return classNames(code.resolve(folder));
        }
        try (FileSystem jar = FileSystems.newFileSystem(URI.create("jar:" + code.toUri()), Collections.emptyMap())) {
            return classNames(jar.getPath(folder));
        }
    }

    private static List<String> classNames(final Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString())
                .filter(name -> name.endsWith(".class") && !name.endsWith("-info.class"))
                .map(name -> Ivshmem.class.getPackage().getName() + "." + name.substring(0, name.length() - 6))
                .sorted().collect(Collectors.toList());
        }
    }

    /** Whether a parameter of this type takes an object of the library, not one of the program. */
    boolean isGiven(final Class<?> type) {
        return type == Object.class || types.contains(type) && type != InterruptServiceRoutine.class && type != PeerConnectionListener.class;
    }

    /** The methods and constructors that create objects, with or without other objects. */
    List<Executable> makers() {
        return makers;
    }

    /** The public methods of the library's public types of an object; none for other objects. */
    List<Method> methods(final Class<?> implementation) {
        return methods.computeIfAbsent(implementation, this::find);
    }

    private List<Method> find(final Class<?> implementation) {
        final Map<String, Method> found = new HashMap<>();
        for (final Class<?> type : types) {
            if (type.isAssignableFrom(implementation)) {
                for (final Method method : type.getMethods()) {
                    if (method.getDeclaringClass() != Object.class && !Modifier.isStatic(method.getModifiers())) {
                        found.putIfAbsent(method.getName() + Arrays.toString(method.getParameterTypes()), method);
                    }
                }
            }
        }
        return found.entrySet().stream().sorted(Map.Entry.comparingByKey()).map(Map.Entry::getValue)
            .collect(Collectors.toList());
    }
}

package io.github.alexanderschuetz97.ivshmem4j.internal.load;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.AclEntry;
import java.nio.file.attribute.AclEntryPermission;
import java.nio.file.attribute.AclEntryType;
import java.nio.file.attribute.AclFileAttributeView;
import java.nio.file.attribute.UserPrincipal;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The accounts that may write to a file on Windows.
 *
 * <p>Names of accounts depend on the language of Windows, so no account is trusted by name. An account that may write to the
 * folder of a file could replace the file anyway; any other account is a stranger.
 */
final class AccessList {

    /** The permissions to change a file, to change the content of a folder, or to grant oneself these permissions. */
    private static final List<AclEntryPermission> WRITING = Arrays.asList(
        AclEntryPermission.WRITE_DATA,
        AclEntryPermission.APPEND_DATA,
        AclEntryPermission.DELETE,
        AclEntryPermission.DELETE_CHILD,
        AclEntryPermission.WRITE_ACL,
        AclEntryPermission.WRITE_OWNER);

    private AccessList() {}

    /** The name of an account that may write to the file but not to the folder, or null. */
    static String stranger(final Path file, final Path folder) throws IOException {
        final Set<UserPrincipal> trusted = writers(folder);
        for (final UserPrincipal writer : writers(file)) {
            if (!trusted.contains(writer)) {
                return writer.getName();
            }
        }
        return null;
    }

    /** The accounts that may write. The owner is one of them, as the owner may change the access list. */
    private static Set<UserPrincipal> writers(final Path path) throws IOException {
        final AclFileAttributeView view =
            Files.getFileAttributeView(path, AclFileAttributeView.class, LinkOption.NOFOLLOW_LINKS);
        final Set<UserPrincipal> writers = new HashSet<>();
        if (view == null) {
            // A file system without access lists, such as FAT, has no users either.
            return writers;
        }
        writers.add(view.getOwner());
        for (final AclEntry entry : view.getAcl()) {
            final Set<AclEntryPermission> permissions = new HashSet<>(entry.permissions());
            permissions.retainAll(WRITING);
            if (entry.type() == AclEntryType.ALLOW && !permissions.isEmpty()) {
                writers.add(entry.principal());
            }
        }
        return writers;
    }
}

package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

/**
 * Waits for changes of peers and of the server, and signals the listeners. Changes that a slow listener has not received yet
 * are merged by peer.
 */
final class PeerLoop implements Runnable {

    /** Limits the pending changes of the server for a listener that is slower than restarts of the server. */
    private static final int MAX_SERVER_NEWS = 8;

    private final long device;
    private final Dispatch dispatch;
    private final CopyOnWriteArrayList<Registered> listeners = new CopyOnWriteArrayList<>();
    private volatile boolean serverGone;

    PeerLoop(final long device, final Dispatch dispatch) {
        this.device = device;
        this.dispatch = dispatch;
    }

    boolean isServerGone() {
        return serverGone;
    }

    /** Registers a listener once. A new listener receives all connected peers. */
    void add(final PeerConnectionListener listener) {
        for (final Registered registered : listeners) {
            if (registered.listener.equals(listener)) {
                return;
            }
        }
        listeners.add(new Registered(listener));
        NativeLibrary.devicePeersAgain(device);
    }

    void remove(final PeerConnectionListener listener) {
        for (final Registered registered : listeners) {
            if (registered.listener.equals(listener)) {
                registered.repeater.stop();
                listeners.remove(registered);
            }
        }
    }

    boolean isEmpty() {
        return listeners.isEmpty();
    }

    @Override
    public void run() {
        while (true) {
            final int[] news;
            try {
                news = NativeLibrary.devicePeerNews(device);
            } catch (final IvshmemException e) {
                if (dispatch.isClosed()) {
                    return;
                }
                // The native library reports it once. The peers may still be there.
                gone(e);
                continue;
            } catch (final Throwable e) {
                dispatch.failed(e);
                return;
            }
            if (news.length == 0) {
                return;
            }
            if (news[0] >= 0) {
                changed(news[0], new News(news[1] != 0, news[2]));
            } else if (news[1] >= 0) {
                reconnected(news[1]);
            } else if (news[1] == NativeLibrary.VECTORS_ADDED) {
                vectorsAdded();
            } else {
                memoryReplaced();
            }
        }
    }

    private void gone(final IvshmemException why) {
        serverGone = true;
        try (Steps steps = new Steps(dispatch::failed)) {
            tell(steps, listener -> listener.tell(PeerConnectionListener::onServerGone));
            steps.take(() -> dispatch.handler().lost(why));
        }
    }

    private void changed(final int peer, final News news) {
        try (Steps steps = new Steps(dispatch::failed)) {
            tell(steps, listener -> listener.tell(peer, news));
        }
    }

    private void reconnected(final int id) {
        serverGone = false;
        try (Steps steps = new Steps(dispatch::failed)) {
            // Without an executor, the listeners run in this thread, and may wait for a routine of a vector that is back.
            steps.take(() -> dispatch.vectorsAdded(steps));
            tell(steps, listener -> listener.reconnected(id));
            steps.take(() -> dispatch.handler().inform("the server is back; this device has the id " + id + " now"));
            if (!listeners.isEmpty()) {
                steps.take(() -> NativeLibrary.devicePeersAgain(device));
            }
        }
    }

    private void vectorsAdded() {
        try (Steps steps = new Steps(dispatch::failed)) {
            steps.take(() -> dispatch.vectorsAdded(steps));
        }
    }

    private void memoryReplaced() {
        try (Steps steps = new Steps(dispatch::failed)) {
            tell(steps, listener -> listener.tell(PeerConnectionListener::onMemoryReplaced));
            steps.take(() -> dispatch.handler().lost(new IvshmemException(IvshmemException.Code.SERVER_GONE, "a server with"
                + " other memory is there now, so this device does not go back to it: its memory stays usable; close it and"
                + " open it again for the other")));
        }
    }

    private void tell(final Steps steps, final Consumer<Registered> news) {
        listeners.forEach(listener -> steps.take(() -> news.accept(listener)));
    }

    /** A pending change of one peer. */
    private static final class News {

        private final boolean left;
        private final int vectors;

        /** A peer that has left and has vectors has reconnected. With -1 vectors the peer is not connected. */
        News(final boolean left, final int vectors) {
            this.left = left;
            this.vectors = vectors;
        }

        News after(final News older) {
            return new News(left || older.left, vectors);
        }
    }

    private final class Registered {

        private final PeerConnectionListener listener;
        /** The last changes of the server, in order. Guarded by {@code unheard}, like the other fields. */
        private final Deque<Consumer<PeerConnectionListener>> server = new ArrayDeque<>();
        /** The number of those changes to report before the peers, which belong to the latest server. */
        private int serverFirst;
        private final Map<Integer, News> unheard = new LinkedHashMap<>();
        /** The number of vectors last reported to the listener, by peer. */
        private final Map<Integer, Integer> told = new HashMap<>();
        private final Repeater repeater;

        Registered(final PeerConnectionListener listener) {
            this.listener = listener;
            repeater = dispatch.repeater(this::hear);
        }

        void tell(final int peer, final News news) {
            synchronized (unheard) {
                unheard.merge(peer, news, (older, newer) -> newer.after(older));
            }
            repeater.signal();
        }

        void tell(final Consumer<PeerConnectionListener> news) {
            synchronized (unheard) {
                add(news);
            }
            repeater.signal();
        }

        /** Marks all known peers as disconnected. The peers of the new server are added afterwards. */
        void reconnected(final int id) {
            synchronized (unheard) {
                unheard.clear();
                told.keySet().forEach(peer -> unheard.put(peer, new News(true, -1)));
                add(heard -> heard.onReconnect(id));
                serverFirst = server.size();
            }
            repeater.signal();
        }

        private void add(final Consumer<PeerConnectionListener> news) {
            if (server.size() == MAX_SERVER_NEWS) {
                nextOfServer();
            }
            server.add(news);
        }

        private void hear() {
            while (!repeater.isStopped()) {
                final Consumer<PeerConnectionListener> news = next();
                if (news == null) {
                    return;
                }
                news.accept(listener);
            }
        }

        /** The next change to report; null if there is none. */
        private Consumer<PeerConnectionListener> next() {
            synchronized (unheard) {
                if (serverFirst > 0 || unheard.isEmpty()) {
                    final Consumer<PeerConnectionListener> first = nextOfServer();
                    return first == null ? null : heard -> dispatch.handler().run(() -> first.accept(heard));
                }
                final int peer = unheard.keySet().iterator().next();
                final News news = unheard.remove(peer);
                if (news.left) {
                    told.remove(peer);
                }
                // A change for a listener that was registered later may be no change for this one.
                final boolean came =
                    news.vectors >= 0 && !Objects.equals(told.put(peer, news.vectors), news.vectors);
                return heard -> {
                    if (news.left) {
                        dispatch.handler().run(() -> heard.onDisconnect(peer));
                    }
                    if (came && !repeater.isStopped()) {
                        dispatch.handler().run(() -> heard.onConnect(peer, news.vectors));
                    }
                };
            }
        }

        /** Takes the next change of the server; null if there is none. */
        private Consumer<PeerConnectionListener> nextOfServer() {
            serverFirst = Math.max(serverFirst - 1, 0);
            return server.poll();
        }
    }
}

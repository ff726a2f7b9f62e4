package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;

/** Waits for news about peers and signals the listeners. What a slow listener has not heard yet is merged by peer. */
final class PeerLoop implements Runnable {

    private final long device;
    private final Dispatch dispatch;
    private final CopyOnWriteArrayList<Registered> listeners = new CopyOnWriteArrayList<>();

    PeerLoop(final long device, final Dispatch dispatch) {
        this.device = device;
        this.dispatch = dispatch;
    }

    /** A listener that is registered already stays registered once. A new one hears of all who are there. */
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
            } catch (final Throwable e) {
                if (dispatch.isClosed()) {
                    return;
                }
                dispatch.handler().accept(e);
                if (e instanceof IvshmemException) {
                    // The server is gone, which the native library reports once. The peers may still be there.
                    continue;
                }
                return;
            }
            if (news.length == 0) {
                return;
            }
            for (final Registered registered : listeners) {
                registered.tell(news[0], new News(news[1] != 0, news[2]));
            }
        }
    }

    /** What a listener has to hear about one peer. */
    private static final class News {

        private final boolean left;
        private final int vectors;

        /** When it has left and has vectors, it has come back. -1 vectors: it is not here. */
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
        private final Map<Integer, News> unheard = new LinkedHashMap<>();
        /** The vectors it was told last, by peer. Used by one run of the listener after the other. */
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

        private void hear() {
            while (!repeater.isStopped()) {
                final int peer;
                final News news;
                synchronized (unheard) {
                    if (unheard.isEmpty()) {
                        return;
                    }
                    peer = unheard.keySet().iterator().next();
                    news = unheard.remove(peer);
                }
                if (news.left) {
                    told.remove(peer);
                    dispatch.handler().run(() -> listener.onDisconnect(peer));
                }
                // News for another listener, who came later, may be none for this one.
                if (news.vectors >= 0 && !repeater.isStopped() && !Objects.equals(told.put(peer, news.vectors), news.vectors)) {
                    dispatch.handler().run(() -> listener.onConnect(peer, news.vectors));
                }
            }
        }
    }
}

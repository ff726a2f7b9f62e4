package io.github.alexanderschuetz97.ivshmem4j.internal.device;

import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemException;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Waits for events of the peers and of the server, and signals the listeners. The native library has a queue of events for
 * each listener.
 */
final class PeerLoop implements Runnable {

    private final long device;
    private final Dispatch dispatch;
    private final CopyOnWriteArrayList<Registered> listeners = new CopyOnWriteArrayList<>();
    private final AtomicInteger lastNumber = new AtomicInteger();
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
        if (listeners.stream().noneMatch(registered -> registered.listener.equals(listener))) {
            final Registered added = new Registered(listener, lastNumber.incrementAndGet());
            // This comes first, as the thread signals the listeners after the following call.
            listeners.add(added);
            try {
                NativeLibrary.deviceListen(device, added.number);
            } catch (final RuntimeException | Error e) {
                listeners.remove(added);
                throw e;
            }
        }
    }

    void remove(final PeerConnectionListener listener) {
        for (final Registered registered : listeners) {
            if (registered.listener.equals(listener)) {
                registered.coalescer.stop();
                listeners.remove(registered);
                NativeLibrary.deviceUnlisten(device, registered.number);
            }
        }
    }

    boolean isEmpty() {
        return listeners.isEmpty();
    }

    @Override
    public void run() {
        while (true) {
            int[] event = {NativeLibrary.SERVER_GONE};
            IvshmemException lost = null;
            try {
                event = NativeLibrary.devicePeerNews(device);
            } catch (final IvshmemException e) {
                if (dispatch.isClosed()) {
                    return;
                }
                lost = e;
            } catch (final Throwable e) {
                dispatch.failed(e);
                return;
            }
            if (event.length == 0) {
                return;
            }
            try (Steps steps = new Steps(dispatch::failed)) {
                handle(event, lost, steps);
            }
        }
    }

    private void handle(final int[] event, final IvshmemException lost, final Steps steps) {
        final boolean isBack = event[0] == NativeLibrary.RECONNECTED;
        if (isBack || event[0] == NativeLibrary.SERVER_GONE) {
            serverGone = !isBack;
        }
        if (isBack || event[0] == NativeLibrary.VECTORS_ADDED) {
            // Without an executor, the listeners run in this thread, and may wait for a routine of a vector that is back.
            steps.take(() -> dispatch.vectorsAdded(steps));
        }
        steps.take(() -> NativeLibrary.devicePassOn(device));
        listeners.forEach(listener -> steps.take(listener.coalescer::signal));
        steps.take(() -> report(event, lost));
    }

    private void report(final int[] event, final IvshmemException lost) {
        switch (event[0]) {
            case NativeLibrary.SERVER_GONE:
                dispatch.handler().lost(lost);
                break;
            case NativeLibrary.RECONNECTED:
                dispatch.handler().inform("the server is back; this device has the id " + event[1] + " now");
                break;
            case NativeLibrary.MEMORY_REPLACED:
                dispatch.handler().lost(new IvshmemException(IvshmemException.Code.SERVER_GONE, "a server with other memory"
                    + " is there now, so this device does not go back to it: its memory stays usable; close it and open it"
                    + " again for the other"));
                break;
            default:
        }
    }

    private final class Registered {

        private final PeerConnectionListener listener;
        private final int number;
        private final Coalescer coalescer = dispatch.coalescer(this::tellAll);

        Registered(final PeerConnectionListener listener, final int number) {
            this.listener = listener;
            this.number = number;
        }

        private void tellAll() {
            while (!coalescer.isStopped()) {
                final int[] event = NativeLibrary.deviceListenerNews(device, number);
                if (event.length == 0) {
                    return;
                }
                dispatch.handler().run(() -> tell(event));
            }
        }

        private void tell(final int[] event) {
            switch (event[0]) {
                case NativeLibrary.PEER_CONNECTED:
                    listener.onConnect(event[1], event[2]);
                    break;
                case NativeLibrary.PEER_DISCONNECTED:
                    listener.onDisconnect(event[1]);
                    break;
                case NativeLibrary.SERVER_GONE:
                    listener.onServerGone();
                    break;
                case NativeLibrary.RECONNECTED:
                    listener.onReconnect(event[1]);
                    break;
                case NativeLibrary.MEMORY_REPLACED:
                    listener.onMemoryReplaced();
                    break;
                default:
            }
        }
    }
}

package io.github.alexanderschuetz97.ivshmem4j.vmtest;

import io.github.alexanderschuetz97.ivshmem4j.api.Ivshmem;
import io.github.alexanderschuetz97.ivshmem4j.api.IvshmemMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.LinuxIvshmemPCIDevice;
import io.github.alexanderschuetz97.ivshmem4j.api.NativeMemory;
import io.github.alexanderschuetz97.ivshmem4j.api.PeerConnectionListener;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;

/**
 * Reads commands line by line, and answers each with a line: a result, or "failed" and the exception. vmtest/tests/java.rs
 * runs this program in each guest and on the host and compares the results; wintest/guest runs it on Windows.
 */
public final class Peer {

    private IvshmemMemory device;
    private Calls calls;

    private Peer() {}

    /**
     * Runs until the input ends.
     *
     * @param arguments none
     * @throws Exception if input or output fails
     */
    public static void main(final String[] arguments) throws Exception {
        final Peer peer = new Peer();
        // Not System.in, which queries the number of available bytes: Wine does not support that for a pipe.
        final InputStream in = new FileInputStream(FileDescriptor.in);
        final BufferedReader input = new BufferedReader(new InputStreamReader(in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String answer;
            try {
                answer = peer.answer(line.split(" "));
            } catch (final Exception e) {
                answer = "failed " + e.getClass().getSimpleName() + ": " + e.getMessage();
            }
            System.out.println(answer.replace('\n', ' '));
        }
    }

    private String answer(final String[] words) throws Exception {
        switch (words[0]) {
            case "list":
                return list();
            case "windows":
                return Ivshmem.windowsListPCI().toString();
            case "open-windows":
                device = Ivshmem.windowsPCI(Ivshmem.windowsListPCI().iterator().next());
                return facts();
            case "open":
                device = Ivshmem.open(words[1]);
                return facts();
            case "open-size":
                device = Ivshmem.linuxPCI(ofSize(Long.parseLong(words[1])));
                return facts();
            case "peers":
                return device.getPeers().toString();
            case "listen":
                device.registerPeerConnectionListener(new Nobody());
                return "listening";
            case "register":
                device.registerInterruptServiceRoutine(Integer.parseInt(words[1]), vector -> { });
                return "registered";
            case "wait":
                final long millis = Long.parseLong(words[2]);
                return "rung " + device.waitInterrupt(Integer.parseInt(words[1]), millis, TimeUnit.MILLISECONDS);
            case "next":
                return "next " + device.nextInterrupt(Integer.parseInt(words[1])).get();
            case "ring":
                device.sendInterrupt(Integer.parseInt(words[1]), Integer.parseInt(words[2]));
                return "rung";
            case "join":
                calls = new Calls(device, Integer.parseInt(words[1]));
                return "joined";
            case "meet":
                return calls.meet(Integer.parseInt(words[1]));
            case "call":
                return calls.call(Integer.parseInt(words[1]), Integer.parseInt(words[2]));
            case "burst":
                return calls.burst(Integer.parseInt(words[1]), Integer.parseInt(words[2]));
            case "check":
                return calls.check();
            case "write":
                Values.write(memory(), Long.parseLong(words[1]));
                return "written";
            case "read":
                return Values.read(memory(), Long.parseLong(words[1]));
            case "bytes":
                final byte[] bytes = new byte[Integer.parseInt(words[2])];
                memory().read(Long.parseLong(words[1]), bytes);
                return Arrays.toString(bytes);
            case "add":
                return Values.add(memory(), Long.parseLong(words[1]), Integer.parseInt(words[2]));
            case "limits":
                return Values.limits(memory());
            case "run":
                final String[] program = Arrays.copyOfRange(words, 1, words.length);
                return "ran " + Runtime.getRuntime().exec(program).waitFor();
            case "close":
                device.close();
                return "closed";
            default:
                throw new IllegalArgumentException("no command " + words[0]);
        }
    }

    private static final class Nobody implements PeerConnectionListener {
        @Override
        public void onConnect(final int peer, final int vectors) { }

        @Override
        public void onDisconnect(final int peer) { }
    }

    private NativeMemory memory() {
        return device.getMemory();
    }

    private static String list() {
        final StringBuilder text = new StringBuilder();
        for (final LinuxIvshmemPCIDevice device : Ivshmem.linuxListPCI()) {
            text.append(device.getName()).append(" size=").append(device.getSize())
                .append(" revision=").append(device.getRevision()).append(" vectors=").append(device.getVectors())
                .append(" driver=").append(device.getDriver()).append(" group=").append(device.getIommuGroup())
                .append(" memory=").append(device.getMemoryFinding())
                .append(" sending=").append(device.getSendingFinding())
                .append(" receiving=").append(device.getReceivingFinding()).append(" | ");
        }
        return text.toString();
    }

    private static LinuxIvshmemPCIDevice ofSize(final long size) {
        return Ivshmem.linuxListPCI().stream().filter(device -> device.getSize() == size).findFirst()
            .orElseThrow(() -> new IllegalStateException("no device of " + size + " bytes"));
    }

    private String facts() {
        return "opened id=" + device.hasOwnPeerID() + " vectors=" + device.getOwnVectors()
            + " interrupts=" + device.supportsInterrupts() + " peers=" + device.knowsOtherPeers()
            + " size=" + device.getMemory().size() + " cache=" + device.getMemory().cacheMode();
    }
}

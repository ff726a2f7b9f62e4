# A hostile server. Every eventfd that it sends is in an epoll whose mutex one of its threads holds: in epoll_wait, the
# thread waits for a page of a file whose file system does not answer.
import ctypes
import mmap
import os
import select
import socket
import struct
import sys
import threading
import time

libc = ctypes.CDLL(None)
file = os.open(sys.argv[1], os.O_RDWR)
page = mmap.mmap(file, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
epolls = []


def held():
    """An eventfd that cannot be closed."""
    eventfd = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    epoll = select.epoll()
    epoll.register(eventfd, select.EPOLLIN)
    epolls.append(epoll)
    wait = lambda: libc.epoll_wait(epoll.fileno(), ctypes.c_void_p(address), 1, -1)
    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    # The event is ready, so only the missing page can block the thread in this call.
    while hex(address) not in open(f"/proc/self/task/{waiting.native_id}/syscall").read():
        time.sleep(0.001)
    return eventfd


def free():
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def send(client, number, descriptor=None):
    socket.send_fds(client, [struct.pack("<q", number)], [] if descriptor is None else [descriptor])
    if descriptor is not None:
        os.close(descriptor)


def greet(client, vector):
    memory = os.memfd_create("memory")
    os.ftruncate(memory, 4096)
    send(client, 0)
    send(client, 1)
    send(client, -1, memory)
    send(client, 1, vector)


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[2])
listener.listen()
print("listening", flush=True)
client, _ = listener.accept()
greet(client, held())
# The test writes a line when the client has registered for peer events.
sys.stdin.readline()
send(client, 2, held())
send(client, 2)
send(client, 3, free())
client.recv(1)
while True:
    client, _ = listener.accept()
    try:
        greet(client, held())
        send(client, 2, held())
        send(client, -5)
        client.recv(1)
    except OSError:
        # A client that refuses this server has disconnected.
        pass
    client.close()

"""A server without vectors: no_vectors_server.py SOCKET. It says what QEMU's says with -n 0: memory, an id, and who has left."""

import os
import selectors
import socket
import struct
import sys


def tell(client, number, descriptors=()):
    socket.send_fds(client, [struct.pack("<q", number)], descriptors)


memory = os.memfd_create("no-vectors")
os.ftruncate(memory, 1 << 16)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen()
events = selectors.DefaultSelector()
events.register(listener, selectors.EVENT_READ)
# Ends together with the process that started this.
events.register(sys.stdin, selectors.EVENT_READ)
clients = {}
print("listening", flush=True)
while True:
    for key, _ in events.select():
        if key.fileobj is sys.stdin:
            sys.exit()
        if key.fileobj is listener:
            client, _ = listener.accept()
            peer = next(number for number in range(1 << 16) if number not in clients.values())
            tell(client, 0)
            tell(client, peer)
            tell(client, -1, [memory])
            clients[client] = peer
            events.register(client, selectors.EVENT_READ)
        else:
            gone = clients.pop(key.fileobj)
            events.unregister(key.fileobj)
            key.fileobj.close()
            for client in clients:
                tell(client, gone)

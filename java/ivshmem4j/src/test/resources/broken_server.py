"""A server that breaks the protocol: broken_server.py SOCKET. Each client gets the id -5, which nobody can have."""

import socket
import struct
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
while True:
    client, _ = listener.accept()
    client.sendall(struct.pack("<qq", 0, -5))
    client.close()

"""A server of one client with two vectors: late_vector_server.py SOCKET MEMORY [SECONDS]. It shares the file MEMORY, and pauses
between the two vectors: for SECONDS or, without them, until it reads a line."""

import os
import socket
import struct
import sys
import time


def tell(number, descriptors=()):
    socket.send_fds(client, [struct.pack("<q", number)], descriptors)


memory = os.open(sys.argv[2], os.O_RDWR)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
client, _ = listener.accept()
tell(0)
tell(0)
tell(-1, [memory])
tell(0, [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)])
if len(sys.argv) > 3:
    time.sleep(float(sys.argv[3]))
else:
    sys.stdin.readline()
tell(0, [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)])
# Ends together with the process that started this.
sys.stdin.read()

"""A hostile client: fill_counter.py SOCKET. Makes the eventfd of vector 0 of peer 0 block, and keeps its counter full."""

import array
import fcntl
import os
import socket
import struct
import sys
import threading

FULL = struct.pack("=Q", 2**64 - 2)

connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(sys.argv[1])
counter = None
while counter is None:
    data, control, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(4))
    (number,) = struct.unpack("<q", data)
    for _, _, descriptors in control:
        if number == 0:
            counter = array.array("i", descriptors)[0]
fcntl.fcntl(counter, fcntl.F_SETFL, fcntl.fcntl(counter, fcntl.F_GETFL) & ~os.O_NONBLOCK)


def fill():
    while True:
        os.write(counter, FULL)


for _ in range(8):
    threading.Thread(target=fill, daemon=True).start()
print("filling", flush=True)
# Ends together with the process that started this.
sys.stdin.read()

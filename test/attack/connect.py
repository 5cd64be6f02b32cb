#!/usr/bin/python3
"""connect.py NAME: stdin and stdout to a Unix socket ("@name": an abstract one), for ssh's ProxyCommand."""

import os
import socket
import sys
import threading


def main(name):
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0" + name[1:] if name.startswith("@") else name)

    def send():
        while data := os.read(0, 65536):
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()
    while data := s.recv(65536):
        os.write(1, data)


if __name__ == "__main__":
    main(sys.argv[1])

"""Connections of an ordinary program: `dial.py direct|proxy PORT N SECONDS`, as `bench client` makes them.

One interpreter with N connections under way by asyncio: what most programs in a sandbox are like. Prints rate=R.
"""

import asyncio
import os
import sys
import time
import urllib.parse

ADDRESS = "10.9.8.7"


async def dial(to, head, until):
    count = 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection(*to)
        if head:
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in answer, answer
        assert await reader.read() == b""
        writer.close()
        count += 1
    return count


async def main():
    how, port, flight, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    to, head = (ADDRESS, port), b""
    if how == "proxy":
        proxy = urllib.parse.urlsplit(os.environ["http_proxy"])
        to = (proxy.hostname, proxy.port)
        head = f"CONNECT {ADDRESS}:{port} HTTP/1.1\r\nHost: {ADDRESS}:{port}\r\n\r\n".encode()
    until = time.monotonic() + seconds
    counts = await asyncio.gather(*(dial(to, head, until) for _ in range(flight)))
    print(f"rate={sum(counts) / seconds:.0f}")


asyncio.run(main())

"""bridge.py ADDRESS PORT SOCKET: a port in the network of the node, for a server on a Unix socket. Says "ready", and
ends with its stdin."""

import asyncio
import sys


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def serve(reader, writer):
    back, forth = await asyncio.open_unix_connection(sys.argv[3])
    await asyncio.gather(copy(reader, forth), copy(back, writer))
    writer.close()
    forth.close()


async def main():
    await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())

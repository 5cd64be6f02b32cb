"""How servers may read the bytes of a connection: in every way that some server is known to. What one of them
takes for a request that the policy does not allow, is one that came through the wall."""

import itertools
import re
import urllib.parse

CODINGS = re.compile(rb"(?i)chunked")


def violations(data):
    """The requests among the bytes, in any reading, that the policy of world.py does not allow."""
    if data[:1] == b"\x16":
        return [data]  # TLS, where requests must be seen
    found = {}
    for bare_lf, length_first, first_length, strict in itertools.product((True, False), repeat=4):
        for request in requests(data, bare_lf, length_first, first_length, strict):
            if not allowed(*request):
                found[b" ".join(request[:2]) + request[2]] = True
    return list(found)


def head_lines(data, bare_lf):
    """The lines of a head, and what follows it; None when it is not complete."""
    end = re.search(rb"(?>\r\n|\r|\n){2}" if bare_lf else rb"\r\n\r\n", data)
    if not end:
        return None, data
    lines = re.split(rb"\r\n|\r|\n" if bare_lf else rb"\r\n", data[: end.start()])
    return lines, data[end.end() :]


def requests(data, bare_lf, length_first, first_length, strict):
    """(method, target, head) of each request in one reading. Ends at what is no request."""
    begun = False
    while data:
        data = data.lstrip(b"\r\n")
        lines, rest = head_lines(data, bare_lf)
        if lines is None:
            if not begun and not re.match(rb"[A-Z]*\Z|[A-Z]+ ([^\n]*\Z|[^\n]* HTTP/)", data):
                yield b"", b"", data  # what is no HTTP must not come to where requests are judged
            return
        words = re.fullmatch(rb"([^ \t]+)[ \t]+(\S+)(?:[ \t]+HTTP/\S+)?[ \t]*", lines[0])
        if not words:
            if not begun:
                yield b"", b"", lines[0]
            return
        begun = True
        headers = [header(line, strict) for line in lines[1:]]
        yield words[1], words[2], b"\r\n".join(lines)
        body = take_body(headers, rest, bare_lf, length_first, first_length, strict)
        if body is None:
            return
        data = body


def header(line, strict):
    """A strict server knows no name with a blank around it."""
    name, _, value = line.partition(b":")
    return (name if strict else name.strip(b" \t\0")).lower(), value.strip(b" \t\v\0\"")


def take_body(headers, rest, bare_lf, length_first, first_length, strict):
    """What follows the body; None when that has not come yet."""
    lengths = [v for n, v in headers if n == b"content-length"]
    chunked = any(n == b"transfer-encoding" and CODINGS.search(v) for n, v in headers)
    if chunked and not (length_first and lengths):
        return after_chunks(rest, bare_lf, strict)
    if not lengths:
        return rest
    n = length_of(lengths[0 if first_length else -1], first_length, strict)
    return rest[n:] if len(rest) >= n else None


def length_of(text, first, strict):
    if strict:
        return int(text) if text.isdigit() and len(text) < 10 else 0
    text = text.split(b",")[0 if first else -1].strip()
    match = re.match(rb"\+?(0x)?([0-9a-fA-F]+)", text)
    if not match:
        return 0
    try:
        return int(match[2], 16 if match[1] else 10) % 2**64
    except ValueError:
        return 0


def after_chunks(rest, bare_lf, strict):
    while True:
        line = re.match(rb"([^\n]*?)\r?\n" if bare_lf else rb"(.*?)\r\n", rest, re.DOTALL)
        if not line:
            return None
        size = re.match(rb"([0-9a-fA-F]+)" if strict else rb"\s*(?:0x)?([0-9a-fA-F]+)", line[1])
        n = int(size[1], 16) % 2**64 if size else 0
        rest = rest[line.end() :]
        if n == 0:
            end = re.match(rb"\r?\n", rest)
            return rest[end.end() :] if end else rest
        if len(rest) < n:
            return None
        rest = re.sub(rb"^\r?\n", b"", rest[n:], count=1)


def allowed(method, target, head):
    """Whether the policy has it, as a server would understand it that decodes and resolves all it can."""
    if len(head) > 8192 + 512:
        return False
    hosts = re.findall(rb"(?im)^[ \t]*host[ \t]*:[ \t]*(\S*)", head)
    if any(h.lower().rstrip(b".") not in (b"allowed.test:8080", b"allowed.test") for h in hosts):
        return False
    if b"upgrade:" in head.lower() and b"websocket" not in head.lower():
        return False
    if b"://" in target[:9]:
        target = b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
    path = urllib.parse.unquote_to_bytes(re.split(rb"[?#]", target, maxsplit=1)[0])
    path = path.split(b"\0")[0].replace(b"\\", b"/").lower()
    parts = []
    for part in path.split(b"/"):
        part = part.split(b";")[0]
        if part == b"..":
            parts[-1:] = []
        elif part not in (b"", b"."):
            parts.append(part)
    if method in (b"GET", b"HEAD"):
        return parts[:1] == [b"public"]
    return method == b"POST" and parts == [b"public", b"submit"]

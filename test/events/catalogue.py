"""docs/events.md as data, and what the sources tell, to compare it with.

A row of the document is a line as it stands in the log, in which <name> stands for what differs from
time to time.
"""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(ROOT, "docs", "events.md")
TAGS = {
    "INFORMATIONAL": "INFO",
    "LOW": "LOW",
    "MEDIUM": "MED",
    "HIGH": "HIGH",
    "CRITICAL": "CRIT",
    "FATAL": "FATAL",
}
HOLE = re.compile(r"<[^<>]+>")
WHO = "<program>(<pid>) -> "  # is left out when nobody knows


class Row:
    def __init__(self, number, line, when):
        self.number, self.line = number, line
        test = re.search(r"\(unit test `(\w+)`\)", when)
        self.test = test and test[1]  # what shows it, where no running supervisor can
        who = r"(?:.+\(\d+\) -> )?"
        parts = [re.escape(part) for part in HOLE.split(line.replace(WHO, "\0"))]
        self.regex = re.compile(".+".join(parts).replace("\0", who))

    def matches(self, line):
        return self.regex.fullmatch(line) is not None

    def __str__(self):
        return f"docs/events.md:{self.number}: {self.line}"


def rows():
    found = []
    with open(DOCUMENT, encoding="utf-8") as f:
        for number, text in enumerate(f, 1):
            row = re.match(r"\| `([A-Z]+[: ].*?)` \|(.*)", text)
            if row:
                found.append(Row(number, row[1], row[2]))
    return found


# -- the sources -----------------------------------------------------------------------------------


def arguments(text, at):
    """The arguments of the call whose opening parenthesis is at text[at]: literals are joined, and a
    macro between them is a hole."""
    tokens = re.compile(r'"(?:\\.|[^"\\])*"|[()\[\]{},]|[^\s"()\[\]{},]+')
    found, depth, current = [], 0, []
    while True:
        token = tokens.search(text, at)
        at = token.end()
        if token[0] in "([{":
            depth += 1
            if depth == 1:
                continue
        elif token[0] in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and token[0] == ","):
            found.append(current)
            current = []
            if depth == 0:
                return found
        else:
            current.append(token[0])


def literal(words):
    """The text of a literal; None when it is none."""
    if not any(word.startswith('"') for word in words):
        return None
    parts = [w[1:-1].replace('\\"', '"') if w.startswith('"') else "<macro>" for w in words]
    return "".join(parts)


def shape(line):
    """A line with every hole, and every run of them, alike."""
    return re.sub(r"(<>)+", "<>", HOLE.sub("<>", line))


def config_line(words):
    label, severity = literal(words[1]), "".join(words[2])
    text = literal(words[3])
    if label is None or severity.removeprefix("OCSF_") not in TAGS or text is None:
        return None
    text = re.sub(r"%(?:[-0-9.]*)(?:ll|l|z)?[a-z]", "<value>", text)
    return f"CONFIG:{label.upper()} [{TAGS[severity.removeprefix('OCSF_')]}] {text}"


def finding_line(words):
    uid, title = literal(words[1]), literal(words[2])
    severity = "".join(words[3]).removeprefix("OCSF_")
    if uid is None or title is None or severity not in TAGS:
        return None
    return f'FINDING:CREATE [{TAGS[severity]}] "{title}" [type:{uid} confidence:high]'


CALLS = {
    "tell_config": config_line,
    "tell_finding": finding_line,
    "boot_tell": config_line,
    "boot_tell_finding": finding_line,
}
# src/ocsf itself, and the declarations of these functions with their inside
NOT_TOLD = "src/ocsf/", "src/supervisor/tell.", "src/supervisor/gateway_boot."


def sources(top="src"):
    for folder, _, names in sorted(os.walk(os.path.join(ROOT, top))):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            if name.endswith(".c"):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    yield path, f.read()


def told():
    """(place, line) of every event that is told by a function of supervisor/tell.h or boot_impl.h; a line of None is
    a call that cannot be read."""
    for path, text in sources():
        if path.startswith(NOT_TOLD):
            continue
        for call in re.finditer(r"\b(" + "|".join(CALLS) + r")(?=\()", text):
            line = text.count("\n", 0, call.start()) + 1
            yield f"{path}:{line}", CALLS[call[1]](arguments(text, call.end()))


def literals():
    """(place, class, activity) of every event that is a literal; an activity of None is left out."""
    for path, text in sources():
        if path.startswith("src/ocsf/"):
            continue
        for found in re.finditer(r"\.class = OCSF_([A-Z]+),(?:\s*\.activity = OCSF_(\w+))?", text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path}:{line}", found[1], found[2]


def differences():
    """What the document and the sources do not agree about."""
    documented = rows()
    shapes, said = {shape(row.line): row for row in documented}, set()
    for place, line in told():
        if line is None:
            yield f"{place}: this cannot be read: label, severity and sentence must be literals"
        elif shape(line) not in shapes:
            yield f"{place}: not in docs/events.md: {line}"
        else:
            said.add(shape(line))
    for place, name, activity in literals():
        begin = "EVENT" if name == "BASE" else name + ":"
        if activity and name in ("NET", "SSH", "PROC"):
            begin += activity.removeprefix("NET_").removeprefix("PROC_")
        if not any(row.line.startswith(begin) for row in documented):
            yield f"{place}: docs/events.md has no {begin}"
    tests = {name for _, text in sources("test/unit") for name in re.findall(r"\bTEST\w*\((\w+)", text)}
    for row in documented:
        if row.test and row.test not in tests:
            yield f"{row}: there is no test {row.test}"
    for text, row in shapes.items():
        if text.startswith(("CONFIG:", "FINDING:CREATE")) and text not in said and not by_function(row):
            yield f"{row}: nothing in src tells this"


def by_function(row):
    """Those that a function of supervisor/tell.h has whole."""
    return row.line.startswith(
        (
            "CONFIG:DEGRADED [MED] Network isolation unavailable; running in host",
            'FINDING:CREATE [HIGH] "Invalid policy generation rejected"',
        )
    )

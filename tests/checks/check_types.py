"""Everything that C gives to scripts under a name has an entry in scripts/types/*.lua."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = re.compile(r"luaL_Reg\s+(\w+)\s*\[\s*\]\s*=\s*\{(.*?)\};", re.S)
ENTRY = re.compile(r'\{\s*"(\w+)"\s*,')
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
# Lua's own, which editors know already.
STANDARD = set(
    """assert collectgarbage error getmetatable ipairs next pairs pcall print rawequal rawget rawlen rawset require select setmetatable tonumber
    tostring type warn xpcall load close create isyieldable resume running status wrap yield time date clock byte char dump find
    format gmatch gsub len lower match pack packsize rep reverse sub unpack upper concat insert move remove sort""".split()
)
# Libraries of Lua that environment.c opens under their own names.
LIBRARIES = {"_G", "coroutine", "math", "os", "string", "table", "utf8"}
# What the Lua part of the worker's test DSL calls; no script gets hold of it.
INTERNAL = {("test_call.c", "host_functions")}


def registered():
    for path in sorted((ROOT / "src/worker").glob("*.c")):
        for table, body in TABLE.findall(COMMENT.sub("", path.read_text())):
            for name in ENTRY.findall(body):
                if (path.name, table) not in INTERNAL:
                    yield path.name, table, name


def documented():
    names = set()
    for path in (ROOT / "scripts/types").glob("*.lua"):
        text = path.read_text()
        names |= {name for name in re.findall(r"^function (?:[\w]+[.:])?(\w+)\(", text, re.M)}
        names |= {name for name in re.findall(r"^---@field (?:public )?(\w+)\??\s", text, re.M)}
        names |= {name for name in re.findall(r"^(\w+) = ", text, re.M)}
    return names


def main():
    known = documented()
    found = list(registered())
    assert known, "scripts/types/*.lua document nothing"
    mistakes = [
        f"src/worker/{file}: {name} ({table}) has no entry in scripts/types/*.lua"
        for file, table, name in found
        if not name.startswith("__") and name not in known | STANDARD | LIBRARIES
    ]
    print("\n".join(mistakes) if mistakes else f"types: ok, {len(found)} names of C")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())

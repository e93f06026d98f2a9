"""The layout's rules: which folder of src/ may include which, and which library is whose.

A folder may include itself and what CMakeLists.txt links it with, directly or not."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWNERS = {
    "lua.h": ("worker",),
    "lauxlib.h": ("worker",),
    "lualib.h": ("worker",),
    "curl/": ("net",),
    "microhttpd.h": ("net",),
    "nghttp2/": ("net",),
    "gnutls/": ("net",),
    "sqlite3.h": ("store",),
    "msgpack": ("protocol", "detectors", "worker"),
    "seccomp.h": ("worker",),
    "openssl/": ("base",),
    "zlib.h": ("otlp",),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
LIBRARY = re.compile(r"sw_library\((\w+) FOLDERS ([^)]*?) LINK ([^)]*)\)")


def allowed_folders(cmake):
    """{folder of src/: the folders that it may include}"""
    folders, links = {}, {}
    for name, own, linked in LIBRARY.findall(cmake):
        folders[name] = {folder.split("/")[0] for folder in own.split()}
        links[name] = [library for library in linked.split() if library.startswith("sw_")]

    def reach(name):
        found = set(folders[name])
        for library in links[name]:
            found |= reach(library)
        return found

    allowed = {}
    for name in folders:
        for folder in folders[name]:
            allowed.setdefault(folder, set()).update(reach(name))
    return allowed


def mistakes_of(path, folder, allowed):
    folders = {entry.name for entry in (ROOT / "src").iterdir() if entry.is_dir()}
    for quote, header in INCLUDE.findall(path.read_text()):
        for start, owners in OWNERS.items():
            if header.startswith(start) and folder not in owners:
                yield f"includes {header}, which belongs to src/{' and src/'.join(owners)}"
        target = header.split("/")[0]
        if quote == '"' and target in folders and target not in allowed:
            yield f"includes {header}, but CMakeLists.txt has no library for src/{target}"
        elif quote == '"' and target in folders and folder is not None and target not in allowed[folder]:
            yield f"includes {header}, but CMakeLists.txt does not link src/{folder} with src/{target}"
        elif quote == '"' and header.endswith(".h") and "/" not in header:
            yield f"includes {header} without its folder"


def main():
    allowed = allowed_folders((ROOT / "CMakeLists.txt").read_text())
    assert {"base", "net", "agent", "worker"} <= set(allowed), "CMakeLists.txt does not look as this check expects"
    mistakes = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        parts = path.relative_to(ROOT / "src").parts
        folder = parts[0] if len(parts) > 1 else "cli"
        if folder not in allowed:
            mistakes.append(f"{path.relative_to(ROOT)}: src/{folder} has no library in CMakeLists.txt")
            continue
        mistakes += [f"{path.relative_to(ROOT)}: {text}" for text in mistakes_of(path, folder, allowed)]
    if "worker" in allowed["agent"] or not allowed["worker"] <= {"worker", "protocol", "base"}:
        mistakes.append("CMakeLists.txt: the worker shares more than src/protocol and src/base with the host")
    print("\n".join(mistakes) if mistakes else "includes: ok")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())

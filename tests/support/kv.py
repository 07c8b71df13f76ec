"""What a program in Python sees of a key-value store: kv.py HOST:PORT HOST:PORT ...

Every check is an assert, and the first that fails ends the program with what was seen.
"""

import sys
from xmlrpc.client import Binary, Fault, ServerProxy

nodes = [ServerProxy(f"http://{address}/RPC2", allow_none=True) for address in sys.argv[1:]]
first, last = nodes[0], nodes[-1]
serial = 0


def write(node, method, *operands):
    global serial
    serial += 1
    return getattr(node.kv, method)("python", serial, *operands)


def fault(code, call, *params):
    try:
        answer = call(*params)
    except Fault as fault:
        assert fault.faultCode == code, fault
        assert "\n" not in fault.faultString and fault.faultString, fault
        return fault.faultString
    raise AssertionError(f"{params!r}: {answer!r}")


WRONG, NO_METHOD = -32602, -32601

# Every type comes back as it was put, from any node.
bytes_ = Binary(bytes(range(256)))
values = ["red", "", "7", "zwei\nü\t\"\\<&>", 7, -1, 2**31 - 1, bytes_]
for number, value in enumerate(values):
    assert write(first, "put", f"type/{number}", value) is True
for number, value in enumerate(values):
    for node in nodes:
        found = node.kv.get(f"type/{number}")
        assert found == value and type(found) is type(value), (found, value)
assert first.kv.get("nothing") is None
assert last.kv.get("nothing", {"stale": True}) is None

# Lists are in the order of the keys.
assert last.kv.list("type/") == [f"type/{n}" for n in range(len(values))]
assert last.kv.list("type/", {"after": "type/5"}) == ["type/6", "type/7"]
assert last.kv.list("no") == []

# What comes of a write.
assert write(first, "delete", "type/0") is True
assert write(first, "delete", "type/0") is False
assert last.kv.get("type/0") is None
assert write(last, "cas", "lock", None, "ann") is True
assert write(first, "cas", "lock", None, "ben") is False
assert write(first, "cas", "lock", "ben", "cid") is False
assert write(first, "cas", "lock", "ann", "ben") is True
assert last.kv.get("lock") == "ben"
assert [write(node, "incr", "n") for node in nodes] == [n + 1 for n in range(len(nodes))]
assert write(first, "append", "log", "ab") == 2
assert write(first, "append", "log", "cd") == 4
assert last.kv.get("log") == "abcd"
assert write(first, "put", "large", 2**40 // 2**20) is True

# Sent again, also to another node: written once, and the first answer comes again.
again = serial + 1
assert first.kv.incr("python", again, "n") == len(nodes) + 1
assert last.kv.incr("python", again, "n") == len(nodes) + 1
assert last.kv.get("n") == len(nodes) + 1
serial = again

# Limits, and beyond. A value of the largest size of each kind.
key = "k" * 1024
assert write(first, "put", key, "x" * 256 * 1024) is True
assert last.kv.get(key) == "x" * 256 * 1024
assert write(first, "cas", key, "x" * 256 * 1024, "é" * 128 * 1024) is True
assert last.kv.get(key) == "é" * 128 * 1024
assert write(first, "put", key, "\"\n" * 128 * 1024) is True
assert write(first, "put", key, Binary(b"\0" * 256 * 1024)) is True
assert last.kv.get(key) == Binary(b"\0" * 256 * 1024)
before = last.cluster.status()["commit_index"]
assert "1024" in fault(WRONG, first.kv.put, "python", 10_000, key + "k", 1)
assert "262144" in fault(WRONG, first.kv.put, "python", 10_000, "k", "x" * 256 * 1024 + "x")
assert "262144" in fault(WRONG, first.kv.put, "python", 10_000, "k", Binary(b"x" * 256 * 1024 + b"x"))
fault(WRONG, first.kv.put, "python", 10_000, "", 1)
fault(WRONG, first.kv.put, "python", 10_000, "k", 1.5)
fault(WRONG, first.kv.put, "python", 10_000, "k", True)
fault(WRONG, first.kv.put, "python", 10_000, "k", None)
fault(WRONG, first.kv.put, "python", 10_000, "k", [1])
fault(WRONG, first.kv.put, "python", 10_000, 7, 1)
fault(WRONG, first.kv.put, "", 10_000, "k", 1)
fault(WRONG, first.kv.put, "python", -1, "k", 1)
fault(WRONG, first.kv.put, "python", 10_000, "k")
fault(WRONG, first.kv.append, "python", 10_000, "k", 1)
fault(WRONG, first.kv.get, "k", {"stale": 1})
fault(WRONG, first.kv.get)
assert last.cluster.status()["commit_index"] == before, "nothing of this is in the log"

# What only shows when it is applied is refused as well, and changes nothing.
assert "number" in fault(WRONG, first.kv.incr, "python", serial + 1, "lock")
assert "number" in fault(WRONG, last.kv.incr, "python", serial + 1, "lock"), "the same again"
fault(WRONG, first.kv.append, "python", serial + 2, "n", "x")
assert last.kv.get("lock") == "ben"
serial += 2

# The other machine's methods.
assert "kv" in fault(NO_METHOD, first.game.state)
assert "kv" in fault(NO_METHOD, first.game.attack, 1)
assert first.cluster.members()["machine"] == "kv"
print("ok")

"""Python's own XML-RPC client against a running cluster.

contract.py whole ADDRESS...                   every method and every fault of docs/XMLRPC.md
contract.py submit ADDRESS CLIENT SERIAL TEXT  one command; prints the answer or the fault, and the
                                               seconds that it took, as JSON
"""

import http.client
import json
import sys
import time
import xmlrpc.client
from xmlrpc.client import Fault, ServerProxy


def proxy(address):
    return ServerProxy(f"http://{address}", allow_none=True)


def fault_of(call, *params):
    """The fault that a call must end in."""
    try:
        answer = call(*params)
    except Fault as fault:
        assert fault.faultString, "a fault says what is wrong"
        return fault
    raise SystemExit(f"{params} should be a fault, and is {answer}")


def post(address, body, path="/RPC2", content_type="text/xml"):
    """A document that Python's client would never send; what came back."""
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("POST", path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    assert response.status == 200, response.status
    assert response.getheader("Content-Type").startswith("text/xml")
    return response.read()


def posted_fault(address, body):
    return fault_of(lambda: xmlrpc.client.loads(post(address, body)))


def introspection(node):
    methods = node.system.listMethods()
    for name in (
        "append_entries_rpc", "request_vote_rpc", "submit_rpc", "game.attack", "game.state",
        "cluster.status", "system.listMethods", "system.methodHelp", "system.methodSignature",
    ):
        assert name in methods, (name, methods)
    for name in methods:
        assert len(node.system.methodHelp(name)) > 20, name
        for signature in node.system.methodSignature(name):
            assert signature and all(isinstance(kind, str) for kind in signature), name
    assert node.system.methodSignature("submit_rpc") == [["struct", "string", "int", "string"]]
    assert "ot exactly once" in node.system.methodHelp("game.attack")
    assert fault_of(node.system.methodHelp, "game.win").faultCode == -32602


def what_is_known(nodes):
    for id, node in enumerate(nodes, 1):
        state = node.game.state()
        assert set(state) == {"players", "index", "digest"}, state
        assert [player["id"] for player in state["players"]] == list(range(1, len(nodes) + 1))
        for player in state["players"]:
            assert set(player) == {"id", "name", "hp", "alive"}, player
            assert type(player["hp"]) is int and type(player["alive"]) is bool
            assert player["alive"] == (player["hp"] > 0)
        assert len(state["digest"]) == 16 and int(state["digest"], 16) >= 0

        status = node.cluster.status()
        assert set(status) == {
            "id", "name", "role", "term", "leader", "commit_index", "last_applied", "last_index",
            "digest", "peers",
        }, status
        assert status["id"] == id and status["name"] == f"bob{id}"
        assert status["role"] in ("leader", "follower", "candidate")
        assert len(status["peers"]) == len(nodes) - 1
        for peer in status["peers"]:
            assert set(peer) == {
                "id", "name", "address", "match_index", "next_index", "rtt_ms",
            }, peer
            for key in ("match_index", "next_index"):
                assert (peer[key] is not None) == (status["role"] == "leader"), status


def exactly_once(nodes):
    first = nodes[0].submit_rpc("python", 1, "attack 1")
    assert set(first) == {"index", "term", "outcome"}, first
    assert first["outcome"] == "hp 70", first
    for node in nodes:
        assert node.submit_rpc("python", 1, "attack 1") == first
    # Another client's serial 1 is another command.
    assert nodes[-1].submit_rpc("snake", 1, "attack 1")["outcome"] == "hp 40"
    # Serials may come in any order within the window, and are refused below it.
    last = nodes[1].submit_rpc("python", 3000, "attack 1")
    assert last["outcome"] == "hp 10", last
    assert nodes[2].submit_rpc("python", 2500, "attack 1")["outcome"] == "hp 0"
    for node in nodes:
        fault = fault_of(node.submit_rpc, "python", 1000, "attack 2")
        assert fault.faultCode == -32500 and "serial" in fault.faultString, fault
        fault = fault_of(node.submit_rpc, "python", 1, "attack 1")
        assert fault.faultCode == -32500, "it has fallen out of the window"
    assert nodes[0].submit_rpc("python", 3000, "attack 1") == last
    assert nodes[1].game.attack(1)["outcome"] == "already dead"
    assert [nodes[2].game.attack(2)["outcome"] for _ in range(2)] == ["hp 70", "hp 40"]


def wide_numbers(address):
    body = xmlrpc.client.dumps(("wide", 7, "attack 3"), "submit_rpc")
    body = body.replace("<int>7</int>", f"<i8>{2**62}</i8>")
    (answer,), _ = xmlrpc.client.loads(post(address, body, path="/"))
    assert answer["outcome"] == "hp 70", answer


def wrong_calls(address, node, players):
    """Everything that is the caller's mistake, and appends nothing."""
    stranger = players + 1
    for call, params in (
        (node.submit_rpc, ("wrong", 1, f"attack {stranger}")),
        (node.submit_rpc, ("wrong", 1, "attack 0")),
        (node.submit_rpc, ("wrong", 1, "attack")),
        (node.submit_rpc, ("wrong", 1, "attack +1")),
        (node.submit_rpc, ("wrong", 1, "attack 1 2")),
        (node.submit_rpc, ("wrong", 1, "dance")),
        (node.submit_rpc, ("wrong", 1, "")),
        (node.submit_rpc, ("wrong", 1, 1)),
        (node.submit_rpc, ("wrong", 1, None)),
        (node.submit_rpc, ("wrong", "1", "attack 1")),
        (node.submit_rpc, ("wrong", 1.0, "attack 1")),
        (node.submit_rpc, ("wrong", -1, "attack 1")),
        (node.submit_rpc, (1, 1, "attack 1")),
        (node.submit_rpc, ("", 1, "attack 1")),
        (node.submit_rpc, ("w" * 65, 1, "attack 1")),
        (node.submit_rpc, ("a\nb", 1, "attack 1")),
        (node.submit_rpc, ("wrong", 1)),
        (node.submit_rpc, ("wrong", 1, "attack 1", "now")),
        (node.submit_rpc, ()),
        (node.game.attack, (stranger,)),
        (node.game.attack, (-1,)),
        (node.game.attack, ("1",)),
        (node.game.attack, ()),
        (node.game.state, (1,)),
        (node.cluster.status, (None,)),
        (node.append_entries_rpc, ({},)),
        (node.append_entries_rpc, ("attack 1",)),
        (node.request_vote_rpc, ({"term": "high"},)),
        (node.request_vote_rpc, ()),
        (node.system.methodHelp, (1,)),
    ):
        assert fault_of(call, *params).faultCode == -32602, params
    assert fault_of(node.game.win).faultCode == -32601
    assert fault_of(node.submit).faultCode == -32601
    for body in ("", "attack 1", "<methodCall>", "<a></b>", "\x01", "<!DOCTYPE a><a/>"):
        assert posted_fault(address, body).faultCode == -32700, body
    for body in ("<attack>1</attack>", "<methodCall/>", "<methodResponse/>"):
        assert posted_fault(address, body).faultCode == -32600, body


def strangers(node, id, peer):
    """Who is not a member changes nothing; and a member of an old term is answered."""
    for stranger in (0, 77, id):
        append = {
            "term": 1000, "leader_id": stranger, "prev_log_index": 0, "prev_log_term": 0,
            "entries": [], "leader_commit": 0,
        }
        vote = {
            "term": 1000, "candidate_id": stranger, "last_log_index": 1000, "last_log_term": 999,
        }
        assert fault_of(node.append_entries_rpc, append).faultCode == -32500
        assert fault_of(node.request_vote_rpc, vote).faultCode == -32500
    append.update(term=0, leader_id=peer)
    reply = node.append_entries_rpc(append)
    assert reply["success"] is False and 0 < reply["term"] < 1000, reply
    vote.update(term=0, candidate_id=peer)
    reply = node.request_vote_rpc(vote)
    assert reply["vote_granted"] is False and 0 < reply["term"] < 1000, reply


def unchanged(nodes, calls):
    """Makes calls that must leave every log and term as they were. An election in between, which
    a busy machine may bring about, is no fault of theirs: then the calls are made again."""
    for _ in range(5):
        before = [(s["term"], s["last_index"]) for s in (n.cluster.status() for n in nodes)]
        calls()
        after = [(s["term"], s["last_index"]) for s in (n.cluster.status() for n in nodes)]
        if before == after:
            return
        assert any(a[0] == b[0] + 1 for a, b in zip(after, before)), (before, after)
    raise SystemExit("the nodes do nothing but elect")


def whole(addresses):
    nodes = [proxy(address) for address in addresses]
    introspection(nodes[0])
    what_is_known(nodes)
    exactly_once(nodes)
    wide_numbers(addresses[0])
    # All followers have heard of the last command before nothing may change any more.
    applied = max(node.cluster.status()["last_index"] for node in nodes)
    deadline = time.monotonic() + 30
    while any(node.cluster.status()["commit_index"] < applied for node in nodes):
        assert time.monotonic() < deadline, "the followers do not catch up"
        time.sleep(0.01)
    for id, (address, node) in enumerate(zip(addresses, nodes), 1):
        unchanged(nodes, lambda: wrong_calls(address, node, len(nodes)))
        unchanged(nodes, lambda: strangers(node, id, id % len(nodes) + 1))


def submit(address, client, serial, text):
    before = time.monotonic()
    try:
        result = {"answer": proxy(address).submit_rpc(client, int(serial), text)}
    except Fault as fault:
        result = {"fault": fault.faultCode, "message": fault.faultString}
    result["seconds"] = time.monotonic() - before
    print(json.dumps(result))


if __name__ == "__main__":
    mode, *arguments = sys.argv[1:]
    if mode == "whole":
        whole(arguments)
    else:
        submit(*arguments)

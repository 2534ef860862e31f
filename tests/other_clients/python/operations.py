"""Nodes, transactions, permissions, watches: what kazoo's client does, and what it follows."""

import queue
import socket
import threading
import time

from kazoo.client import KazooState
from kazoo.exceptions import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.states import EventType
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.security import make_digest_acl

from common import MOMENT, PATIENCE, client, eventually, fails


def nodes():
    one = client()
    assert one.create("/nodes", b"data") == "/nodes"
    data, stat = one.get("/nodes")
    assert (data, stat.version, stat.dataLength, stat.ephemeralOwner) == (b"data", 0, 4, 0)
    assert stat.czxid == stat.mzxid == stat.pzxid > 0
    path, created = one.create("/nodes/e", b"", ephemeral=True, include_data=True)
    assert (path, created.ephemeralOwner) == ("/nodes/e", one.client_id[0])
    assert one.create("/nodes/s-", sequence=True) == "/nodes/s-0000000001"
    assert one.create("/nodes/deep/er/still", makepath=True) == "/nodes/deep/er/still"
    assert sorted(one.get_children("/nodes")) == ["deep", "e", "s-0000000001"]
    children, stat = one.get_children("/nodes", include_data=True)
    assert (len(children), stat.children_count, stat.cversion) == (3, 3, 3)
    assert stat.pzxid > stat.czxid
    assert one.set("/nodes", b"other", version=0).version == 1
    assert one.exists("/nodes").mzxid > created.czxid
    assert one.exists("/nodes/none") is None
    assert one.sync("/nodes") == "/nodes"
    fails(BadVersionError, one.set, "/nodes", b"", version=0)
    fails(BadVersionError, one.delete, "/nodes/e", version=5)
    fails(NodeExistsError, one.create, "/nodes")
    fails(NoNodeError, one.get, "/nodes/none")
    fails(NoNodeError, one.create, "/none/child")
    fails(NotEmptyError, one.delete, "/nodes")
    one.delete("/nodes", recursive=True)
    assert one.exists("/nodes") is None


def chroot():
    client().create("/chroot/inner", b"1", makepath=True)
    inside = client(chroot="/chroot")
    assert inside.get("/inner")[0] == b"1"
    events = queue.Queue()
    inside.get("/inner", watch=events.put)
    inside.set("/inner", b"2")
    assert events.get(timeout=PATIENCE).path == "/inner"


def transaction():
    one = client()
    one.create("/tx", b"old")
    good = one.transaction()
    good.check("/tx", version=0)
    good.create("/tx/a", b"1")
    good.create("/tx/s-", sequence=True)
    good.set_data("/tx", b"new", version=0)
    good.delete("/tx/a")
    checked, a, s, stat, deleted = good.commit()
    assert (checked, a, s, stat.version, deleted) == (True, "/tx/a", "/tx/s-0000000001", 1, True)
    bad = one.transaction()
    bad.create("/tx/b")
    bad.delete("/tx/none")
    bad.create("/tx/c")
    errors = [type(it) for it in bad.commit()]
    assert errors == [RolledBackError, NoNodeError, RuntimeInconsistency], errors
    assert one.get_children("/tx") == ["s-0000000001"]


def auth():
    owner, stranger = client(), client()
    acl = make_digest_acl("user", "secret", all=True)
    owner.add_auth("digest", "user:secret")
    owner.create("/auth", b"private", acl=[acl])
    assert owner.get("/auth")[0] == b"private"
    assert owner.get_acls("/auth")[0] == [acl]
    fails(NoAuthError, stranger.get, "/auth")
    fails(NoAuthError, stranger.create, "/auth/child")
    fails(NoAuthError, stranger.set_acls, "/auth", [acl])
    stranger.add_auth("digest", "user:wrong")
    fails(NoAuthError, stranger.get, "/auth")
    early = client(auth_data=[("digest", "user:secret")])
    assert early.get("/auth")[0] == b"private"
    readable = make_digest_acl("user", "secret", read=True)
    assert owner.set_acls("/auth", [readable]).aversion == 1
    fails(NoAuthError, owner.set, "/auth", b"")


def watches():
    watcher, other = client(), client()
    events = queue.Queue()
    watcher.exists("/watched", watch=events.put)
    other.create("/watched")
    event = events.get(timeout=PATIENCE)
    assert (event.type, event.path) == (EventType.CREATED, "/watched")
    watcher.get("/watched", watch=events.put)
    watcher.get_children("/watched", watch=events.put)
    other.create("/watched/child")
    assert events.get(timeout=PATIENCE).type == EventType.CHILD
    other.set("/watched", b"1")
    assert events.get(timeout=PATIENCE).type == EventType.CHANGED
    # Each has fired once.
    other.set("/watched", b"2")
    other.delete("/watched/child")
    time.sleep(MOMENT)
    assert events.empty()

    data, children = queue.Queue(), queue.Queue()

    @watcher.DataWatch("/followed")
    def on_data(value, stat):
        data.put((value, stat and stat.version))

    assert data.get(timeout=PATIENCE) == (None, None)
    other.create("/followed", b"a")
    assert data.get(timeout=PATIENCE) == (b"a", 0)

    @watcher.ChildrenWatch("/followed")
    def on_children(names):
        children.put(sorted(names))

    assert children.get(timeout=PATIENCE) == []
    other.create("/followed/x")
    assert children.get(timeout=PATIENCE) == ["x"]
    other.create("/followed/y", ephemeral=True)
    assert children.get(timeout=PATIENCE) == ["x", "y"]
    other.set("/followed", b"b")
    assert data.get(timeout=PATIENCE) == (b"b", 1)
    # The end of a session takes its ephemeral nodes along.
    other.stop()
    assert children.get(timeout=PATIENCE) == ["x"]
    watcher.delete("/followed", recursive=True)
    assert data.get(timeout=PATIENCE) == (None, None)


def tree_cache():
    watcher, other = client(), client()
    other.create("/tree/a", b"1", makepath=True)
    events = queue.Queue()
    cache = TreeCache(watcher, "/tree")
    cache.listen(lambda event: events.put((event.event_type, event.event_data and event.event_data.path)))
    cache.start()

    def until(kind, path):
        while events.get(timeout=PATIENCE) != (kind, path):
            pass

    until(TreeEvent.INITIALIZED, None)
    other.create("/tree/a/b", b"2")
    until(TreeEvent.NODE_ADDED, "/tree/a/b")
    assert cache.get_data("/tree/a/b").data == b"2"
    other.set("/tree/a", b"3")
    until(TreeEvent.NODE_UPDATED, "/tree/a")
    other.delete("/tree/a", recursive=True)
    until(TreeEvent.NODE_REMOVED, "/tree/a")
    assert cache.get_children("/tree") == frozenset()
    cache.close()


def reconnection():
    one = client()
    session, lost = one.client_id[0], threading.Event()
    one.add_listener(lambda state: state == KazooState.SUSPENDED and lost.set())
    values = queue.Queue()
    one.create("/reconnected", b"0", ephemeral=True)
    one.DataWatch("/reconnected", func=lambda value, stat: values.put(value))
    assert values.get(timeout=PATIENCE) == b"0"
    one._connection._socket.shutdown(socket.SHUT_RDWR)
    assert lost.wait(PATIENCE)
    eventually("a connection", lambda: one.connected)
    assert one.client_id[0] == session
    client().set("/reconnected", b"1")
    assert values.get(timeout=PATIENCE) == b"1"
    assert one.exists("/reconnected").ephemeralOwner == session


ALL = [nodes, chroot, transaction, auth, watches, tree_cache, reconnection]

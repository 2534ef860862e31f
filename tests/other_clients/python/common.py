"""What the checks share."""

import sys
import threading
import time

from kazoo.client import KazooClient

# No single step takes longer.
PATIENCE = 15
# What is not to happen is waited for this long.
MOMENT = 0.3

HOSTS = sys.argv[1]
clients = []


def client(timeout=10.0, chroot="", **options):
    """A connected client, closed when the check is done."""
    it = KazooClient(hosts=HOSTS + chroot, timeout=timeout, **options)
    it.start(timeout=PATIENCE)
    clients.append(it)
    return it


def eventually(what, check):
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, "not within %s s: %s" % (PATIENCE, what)
        time.sleep(0.01)


def fails(error, call, *args, **options):
    """The call raises this error."""
    try:
        answer = call(*args, **options)
    except error:
        return
    raise AssertionError("%s was expected, not the answer %r" % (error.__name__, answer))


def in_thread(work):
    """Runs it in a thread that does not keep the program from ending."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def joined(thread):
    thread.join(PATIENCE)
    assert not thread.is_alive(), "a thread has not ended within %s s" % PATIENCE


def close_all():
    while clients:
        clients.pop().stop()

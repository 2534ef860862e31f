"""kazoo's recipes: locks, queues, elections and the like."""

import queue
import subprocess
import sys
import threading
import time

from kazoo.exceptions import ConnectionClosedError, LockTimeout

from common import HOSTS, MOMENT, PATIENCE, client, eventually, fails, in_thread, joined

# The session timeout of a leader that is killed.
KILLED_TIMEOUT = 2.0


def lock():
    one, two = client(), client()
    held, wanted = one.Lock("/lock", "one"), two.Lock("/lock", "two")
    assert held.acquire(timeout=PATIENCE)
    assert not wanted.acquire(blocking=False)
    fails(LockTimeout, wanted.acquire, timeout=MOMENT)
    acquired = threading.Event()
    waiting = in_thread(lambda: wanted.acquire(timeout=PATIENCE) and acquired.set())
    eventually("both queue", lambda: held.contenders() == ["one", "two"])
    assert not acquired.is_set()
    held.release()
    joined(waiting)
    assert acquired.is_set() and wanted.contenders() == ["two"]
    # Who goes loses the lock.
    two.stop()
    assert held.acquire(timeout=PATIENCE)
    held.release()


def read_write_lock():
    one, two = client(), client()
    reading, too, writing = one.ReadLock("/rw"), two.ReadLock("/rw"), two.WriteLock("/rw")
    assert reading.acquire(timeout=PATIENCE) and too.acquire(timeout=PATIENCE)
    fails(LockTimeout, writing.acquire, timeout=MOMENT)
    reading.release()
    too.release()
    assert writing.acquire(timeout=PATIENCE)
    fails(LockTimeout, reading.acquire, timeout=MOMENT)
    writing.release()


def semaphore():
    one, two, three = (client() for _ in range(3))
    leases = [it.Semaphore("/semaphore", max_leases=2) for it in (one, two, three)]
    assert leases[0].acquire(timeout=PATIENCE) and leases[1].acquire(timeout=PATIENCE)
    assert not leases[2].acquire(blocking=False)
    leases[0].release()
    assert leases[2].acquire(timeout=PATIENCE)
    assert len(leases[1].lease_holders()) == 2


def counter():
    counters = [client().Counter("/counter") for _ in range(2)]

    def count(it):
        for _ in range(10):
            it += 1

    threads = [in_thread(lambda it=it: count(it)) for it in counters]
    for thread in threads:
        joined(thread)
    assert counters[0].value == counters[1].value == 20


def queues():
    one, two = client(), client()
    plain = one.Queue("/queue")
    for item in (b"1", b"2"):
        plain.put(item)
    plain.put(b"first", priority=1)
    assert [two.Queue("/queue").get() for _ in range(4)] == [b"first", b"1", b"2", None]
    locking = one.LockingQueue("/locking")
    locking.put_all([b"1", b"2"])
    other = two.LockingQueue("/locking")
    assert locking.get(timeout=PATIENCE) == b"1" and other.get(timeout=PATIENCE) == b"2"
    assert locking.consume() and other.consume()
    assert locking.get(timeout=MOMENT) is None


def barriers():
    one, two = client(), client()
    one.Barrier("/barrier").create()
    assert not two.Barrier("/barrier").wait(timeout=MOMENT)
    passed = in_thread(lambda: two.Barrier("/barrier").wait(timeout=PATIENCE))
    one.Barrier("/barrier").remove()
    joined(passed)
    doubles = [it.DoubleBarrier("/double", 2) for it in (one, two)]
    for step in ("enter", "leave"):
        threads = [in_thread(getattr(it, step)) for it in doubles]
        for thread in threads:
            joined(thread)


def party():
    one, two = client(), client()
    one.Party("/party", "one").join()
    guests = two.ShallowParty("/shallow", "two")
    guests.join()
    assert list(two.Party("/party")) == ["one"] and len(guests) == 1
    one.stop()
    eventually("the party is over", lambda: len(two.Party("/party")) == 0)


def election():
    one, two = client(), client()
    terms = queue.Queue()
    go = {"one": threading.Event(), "two": threading.Event()}

    def lead(name):
        terms.put(name)
        go[name].wait(PATIENCE)

    first, second = one.Election("/election", "one"), two.Election("/election", "two")
    leading = in_thread(lambda: first.run(lead, "one"))
    assert terms.get(timeout=PATIENCE) == "one"
    interrupted = in_thread(lambda: fails(ConnectionClosedError, second.run, lead, "two"))
    eventually("both stand", lambda: first.contenders() == ["one", "two"])
    time.sleep(MOMENT)
    assert terms.empty(), "one leads alone"
    go["one"].set()
    joined(leading)
    assert terms.get(timeout=PATIENCE) == "two"
    # The session of the leader ends while it leads.
    third = client().Election("/election", "three")
    successor = in_thread(lambda: third.run(terms.put, "three"))
    eventually("three stands", lambda: third.contenders() == ["two", "three"])
    two.stop()
    assert terms.get(timeout=PATIENCE) == "three"
    go["two"].set()
    joined(successor)
    joined(interrupted)


def killed_leader():
    child = subprocess.Popen([sys.executable, sys.argv[0], HOSTS, "lead"], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"leading\n"
        successor = client().Election("/killed/election", "successor")
        terms = queue.Queue()
        thread = in_thread(lambda: successor.run(lambda: terms.put(time.monotonic())))
        eventually("both stand", lambda: successor.contenders() == ["victim", "successor"])
        assert terms.empty()
    finally:
        child.kill()
        child.wait()
    killed = time.monotonic()
    waited = terms.get(timeout=PATIENCE) - killed
    # The last sign of life was at most a heartbeat's interval before.
    assert waited > KILLED_TIMEOUT / 2, waited
    joined(thread)


def lead_until_killed():
    victim = client(timeout=KILLED_TIMEOUT).Election("/killed/election", "victim")

    def lead():
        print("leading", flush=True)
        time.sleep(4 * PATIENCE)

    victim.run(lead)


ALL = [lock, read_write_lock, semaphore, counter, queues, barriers, party, election, killed_leader]

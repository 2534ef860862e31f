import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListener;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.ZooKeeper;

/** Curator's recipes: locks and elections. */
final class Recipes {
    private Recipes() {}

    static void mutex() throws Exception {
        InterProcessMutex held = new InterProcessMutex(Common.client(), "/mutex");
        CuratorFramework two = Common.client();
        InterProcessMutex wanted = new InterProcessMutex(two, "/mutex");
        Common.isTrue("acquired", held.acquire(Common.PATIENCE, TimeUnit.SECONDS));
        Common.isTrue("acquired again by its owner", held.acquire(0, TimeUnit.SECONDS));
        Common.isTrue("refused", !wanted.acquire(Common.MOMENT, TimeUnit.MILLISECONDS));
        CountDownLatch handedOver = new CountDownLatch(1);
        Common.inThread(() -> {
            wanted.acquire();
            handedOver.countDown();
            return null;
        });
        Common.eventually("both queue", () -> held.getParticipantNodes().size() == 2);
        held.release();
        Common.same(1L, handedOver.getCount());
        held.release();
        Common.isTrue("handed over", handedOver.await(Common.PATIENCE, TimeUnit.SECONDS));
        Common.isTrue("refused", !held.acquire(Common.MOMENT, TimeUnit.MILLISECONDS));
        // Who goes loses the lock.
        two.close();
        Common.isTrue("acquired", held.acquire(Common.PATIENCE, TimeUnit.SECONDS));
        held.release();
    }

    static void readWriteLock() throws Exception {
        InterProcessReadWriteLock one = new InterProcessReadWriteLock(Common.client(), "/rw");
        InterProcessReadWriteLock two = new InterProcessReadWriteLock(Common.client(), "/rw");
        one.readLock().acquire();
        Common.isTrue("shared", two.readLock().acquire(Common.PATIENCE, TimeUnit.SECONDS));
        two.readLock().release();
        Common.isTrue("refused", !two.writeLock().acquire(Common.MOMENT, TimeUnit.MILLISECONDS));
        one.readLock().release();
        Common.isTrue("acquired", two.writeLock().acquire(Common.PATIENCE, TimeUnit.SECONDS));
        two.writeLock().release();
    }

    static void semaphore() throws Exception {
        InterProcessSemaphoreV2 one = new InterProcessSemaphoreV2(Common.client(), "/semaphore", 2);
        InterProcessSemaphoreV2 two = new InterProcessSemaphoreV2(Common.client(), "/semaphore", 2);
        Lease first = one.acquire(Common.PATIENCE, TimeUnit.SECONDS);
        Lease second = two.acquire(Common.PATIENCE, TimeUnit.SECONDS);
        Common.isTrue("two leases", first != null && second != null);
        Common.same(null, two.acquire(Common.MOMENT, TimeUnit.MILLISECONDS));
        one.returnLease(first);
        Common.isTrue("a third", two.acquire(Common.PATIENCE, TimeUnit.SECONDS) != null);
    }

    static void atomicLong() throws Exception {
        RetryNTimes often = new RetryNTimes(1000, 1);
        BlockingQueue<Boolean> done = new LinkedBlockingQueue<>();
        DistributedAtomicLong[] counters = new DistributedAtomicLong[2];
        for (int i = 0; i < counters.length; i++) {
            DistributedAtomicLong counter = new DistributedAtomicLong(Common.client(), "/long", often);
            counters[i] = counter;
            Common.inThread(() -> {
                for (int n = 0; n < 10; n++) {
                    Common.isTrue("counted", counter.increment().succeeded());
                }
                return done.add(true);
            });
        }
        Common.next(done);
        Common.next(done);
        Common.same(20L, counters[0].get().postValue());
    }

    static void leaderLatch() throws Exception {
        CuratorFramework two = Common.client();
        CuratorFramework three = Common.client();
        LeaderLatch first = new LeaderLatch(Common.client(), "/latch", "first");
        LeaderLatch second = new LeaderLatch(two, "/latch", "second");
        LeaderLatch third = new LeaderLatch(three, "/latch", "third");
        first.start();
        Common.isTrue("leads", first.await(Common.PATIENCE, TimeUnit.SECONDS));
        second.start();
        Common.eventually("two stand", () -> first.getParticipants().size() == 2);
        third.start();
        Common.eventually("three stand", () -> first.getParticipants().size() == 3);
        Common.same("first", third.getLeader().getId());
        Common.isTrue("one leads alone", !second.await(Common.MOMENT, TimeUnit.MILLISECONDS));
        first.close();
        Common.isTrue("the second leads", second.await(Common.PATIENCE, TimeUnit.SECONDS));
        Common.isTrue("the third waits", !third.hasLeadership());
        // The end of its session ends the lead; it lines up again with a new session.
        endSession(two);
        Common.isTrue("the third leads", third.await(Common.PATIENCE, TimeUnit.SECONDS));
        Common.eventually("the second has lost the lead", () -> !second.hasLeadership());
        Common.eventually("the second is back", () -> third.getParticipants().size() == 2);
        three.close();
        Common.isTrue("the second leads", second.await(Common.PATIENCE, TimeUnit.SECONDS));
        second.close();
    }

    /** Ends the client's session by a second connection that takes it over and closes it. */
    private static void endSession(CuratorFramework client) throws Exception {
        ZooKeeper zooKeeper = client.getZookeeperClient().getZooKeeper();
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper second = new ZooKeeper(
                client.getZookeeperClient().getCurrentConnectionString(),
                zooKeeper.getSessionTimeout(),
                event -> connected.countDown(),
                zooKeeper.getSessionId(),
                zooKeeper.getSessionPasswd());
        Common.isTrue("taken over", connected.await(Common.PATIENCE, TimeUnit.SECONDS));
        Common.same(zooKeeper.getSessionId(), second.getSessionId());
        second.close();
    }

    static void leaderSelector() throws Exception {
        BlockingQueue<String> terms = new LinkedBlockingQueue<>();
        CountDownLatch go = new CountDownLatch(1);
        LeaderSelector first = new LeaderSelector(Common.client(), "/selector", leader("first", terms, go));
        LeaderSelector second = new LeaderSelector(
                Common.client(), "/selector", leader("second", terms, new CountDownLatch(1)));
        first.setId("first");
        second.setId("second");
        first.start();
        Common.same("first", Common.next(terms));
        second.start();
        Common.eventually("both stand", () -> first.getParticipants().size() == 2);
        Common.same("first", second.getLeader().getId());
        Thread.sleep(Common.MOMENT);
        Common.isTrue("one leads alone", terms.isEmpty());
        first.autoRequeue();
        go.countDown();
        Common.same("second", Common.next(terms));
        Common.same(List.of(true, false), List.of(second.hasLeadership(), first.hasLeadership()));
        Common.eventually("the first is back", () -> second.getParticipants().size() == 2);
        second.close();
        Common.same("first", Common.next(terms));
        first.close();
    }

    /** Says that it leads, and leads until told to go, or interrupted. */
    private static LeaderSelectorListener leader(
            String name, BlockingQueue<String> terms, CountDownLatch go) {
        return new LeaderSelectorListenerAdapter() {
            @Override
            public void takeLeadership(CuratorFramework client) throws Exception {
                terms.add(name);
                go.await();
            }
        };
    }
}

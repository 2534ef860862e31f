import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.ExponentialBackoffRetry;

/** What the checks share. */
final class Common {
    /** No single step takes longer, in seconds. */
    static final int PATIENCE = 15;

    /** What is not to happen is waited for this long, in milliseconds. */
    static final int MOMENT = 300;

    private static final Deque<CuratorFramework> CLIENTS = new ArrayDeque<>();
    private static String connectString;

    private Common() {}

    static void setConnectString(String it) {
        connectString = it;
    }

    static CuratorFrameworkFactory.Builder builder() {
        return CuratorFrameworkFactory.builder()
                .connectString(connectString)
                .sessionTimeoutMs(5000)
                .connectionTimeoutMs(5000)
                .retryPolicy(new ExponentialBackoffRetry(100, 5));
    }

    /** A connected client, closed when the check is done. */
    static CuratorFramework client() throws Exception {
        return connected(builder());
    }

    static CuratorFramework connected(CuratorFrameworkFactory.Builder builder) throws Exception {
        CuratorFramework client = builder.build();
        client.start();
        CLIENTS.push(client);
        isTrue("connected", client.blockUntilConnected(PATIENCE, TimeUnit.SECONDS));
        return client;
    }

    static void closeAll() {
        while (!CLIENTS.isEmpty()) {
            CLIENTS.pop().close();
        }
    }

    static void isTrue(String what, boolean value) {
        if (!value) {
            throw new AssertionError("not so: " + what);
        }
    }

    static void same(Object expected, Object found) {
        if (!Objects.equals(expected, found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    /** The call throws an exception of this class. */
    static <T extends Exception> T fails(Class<T> expected, Callable<?> call) throws Exception {
        Object answer;
        try {
            answer = call.call();
        } catch (Exception exception) {
            if (expected.isInstance(exception)) {
                return expected.cast(exception);
            }
            throw exception;
        }
        throw new AssertionError("expected " + expected.getSimpleName() + ", not the answer " + answer);
    }

    static void eventually(String what, Callable<Boolean> check) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
        while (!check.call()) {
            isTrue(what + ", within " + PATIENCE + " s", System.nanoTime() < end);
            Thread.sleep(10);
        }
    }

    /** The next element of the queue. */
    static <T> T next(BlockingQueue<T> queue) throws Exception {
        T it = queue.poll(PATIENCE, TimeUnit.SECONDS);
        isTrue("something within " + PATIENCE + " s", it != null);
        return it;
    }

    /** A thread that does not keep the program from ending. */
    static Thread inThread(Callable<?> work) {
        Thread thread = new Thread(() -> {
            try {
                work.call();
            } catch (Exception exception) {
                exception.printStackTrace();
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }
}

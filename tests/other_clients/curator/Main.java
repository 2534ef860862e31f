/**
 * Curator's operations and recipes, against the servers of the connect string that is the only argument.
 *
 * <p>Ends with 0 if they do what they should, and within a minute.
 */
public final class Main {
    private static final long LIMIT_MS = 55_000;

    private interface Check {
        void run() throws Exception;
    }

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Common.setConnectString(arguments[0]);
        Thread main = Thread.currentThread();
        Common.inThread(() -> {
            Thread.sleep(LIMIT_MS);
            System.out.println("It hangs at:");
            for (StackTraceElement element : main.getStackTrace()) {
                System.out.println("    " + element);
            }
            Runtime.getRuntime().halt(2);
            return null;
        });
        try {
            run("nodes", Operations::nodes);
            run("namespace", Operations::namespace);
            run("transaction", Operations::transaction);
            run("auth", Operations::auth);
            run("watches", Operations::watches);
            run("curatorCache", Operations::curatorCache);
            run("treeCache", Operations::treeCache);
            run("persistentNode", Operations::persistentNode);
            run("mutex", Recipes::mutex);
            run("readWriteLock", Recipes::readWriteLock);
            run("semaphore", Recipes::semaphore);
            run("atomicLong", Recipes::atomicLong);
            run("leaderLatch", Recipes::leaderLatch);
            run("leaderSelector", Recipes::leaderSelector);
        } catch (Throwable failure) {
            failure.printStackTrace();
            // Without waiting for Curator's threads.
            Runtime.getRuntime().halt(1);
        }
        System.out.println("all done");
        System.exit(0);
    }

    private static void run(String name, Check check) throws Exception {
        long started = System.nanoTime();
        System.out.println(name + " ...");
        check.run();
        Common.closeAll();
        System.out.printf("%s: %.1f s%n", name, (System.nanoTime() - started) / 1e9);
    }
}

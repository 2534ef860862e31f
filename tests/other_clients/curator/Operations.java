import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.api.CuratorEvent;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.cache.TreeCache;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.data.Stat;

/** Nodes, transactions, permissions, watches: what CuratorFramework does, and what it follows. */
final class Operations {
    private Operations() {}

    static void nodes() throws Exception {
        CuratorFramework one = Common.client();
        one.create().creatingParentContainersIfNeeded().forPath("/nodes/a", new byte[] {1});
        Stat stat = new Stat();
        Common.same(1, one.getData().storingStatIn(stat).forPath("/nodes/a").length);
        Common.same(0, stat.getVersion());
        Stat created = new Stat();
        one.create().storingStatIn(created).withMode(CreateMode.EPHEMERAL).forPath("/nodes/e");
        Common.same(one.getZookeeperClient().getZooKeeper().getSessionId(), created.getEphemeralOwner());
        String first = one.create()
                .withProtection()
                .withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
                .forPath("/nodes/s-");
        Common.isTrue(first, first.matches("/nodes/_c_[0-9a-f-]{36}-s-0000000002"));
        Common.same(3, one.getChildren().storingStatIn(stat).forPath("/nodes").size());
        Common.same(3, stat.getNumChildren());
        Common.same(1, one.setData().withVersion(0).forPath("/nodes/a", new byte[] {2}).getVersion());
        Common.fails(
                KeeperException.BadVersionException.class,
                () -> one.setData().withVersion(0).forPath("/nodes/a"));
        Common.fails(KeeperException.NodeExistsException.class, () -> one.create().forPath("/nodes/a"));
        Common.fails(KeeperException.NotEmptyException.class, () -> one.delete().forPath("/nodes"));
        one.delete().guaranteed().deletingChildrenIfNeeded().forPath("/nodes");
        Common.same(null, one.checkExists().forPath("/nodes"));
        // Answers come in the order of the requests, to those who do not wait for them as well.
        BlockingQueue<CuratorEvent> answers = new LinkedBlockingQueue<>();
        one.create().inBackground((client, event) -> answers.add(event)).forPath("/later");
        one.sync().inBackground((client, event) -> answers.add(event)).forPath("/later");
        one.delete().inBackground((client, event) -> answers.add(event)).forPath("/later");
        one.getData().inBackground((client, event) -> answers.add(event)).forPath("/later");
        for (Code code : List.of(Code.OK, Code.OK, Code.OK, Code.NONODE)) {
            Common.same(code.intValue(), Common.next(answers).getResultCode());
        }
    }

    static void namespace() throws Exception {
        CuratorFramework inside = Common.connected(Common.builder().namespace("inside"));
        inside.create().forPath("/node");
        Common.isTrue("below the namespace", Common.client().checkExists().forPath("/inside/node") != null);
    }

    static void transaction() throws Exception {
        CuratorFramework one = Common.client();
        one.create().forPath("/tx", new byte[0]);
        List<CuratorTransactionResult> results = one.transaction().forOperations(
                one.transactionOp().check().withVersion(0).forPath("/tx"),
                one.transactionOp().create().forPath("/tx/a", new byte[] {1}),
                one.transactionOp().create().withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/tx/s-"),
                one.transactionOp().setData().withVersion(0).forPath("/tx/a", new byte[] {2}),
                one.transactionOp().delete().forPath("/tx/a"));
        Common.same("/tx/s-0000000001", results.get(2).getResultPath());
        Common.same(1, results.get(3).getResultStat().getVersion());
        KeeperException failed = Common.fails(
                KeeperException.NoNodeException.class,
                () -> one.transaction().forOperations(
                        one.transactionOp().create().forPath("/tx/b"),
                        one.transactionOp().delete().forPath("/tx/none")));
        Common.same(2, failed.getResults().size());
        Common.same(List.of("s-0000000001"), one.getChildren().forPath("/tx"));
    }

    static void auth() throws Exception {
        CuratorFramework owner =
                Common.connected(Common.builder().authorization("digest", "user:secret".getBytes()));
        CuratorFramework stranger = Common.client();
        owner.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/auth", new byte[] {1});
        Common.same("digest", owner.getACL().forPath("/auth").get(0).getId().getScheme());
        Common.same(1, owner.getData().forPath("/auth").length);
        Common.fails(KeeperException.NoAuthException.class, () -> stranger.getData().forPath("/auth"));
        Common.fails(KeeperException.NoAuthException.class, () -> stranger.create().forPath("/auth/x"));
        Common.fails(
                KeeperException.InvalidACLException.class,
                () -> stranger.create().withACL(ZooDefs.Ids.CREATOR_ALL_ACL).forPath("/nobody"));
        owner.setACL().withACL(ZooDefs.Ids.READ_ACL_UNSAFE).forPath("/auth");
        Common.same(1, stranger.getData().forPath("/auth").length);
        Common.fails(KeeperException.NoAuthException.class, () -> owner.setData().forPath("/auth"));
    }

    static void watches() throws Exception {
        CuratorFramework watcher = Common.client();
        CuratorFramework other = Common.client();
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        // Servers before 3.9 keep one mode for each path and session.
        for (AddWatchMode mode : AddWatchMode.values()) {
            String path = "/" + mode;
            other.create().forPath(path);
            watcher.watchers().add().withMode(mode).usingWatcher(recording(events)).forPath(path);
        }
        other.create().forPath("/PERSISTENT/child");
        Common.same("NodeChildrenChanged /PERSISTENT", Common.next(events));
        other.create().forPath("/PERSISTENT_RECURSIVE/child");
        Common.same("NodeCreated /PERSISTENT_RECURSIVE/child", Common.next(events));
        for (AddWatchMode mode : AddWatchMode.values()) {
            String path = "/" + mode;
            for (int i = 0; i < 2; i++) {
                other.setData().forPath(path);
                Common.same("NodeDataChanged " + path, Common.next(events));
            }
            watcher.watchers().removeAll().forPath(path);
            Common.same("PersistentWatchRemoved " + path, Common.next(events));
            other.setData().forPath(path);
        }
        Thread.sleep(Common.MOMENT);
        Common.isTrue("no event after the removal: " + events, events.isEmpty());
    }

    private static Watcher recording(BlockingQueue<String> events) {
        return event -> events.add(event.getType() + " " + event.getPath());
    }

    static void curatorCache() throws Exception {
        CuratorFramework watcher = Common.client();
        CuratorFramework other = Common.client();
        other.create().creatingParentsIfNeeded().forPath("/cache/a", new byte[] {1});
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        try (CuratorCache cache = CuratorCache.build(watcher, "/cache")) {
            cache.listenable().addListener(CuratorCacheListener.builder()
                    .forCreates(node -> events.add("created " + node.getPath()))
                    .forChanges((old, node) -> events.add("changed " + node.getPath()))
                    .forDeletes(node -> events.add("deleted " + node.getPath()))
                    .forInitialized(() -> events.add("initialized"))
                    .build());
            cache.start();
            Common.same("created /cache", Common.next(events));
            Common.same("created /cache/a", Common.next(events));
            Common.same("initialized", Common.next(events));
            other.create().forPath("/cache/a/b");
            Common.same("created /cache/a/b", Common.next(events));
            other.setData().forPath("/cache/a", new byte[] {2});
            Common.same("changed /cache/a", Common.next(events));
            other.delete().forPath("/cache/a/b");
            Common.same("deleted /cache/a/b", Common.next(events));
            Common.same(2, cache.size());
        }
    }

    static void treeCache() throws Exception {
        CuratorFramework watcher = Common.client();
        CuratorFramework other = Common.client();
        try (TreeCache cache = new TreeCache(watcher, "/tree")) {
            cache.start();
            other.create().creatingParentsIfNeeded().forPath("/tree/a/b", new byte[] {1});
            Common.eventually("b is seen", () -> cache.getCurrentData("/tree/a/b") != null);
            other.setData().forPath("/tree/a/b", new byte[] {1, 2});
            Common.eventually("b changes", () -> cache.getCurrentData("/tree/a/b").getData().length == 2);
            other.delete().deletingChildrenIfNeeded().forPath("/tree/a");
            Common.eventually("a is gone", () -> cache.getCurrentData("/tree/a") == null);
        }
    }

    static void persistentNode() throws Exception {
        CuratorFramework owner = Common.client();
        CuratorFramework other = Common.client();
        try (PersistentNode node =
                new PersistentNode(owner, CreateMode.EPHEMERAL, false, "/persistent", new byte[] {1})) {
            node.start();
            Common.eventually("it is there", () -> other.checkExists().forPath("/persistent") != null);
            long first = other.checkExists().forPath("/persistent").getCzxid();
            other.delete().forPath("/persistent");
            Common.eventually("it comes back", () -> {
                Stat stat = other.checkExists().forPath("/persistent");
                return stat != null && stat.getCzxid() > first;
            });
        }
        Common.same(null, other.checkExists().forPath("/persistent"));
    }
}

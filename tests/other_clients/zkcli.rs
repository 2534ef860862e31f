//! `zkCli.sh`, ZooKeeper's own command line client.

use std::fs;
use std::time::Duration;

use testkit::{PATIENCE, eventually, install::zkcli_command};

use crate::program::{Directory, Program};

/// Two people at two terminals.
pub(crate) async fn works_with(servers: &str) {
    let directory = Directory::new();
    let mut ann = Shell::start("ann", servers, &[], &directory);
    let mut bob = Shell::start("bob", servers, &[], &directory);
    nodes(&mut ann).await;
    listings(&mut ann, &mut bob).await;
    watches(&mut ann, &mut bob).await;
    permissions(&mut ann, &mut bob).await;
    deletions(&mut ann).await;
    ends_of_sessions(ann, bob, servers, &directory).await;
}

async fn nodes(ann: &mut Shell) {
    ann.answers("create /app one", "Created /app").await;
    ann.answers("create /app one", "Node already exists: /app").await;
    ann.answers("create /none/child", "Node does not exist: /none/child").await;
    ann.answers("create -e /app/e of-ann", "Created /app/e").await;
    ann.answers("create /app/e/child", "Ephemerals cannot have children: /app/e/child").await;
    ann.answers("create -s /app/s-", "Created /app/s-0000000001").await;
    ann.answers("create -s -e /app/s- x", "Created /app/s-0000000002").await;
    ann.answers("create -c /app/container", "Created /app/container").await;
    ann.answers("create -t 60000 /app/ttl", "KeeperErrorCode = Unimplemented for /app/ttl").await;

    ann.answers("get /app", "one").await;
    let stat = ann.ask("get -s /app").await;
    assert_eq!(stat.lines[0], "one");
    assert_eq!(stat.field("cZxid"), stat.field("mZxid"));
    assert_eq!(stat.field("ctime"), stat.field("mtime"));
    assert_eq!((stat.field("dataVersion"), stat.field("dataLength")), ("0", "3"));
    assert_eq!((stat.field("cversion"), stat.field("numChildren")), ("4", "4"));
    let container = ann.ask("stat /app/container").await;
    assert_eq!(stat.field("pZxid"), container.field("cZxid"));
    assert_eq!((stat.field("aclVersion"), stat.field("ephemeralOwner")), ("0", "0x0"));
    let ephemeral = ann.ask("stat /app/e").await;
    assert!(ephemeral.field("ephemeralOwner").len() > "0x0".len(), "{ephemeral:?}");

    ann.answers("set /app second", "").await;
    let changed = ann.ask("set -s -v 1 /app third").await;
    assert_eq!((changed.field("dataVersion"), changed.field("dataLength")), ("2", "5"));
    assert_eq!(changed.field("cZxid"), stat.field("cZxid"));
    assert_ne!(changed.field("mZxid"), stat.field("mZxid"));
    ann.answers("set -v 1 /app fourth", "version No is not valid : /app").await;
    ann.answers("get /app", "third").await;
    ann.answers("get /none", "Node does not exist: /none").await;
    ann.answers("sync /app", "Sync is OK").await;
}

async fn listings(ann: &mut Shell, bob: &mut Shell) {
    bob.answers("ls /", "[app, zookeeper]").await;
    bob.answers("ls /zookeeper", "[config, quota]").await;
    bob.answers("ls /app", "[container, e, s-0000000001, s-0000000002]").await;
    let listed = bob.ask("ls -s /app/container").await;
    assert_eq!((&*listed.lines[0], listed.field("numChildren")), ("[]", "0"));
    ann.answers("create /app/container/deep", "Created /app/container/deep").await;
    let tree = bob.ask("ls -R /app").await;
    let paths = ["", "/container", "/e", "/s-0000000001", "/s-0000000002", "/container/deep"];
    assert_eq!(tree.lines, paths.map(|below| format!("/app{below}")));
    bob.answers("getAllChildrenNumber /app", "5").await;
    bob.answers("getAllChildrenNumber /zookeeper/config", "0").await;
    let of_ann = ann.ask("getEphemerals").await;
    // In no order.
    let either = ["[/app/e, /app/s-0000000002]", "[/app/s-0000000002, /app/e]"];
    assert!(either.contains(&&*of_ann.lines[0]), "{of_ann:?}");
    ann.answers("getEphemerals /app/s", "[/app/s-0000000002]").await;
    bob.answers("getEphemerals", "[]").await;
}

async fn watches(ann: &mut Shell, bob: &mut Shell) {
    // Each of these tells of one change.
    ann.answers("get -w /app", "third").await;
    bob.answers("set /app fourth", "").await;
    ann.sees("NodeDataChanged", "/app").await;
    ann.ask("stat -w /app/container/deep").await;
    ann.ask("ls -w /app/container").await;
    bob.answers("delete /app/container/deep", "").await;
    ann.sees("NodeDeleted", "/app/container/deep").await;
    ann.sees("NodeChildrenChanged", "/app/container").await;
    bob.answers("set /app fifth", "").await;

    // These stay. The mode is named each time, as `zkCli.sh` remembers the last one.
    ann.answers("addWatch -m PERSISTENT /app/s-0000000001", "").await;
    ann.answers("addWatch -m PERSISTENT_RECURSIVE /app/container", "").await;
    for data in ["1", "2"] {
        bob.answers(&format!("set /app/s-0000000001 {data}"), "").await;
        ann.sees("NodeDataChanged", "/app/s-0000000001").await;
    }
    bob.answers("create /app/s-0000000001/x", "Created /app/s-0000000001/x").await;
    ann.sees("NodeChildrenChanged", "/app/s-0000000001").await;
    bob.answers("create /app/container/x", "Created /app/container/x").await;
    ann.sees("NodeCreated", "/app/container/x").await;
    bob.answers("set /app/container/x data", "").await;
    ann.sees("NodeDataChanged", "/app/container/x").await;
    bob.answers("delete /app/container/x", "").await;
    ann.sees("NodeDeleted", "/app/container/x").await;
    ann.answers("removewatches /app/container", "").await;
    ann.sees("PersistentWatchRemoved", "/app/container").await;
    bob.answers("create /app/container/x", "Created /app/container/x").await;
    let none = ann.ask("removewatches /app/container").await;
    assert!(none.lines[0].contains("No such watcher"), "{none:?}");
    // Nothing else was told, and nothing after the removal.
    ann.answers("sync /app", "Sync is OK").await;
    assert_eq!(ann.events().len(), ann.seen, "{:?}", ann.events());
}

async fn permissions(ann: &mut Shell, bob: &mut Shell) {
    let world = ["'world,'anyone", ": cdrwa"];
    assert_eq!(ann.ask("getAcl /app").await.lines, world);
    let before = ann.ask("whoami").await;
    assert_eq!(before.lines, ["Auth scheme: User", "ip: 127.0.0.1"]);
    ann.answers("addauth digest ann:secret", "").await;
    let whoami = ann.ask("whoami").await;
    assert_eq!(whoami.lines.len(), 3, "{whoami:?}");
    assert!(whoami.lines.contains(&"digest: ann".to_owned()), "{whoami:?}");

    ann.answers("create /private secret auth::cdrwa", "Created /private").await;
    let acl = ann.ask("getAcl -s /private").await;
    assert!(acl.lines[0].starts_with("'digest,'ann:"), "{acl:?}");
    assert_eq!((&*acl.lines[1], acl.field("aclVersion")), (": cdrwa", "0"));
    ann.answers("get /private", "secret").await;
    let refused = "Insufficient permission : /private";
    bob.answers("get /private", refused).await;
    bob.answers("set /private x", refused).await;
    bob.answers("setAcl /private world:anyone:cdrwa", refused).await;
    bob.answers("create /private/x", "Insufficient permission : /private/x").await;
    bob.answers("addauth digest ann:guess", "").await;
    bob.answers("get /private", refused).await;
    let changed = ann.ask("setAcl -s /private world:anyone:r,auth::cdrwa").await;
    assert_eq!(changed.field("aclVersion"), "1");
    bob.answers("get /private", "secret").await;
    bob.answers("set /private x", refused).await;
    let invalid = bob.ask("create /nobody x bogus:x:r").await;
    assert!(invalid.lines.contains(&"Acl is not valid : /nobody".to_owned()), "{invalid:?}");
}

async fn deletions(ann: &mut Shell) {
    ann.answers("delete /app", "Node not empty: /app").await;
    ann.answers("delete -v 7 /app/container/x", "version No is not valid : /app/container/x").await;
    ann.answers("delete -v 0 /app/container/x", "").await;
    ann.answers("delete /none", "Node does not exist: /none").await;
    ann.answers("deleteall /app", "").await;
    // Who watches a node that goes is told.
    ann.sees("NodeChildrenChanged", "/app/s-0000000001").await;
    ann.sees("NodeDeleted", "/app/s-0000000001").await;
    ann.answers("delete /private", "").await;
    ann.answers("ls /", "[zookeeper]").await;
}

/// A session's ephemeral nodes go when it is closed, and when nothing has been heard of it for its timeout.
async fn ends_of_sessions(mut ann: Shell, mut bob: Shell, servers: &str, directory: &Directory) {
    let mut eve = Shell::start("eve", servers, &["-timeout", "2000"], directory);
    bob.answers("create -e /bob", "Created /bob").await;
    eve.answers("create -e /eve", "Created /eve").await;
    ann.ask("stat -w /bob").await;
    ann.ask("stat -w /eve").await;
    bob.quit().await;
    ann.sees("NodeDeleted", "/bob").await;
    ann.answers("ls /", "[eve, zookeeper]").await;
    eve.program.kill();
    ann.sees("NodeDeleted", "/eve").await;
    ann.answers("ls /", "[zookeeper]").await;
    ann.quit().await;
}

/// A `zkCli.sh` that runs, and what of its output has been read.
struct Shell {
    program: Program,
    /// Where in the output the next answer begins.
    read: usize,
    /// How many events have been seen.
    seen: usize,
}

impl Shell {
    fn start(name: &str, servers: &str, options: &[&str], directory: &Directory) -> Self {
        let mut command = zkcli_command();
        // A release of ZooKeeper logs to the terminal, through logback.
        let no_log = directory.path().join("logback.xml");
        fs::write(&no_log, "<configuration/>").expect("a file");
        let no_log = no_log.display();
        command.env("CLIENT_JVMFLAGS", format!("{JVM_FLAGS} -Dlogback.configurationFile={no_log}"));
        command.args(["-server", servers, "-waitforconnection"]).args(options);
        let program = Program::start(name, command, directory, "run tests/run");
        Self { program, read: 0, seen: 0 }
    }

    /// Asks, and waits for exactly this answer; an empty one is none.
    async fn answers(&mut self, command: &str, expected: &str) {
        let answer = self.ask(command).await;
        assert_eq!(answer.lines.join("\n"), expected, "{command}");
    }

    /// The answer to a command.
    async fn ask(&mut self, command: &str) -> Answer {
        if self.read == 0 {
            // What it says while it connects.
            self.program.send(&format!("{MARKING}\n"));
            self.up_to_the_mark("a connection").await;
        }
        self.program.send(&format!("{command}\n{MARKING}\n"));
        let text = self.up_to_the_mark(command).await;
        Answer { lines: text.lines().filter(|line| is_answer(line)).map(str::to_owned).collect() }
    }

    /// Waits for the next event, which is to be this one.
    async fn sees(&mut self, kind: &str, path: &str) {
        let expected = format!("type:{kind} path:{path}");
        let seen = self.seen;
        let event = eventually(&expected, PATIENCE, async || self.events().get(seen).cloned()).await;
        assert!(event.split(" zxid").next().is_some_and(|it| it.ends_with(&expected)), "{event}");
        self.seen += 1;
    }

    /// All events so far, without those of the connection.
    fn events(&self) -> Vec<String> {
        let output = self.program.output();
        // The last line may not be complete.
        let lines = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let events = lines.filter(|line| line.contains("WatchedEvent ") && !line.contains("type:None"));
        events.map(str::to_owned).collect()
    }

    /// Leaves as one does: the session is closed.
    async fn quit(&mut self) {
        self.program.send("quit\n");
        self.program.succeeds(LIMIT).await;
    }

    /// The output from where the last answer ended until the mark.
    async fn up_to_the_mark(&mut self, what: &str) -> String {
        let read = self.read;
        let program = &self.program;
        let text = eventually(what, LIMIT, async || {
            let output = program.output();
            let end = output[read..].find(MARK)?;
            Some(output[read..read + end].to_owned())
        });
        let text = text.await;
        self.read += text.len() + MARK.len();
        text
    }
}

/// A command that asks nothing of the server, and what it prints: it marks the end of the answer before it.
const MARKING: &str = "printwatches";
const MARK: &str = "printwatches is on\n";

/// Quick to start, and small.
const JVM_FLAGS: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xmx96m";

/// Until a Java virtual machine has started or ended.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether a line is neither empty nor an event nor a prompt.
fn is_answer(line: &str) -> bool {
    let noise = ["WATCHER::", "WatchedEvent ", "[zk: "];
    !line.is_empty() && !noise.iter().any(|it| line.starts_with(it))
}

/// What a command printed.
#[derive(Debug)]
struct Answer {
    lines: Vec<String>,
}

impl Answer {
    /// The value of a line `name = value`, as in a stat.
    fn field(&self, name: &str) -> &str {
        let prefix = format!("{name} = ");
        let value = self.lines.iter().find_map(|line| line.strip_prefix(&prefix));
        value.unwrap_or_else(|| panic!("no {name} in {:#?}", self.lines))
    }
}

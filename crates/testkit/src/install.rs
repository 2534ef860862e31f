//! The installed Java and ZooKeeper: the commands that run a server and its command line client.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::process::dying_with_us;

/// The command that runs a ZooKeeper server with the configuration file `config`.
///
/// Takes ZooKeeper from `ZOOKEEPER_HOME` if that is set, otherwise from Debian's package; Java from `JAVA_HOME` if
/// that is set, otherwise from the `PATH`.
pub fn server_command(config: &Path) -> Command {
    let mut command = dying_with_us(&of_java("java"));
    let properties = fs::read_to_string(config.with_file_name(PROPERTIES)).unwrap_or_default();
    command.args(properties.lines().map(|property| format!("-D{property}")));
    command.args(JVM_OPTIONS).args(["-cp", &class_path()]).arg(MAIN_CLASS).arg(config);
    command
}

/// The command that runs ZooKeeper's command line client, its script and not only its class.
pub fn zkcli_command() -> Command {
    let home = env::var("ZOOKEEPER_HOME").unwrap_or_else(|_| "/usr/share/zookeeper".to_owned());
    let script = format!("{home}/bin/zkCli.sh");
    assert!(
        Path::new(&script).exists(),
        "no {script}: install Debian's package `zookeeper`, or set ZOOKEEPER_HOME, or run tests/run"
    );
    dying_with_us(&script)
}

/// A program of Java's: from `JAVA_HOME` if that is set, otherwise from the `PATH`.
pub fn of_java(program: &str) -> String {
    env::var("JAVA_HOME").map_or_else(|_| program.to_owned(), |home| format!("{home}/bin/{program}"))
}

/// Runs an ensemble's server, or a standalone one if the configuration names no servers.
const MAIN_CLASS: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

/// A file beside a server's `zoo.cfg`, with a system property of its virtual machine on each line.
pub const PROPERTIES: &str = "properties";

/// Quick to start, small, and without waiting for disks.
const JVM_OPTIONS: &[&str] = &[
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Xmx96m",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.preAllocSize=1024",
    "-Dzookeeper.jmx.log4j.disable=true",
    // A lost vote is repeated after this long at the latest; the default is a minute.
    "-Dzookeeper.fastleader.maxNotificationInterval=1000",
    // Debian's class path brings slf4j-simple; a distribution of ZooKeeper brings its own logging and `conf`.
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
];

const DEBIAN_JARS: [&str; 3] = [
    "/usr/share/java/slf4j-simple.jar",
    "/usr/share/java/zookeeper.jar",
    "/usr/share/java/zookeeper-jute.jar",
];

/// The jars of ZooKeeper and what it needs.
pub fn class_path() -> String {
    if let Ok(home) = env::var("ZOOKEEPER_HOME") {
        assert!(Path::new(&home).join("lib").is_dir(), "ZOOKEEPER_HOME={home} has no directory `lib`");
        return format!("{home}/conf:{home}/*:{home}/lib/*");
    }
    assert!(
        Path::new(DEBIAN_JARS[1]).exists(),
        "no ZooKeeper found: install Debian's package `zookeeper`, or set ZOOKEEPER_HOME, or run tests/run"
    );
    DEBIAN_JARS.join(":")
}

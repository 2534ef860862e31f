//! Contenders: in the test's own process, and as processes of the `contender` example.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use testkit::{PATIENCE, SESSION_TIMEOUT, eventually, example};
use tokio::task::JoinHandle;
use zookeeper_election::{Election, Error, FencingToken, Leadership, Lost, Mode, Session, Standing};

/// Opens a session with the timeout that most tests use.
pub async fn connect(servers: &str) -> Session {
    let builder = Session::builder().session_timeout(SESSION_TIMEOUT).connect_timeout(PATIENCE);
    builder.connect(servers).await.expect("a session")
}

/// One contender in this process.
pub struct Contender {
    pub id: String,
    pub session: Session,
    pub election: Arc<Election>,
    campaign: Option<JoinHandle<Result<Leadership, Error>>>,
}

impl Contender {
    /// Connects, campaigns, and returns when the contender has its place: waiting or leading.
    pub async fn join(servers: &str, path: &str, mode: Mode, id: &str) -> Self {
        Self::join_on(connect(servers).await, path, mode, id).await
    }

    /// The same on a session that is there.
    pub async fn join_on(session: Session, path: &str, mode: Mode, id: &str) -> Self {
        let election = session.election(path).mode(mode).identity(id).build().expect("an election");
        let mut contender = Self { id: id.into(), session, election: Arc::new(election), campaign: None };
        contender.campaign();
        contender.placed().await;
        contender
    }

    /// Starts to campaign.
    pub fn campaign(&mut self) {
        let election = self.election.clone();
        self.campaign = Some(tokio::spawn(async move { election.campaign().await }));
    }

    /// Waits until the contender is waiting or leading.
    pub async fn placed(&self) -> Standing {
        let settled =
            |standing: &Standing| matches!(standing, Standing::Waiting { .. } | Standing::Leading { .. });
        self.reaches("a place", settled).await
    }

    /// Waits for a standing.
    pub async fn reaches(&self, what: &str, wanted: impl Fn(&Standing) -> bool) -> Standing {
        let what = format!("{} reaches {what}", self.id);
        let election = &self.election;
        eventually(&what, PATIENCE, async || Some(election.standing()).filter(&wanted)).await
    }

    /// Waits until the campaign has ended, with a leadership.
    pub async fn leads(&mut self) -> Leadership {
        self.ended().await.unwrap_or_else(|error| panic!("{} is to lead: {error}", self.id))
    }

    /// Waits until the campaign has ended.
    pub async fn ended(&mut self) -> Result<Leadership, Error> {
        let campaign = self.campaign.take().expect("a campaign under way");
        match tokio::time::timeout(PATIENCE, campaign).await {
            Ok(ended) => ended.expect("the campaign does not panic"),
            Err(_) => panic!("{}: the campaign goes on: {:?}", self.id, self.election.standing()),
        }
    }

    /// Whether the campaign is still under way.
    pub fn campaigns(&self) -> bool {
        self.campaign.as_ref().is_some_and(|campaign| !campaign.is_finished())
    }

    /// Ends the campaign by dropping it.
    pub fn drop_campaign(&mut self) {
        self.campaign.take().expect("a campaign under way").abort();
    }
}

/// Waits until a leadership is lost, and tells why.
pub async fn lost(leadership: &Leadership) -> Lost {
    match tokio::time::timeout(PATIENCE, leadership.lost()).await {
        Ok(lost) => lost,
        Err(_) => panic!("the leadership goes on: {leadership:?}"),
    }
}

/// The names of the contenders' znodes, in their order.
pub async fn queue(election: &Election) -> Vec<String> {
    let contenders = election.contenders().await.expect("the contenders");
    contenders.iter().map(|it| it.node.rsplit('/').next().unwrap().to_owned()).collect()
}

/// The identities of the contenders, in their order.
pub async fn identities(election: &Election) -> Vec<String> {
    let contenders = election.contenders().await.expect("the contenders");
    contenders.into_iter().map(|contender| contender.identity).collect()
}

/// Waits until these are the contenders, in this order. One server of several may lag behind what another has answered.
pub async fn contenders_become(election: &Election, expected: &[&str]) {
    let what = format!("the contenders {expected:?}");
    eventually(&what, PATIENCE, async || (identities(election).await == expected).then_some(())).await;
}

/// A process of the `contender` example.
pub struct ContenderProcess {
    pub id: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl ContenderProcess {
    /// Starts the example, which has been built along with the tests.
    pub fn start(servers: &str, path: &str, id: &str, more: &[&str]) -> Self {
        let mut child = Command::new(example("contender"))
            .args(["--connect", servers, "--path", path, "--id", id])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the contender example starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stdout, shared) = (child.stdout.take().unwrap(), lines.clone());
        let reader = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                shared.lock().unwrap().push(line);
            }
        });
        Self { id: id.into(), child, lines, reader: Some(reader) }
    }

    /// What the process has printed, without time and id.
    pub fn said(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|line| line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned()).collect()
    }

    /// Waits until the last line begins with `what`, and returns it.
    pub async fn says(&self, what: &str) -> String {
        let waiting_for = format!("{} says {what:?}", self.id);
        eventually(&waiting_for, PATIENCE, async || self.said().pop().filter(|line| line.starts_with(what)))
            .await
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("a process to reap");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process to signal");
    }

    /// Waits for its end, until everything that it has printed is read, and tells whether it was a success.
    pub async fn exits(&mut self) -> bool {
        let what = format!("{} exits", self.id);
        let child = &mut self.child;
        let status = eventually(&what, PATIENCE, async || child.try_wait().expect("a process")).await;
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        status.success()
    }
}

impl Drop for ContenderProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The token in a line `leading with token 0x...`.
pub fn token_in(line: &str) -> FencingToken {
    let hex = line.rsplit("0x").next().expect("a token");
    FencingToken::from_zxid(i64::from_str_radix(hex, 16).expect("a token in hexadecimal"))
}

//! A simulated connection, which does what `zookeeper-client` does. It reconnects by itself, sets its watches again,
//! and gives up when no server has answered for so long that the session must have expired.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use tokio::sync::{mpsc, oneshot, watch};
use zookeeper_client as zk;
use zookeeper_embedded::replica::{Body, Outcome, Request, Stat};

use super::client_task::{ClientAnswer, ClientCommand, ClientTask, WatchKind};
use super::network_interface::Line;
use super::requests;
use crate::mistakes::mistake;
use crate::runtime::Runtime;
use crate::session::Write;
use crate::session::seam::{Connection, Credentials, Fired, States, WatchEvent};
use crate::types::SessionId;

pub(super) struct SimulatedConnection {
    session: SessionId,
    timeout: Duration,
    commands: mpsc::UnboundedSender<ClientCommand>,
    states: watch::Receiver<zk::SessionState>,
    task: AbortHandle,
    /// Set when the task has ended.
    ended: watch::Receiver<bool>,
    /// The application has a clone of the client.
    of_application: AtomicBool,
}

impl SimulatedConnection {
    /// Takes over a line over which a session was opened or resumed.
    pub(super) fn start(line: Line, session: SessionId, timeout: Duration, reconnects: bool) -> Arc<Self> {
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let (states_tx, states) = watch::channel(zk::SessionState::SyncConnected);
        let (ended_tx, ended) = watch::channel(false);
        let client = ClientTask::new(session, timeout, reconnects, commands_rx, states_tx);
        let (task, registration) = AbortHandle::new_pair();
        let served = Abortable::new(client.serve(line), registration);
        Runtime::current().spawn(async move {
            let _ = served.await;
            ended_tx.send_replace(true);
        });
        let of_application = AtomicBool::new(false);
        Arc::new(Self { session, timeout, commands, states, task, ended, of_application })
    }

    /// The same connection, as the application's own client, which the application keeps.
    pub(super) fn of_application(self: Arc<Self>) -> Arc<dyn Connection> {
        self.of_application.store(true, Ordering::Relaxed);
        self
    }

    /// The reply to a transaction of one check, if a mistake replaces the check by something else.
    async fn mistaken_check(
        &self,
        path: &str,
    ) -> Option<Result<Vec<zk::MultiWriteResult>, zk::MultiWriteError>> {
        let done = Ok(vec![zk::MultiWriteResult::Check]);
        let answer = if path == "/" {
            return mistake!(NoFlush).then_some(done);
        } else if mistake!(ProofByReading) {
            self.call(Request::Exists { path: path.into(), watch: false }).await
        } else if mistake!(ProofBySync) {
            self.call(Request::Sync { path: Some(path.into()) }).await
        } else {
            return None;
        };
        Some(answer.map_err(Into::into).and(done))
    }

    async fn call(&self, request: Request) -> ClientAnswer {
        self.send(request, None).await
    }

    /// A request that sets a watch: of the first kind if the znode exists, or else of the second.
    async fn watch(&self, request: Request, path: &str, kinds: [WatchKind; 2]) -> (ClientAnswer, WatchEvent) {
        let (event, fired) = oneshot::channel();
        let answer = self.send(request, Some((path.to_owned(), kinds, event))).await;
        let fired = async move {
            match fired.await {
                Ok(fired) => fired,
                Err(_) => Fired::Ended,
            }
        };
        (answer, fired.boxed())
    }

    async fn send(
        &self,
        request: Request,
        watch: Option<(String, [WatchKind; 2], oneshot::Sender<Fired>)>,
    ) -> ClientAnswer {
        let (reply, answer) = oneshot::channel();
        let command = ClientCommand::Request { request, watch, reply };
        self.commands.send(command).map_err(|_| zk::Error::ClientClosed)?;
        answer.await.unwrap_or(Err(zk::Error::ClientClosed))
    }
}

#[async_trait]
impl Connection for SimulatedConnection {
    fn credentials(&self) -> Credentials {
        Credentials { session: self.session, info: None }
    }

    fn session_timeout(&self) -> Duration {
        self.timeout
    }

    fn chroot(&self) -> &str {
        "/"
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn states(&self) -> Box<dyn States> {
        let mut states = self.states.clone();
        states.mark_unchanged();
        Box::new(SimulatedStates(states))
    }

    async fn vanished(&self) {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
        // A change of the state tells the reason.
        if self.states.borrow().is_terminated() {
            std::future::pending::<()>().await;
        }
    }

    async fn create(&self, path: &str, mode: zk::CreateMode, _: &[zk::Acl]) -> Result<(), zk::Error> {
        self.call(Request::Write(requests::create(path, &[], mode))).await.map(drop)
    }

    async fn delete(&self, path: &str) -> Result<(), zk::Error> {
        self.call(Request::Write(requests::delete(path, None))).await.map(drop)
    }

    async fn stat(&self, path: &str) -> Result<Option<zk::Stat>, zk::Error> {
        let answer = self.call(Request::Exists { path: path.into(), watch: false }).await;
        requests::optional(answer).map(|body| body.map(|body| stat_in(&body)))
    }

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<zk::Stat>, WatchEvent), zk::Error> {
        let request = Request::Exists { path: path.into(), watch: true };
        let (answer, event) = self.watch(request, path, [WatchKind::Data, WatchKind::Exist]).await;
        Ok((requests::optional(answer)?.map(|body| stat_in(&body)), event))
    }

    async fn read(&self, path: &str) -> Result<(Vec<u8>, zk::Stat), zk::Error> {
        self.call(Request::Data { path: path.into(), watch: false }).await.map(data_in)
    }

    async fn read_and_watch(&self, path: &str) -> Result<(Vec<u8>, zk::Stat, WatchEvent), zk::Error> {
        let request = Request::Data { path: path.into(), watch: true };
        let (answer, event) = self.watch(request, path, [WatchKind::Data; 2]).await;
        let (data, stat) = answer.map(data_in)?;
        Ok((data, stat, event))
    }

    async fn list(&self, dir: &str) -> Result<Vec<String>, zk::Error> {
        let request = Request::Children { path: dir.into(), watch: false, with_stat: false };
        self.call(request).await.map(children_in)
    }

    async fn list_and_watch(&self, dir: &str) -> Result<(Vec<String>, WatchEvent), zk::Error> {
        let request = Request::Children { path: dir.into(), watch: true, with_stat: false };
        let (answer, event) = self.watch(request, dir, [WatchKind::Child; 2]).await;
        Ok((answer.map(children_in)?, event))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<zk::MultiWriteResult>, zk::MultiWriteError> {
        if let [Write::Check { path, .. }] = writes
            && let Some(answer) = self.mistaken_check(path).await
        {
            return answer;
        }
        let writes = writes.iter().map(requests::write).collect();
        let Body::Multi(parts) = self.call(Request::Multi(writes)).await? else {
            unreachable!("a transaction has results");
        };
        let failed = parts.iter().enumerate().find_map(|(index, part)| match part {
            Outcome::Failed(Some(code)) => Some((index, *code)),
            _ => None,
        });
        match failed {
            Some((index, code)) => {
                Err(zk::MultiWriteError::OperationFailed { index, source: requests::error(code) })
            }
            None => Ok(parts.into_iter().map(result).collect()),
        }
    }

    fn close(&self) {
        if !self.of_application.load(Ordering::Relaxed) {
            let _ = self.commands.send(ClientCommand::Close);
        }
    }

    fn abandon(&self) -> BoxFuture<'static, ()> {
        if self.of_application.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(()));
        }
        self.task.abort();
        let mut ended = self.ended.clone();
        Box::pin(async move {
            let _ = ended.wait_for(|ended| *ended).await;
        })
    }
}

impl Drop for SimulatedConnection {
    /// A client that is no longer in use closes its session, as `zookeeper-client` does.
    fn drop(&mut self) {
        self.close();
    }
}

struct SimulatedStates(watch::Receiver<zk::SessionState>);

#[async_trait]
impl States for SimulatedStates {
    fn current(&self) -> zk::SessionState {
        *self.0.borrow()
    }

    async fn changed(&mut self) -> zk::SessionState {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.0.borrow_and_update()
    }

    fn has_changed(&mut self) -> bool {
        self.0.borrow_and_update().has_changed()
    }
}

fn result(part: Outcome) -> zk::MultiWriteResult {
    match part {
        Outcome::Created(path) => {
            zk::MultiWriteResult::Create { path, stat: requests::stat(&Stat::default()) }
        }
        Outcome::Set(stat) => zk::MultiWriteResult::SetData { stat: requests::stat(&stat) },
        Outcome::Deleted => zk::MultiWriteResult::Delete,
        Outcome::Checked => zk::MultiWriteResult::Check,
        part => unreachable!("no result of a write: {part:?}"),
    }
}

fn stat_in(body: &Body) -> zk::Stat {
    match body {
        Body::Stat(stat) => requests::stat(stat),
        body => unreachable!("no stat: {body:?}"),
    }
}

fn data_in(body: Body) -> (Vec<u8>, zk::Stat) {
    match body {
        Body::Data(data, stat) => (data.map(|data| data.to_vec()).unwrap_or_default(), requests::stat(&stat)),
        body => unreachable!("no data: {body:?}"),
    }
}

fn children_in(body: Body) -> Vec<String> {
    match body {
        Body::Children(children) => children,
        body => unreachable!("no list: {body:?}"),
    }
}

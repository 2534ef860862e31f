//! Dropping a client without closing its session.

use tokio::task::JoinHandle;
use zookeeper_client as zk;

/// A client whose session is left to expire. But if the application runs the tasks that serve the client, they close the
/// session when no other handle of the client exists.
pub(super) struct AbandonedClient {
    client: Option<zk::Client>,
    tasks: Vec<JoinHandle<()>>,
}

impl AbandonedClient {
    pub(super) fn new(client: Option<zk::Client>, tasks: Vec<JoinHandle<()>>) -> Self {
        tasks.iter().for_each(JoinHandle::abort);
        Self { client, tasks }
    }

    /// Waits until the client's tasks have ended: then it can send nothing more.
    pub(super) async fn ended(mut self) {
        for task in &mut self.tasks {
            let _ = task.await;
        }
    }
}

impl Drop for AbandonedClient {
    fn drop(&mut self) {
        if !self.tasks.iter().all(JoinHandle::is_finished) {
            // A task that is still running closes the session when the last handle is dropped, and this task may be in
            // the middle of a poll. So this handle, some hundred bytes, is leaked.
            std::mem::forget(self.client.take());
        }
    }
}

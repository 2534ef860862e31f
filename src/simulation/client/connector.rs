//! Opens simulated connections: [`Connector`] for one process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::connection::SimulatedConnection;
use super::network_interface::{Line, NetworkInterface};
use crate::runtime;
use crate::session::seam::{AttachTimes, Attached, ConnectError, Connector, ResumeRequest};
use crate::simulation::network::{Down, Up};
use crate::simulation::settings::SERVERS;
use crate::types::SessionId;

pub(super) struct SimulatedConnector {
    pub(super) interface: Arc<NetworkInterface>,
    /// The session timeout that a new session asks for.
    pub(super) wish: Duration,
    /// Whether clients reconnect by themselves. If so, they do not report the session timeout that they negotiate then.
    pub(super) reconnects: bool,
}

impl SimulatedConnector {
    /// Opens or resumes a session, with as many attempts as there are servers.
    pub(super) async fn open(
        &self,
        resume: Option<(SessionId, Duration)>,
    ) -> Result<(Arc<SimulatedConnection>, AttachTimes), ConnectError> {
        let began = runtime::now();
        for _ in 0..SERVERS {
            let mut line = Line::dial(&self.interface, fastrand::usize(..SERVERS));
            let timeout = resume.map_or(self.wish, |(_, timeout)| timeout);
            let session = resume.map(|(session, _)| zookeeper_embedded::SessionId::from_raw(session.raw()));
            line.send(Up::Connect { session, seen: 0, timeout });
            match runtime::timeout(timeout / 4, line.receive()).await {
                Ok(Down::Connected(session, timeout)) => {
                    let session = SessionId::from_raw(session.raw());
                    let times = AttachTimes { began, answered: runtime::now() };
                    let connection = SimulatedConnection::start(line, session, timeout, self.reconnects);
                    return Ok((connection, times));
                }
                Ok(Down::Expired) => return Err(ConnectError::SessionExpired),
                Ok(_) | Err(_) => {}
            }
        }
        Err(ConnectError::Retry("no server answers".into()))
    }
}

#[async_trait]
impl Connector for SimulatedConnector {
    async fn attach(&self, resume: Option<ResumeRequest>) -> Result<Attached, ConnectError> {
        let resume = resume.map(|it| (it.credentials.session, it.timeout));
        let (connection, times) = self.open(resume).await?;
        Ok(Attached { connection, times: Some(times) })
    }
}

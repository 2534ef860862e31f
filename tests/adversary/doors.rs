//! A contender's ways to the servers, one for each, of which any can be closed.

use testkit::{Direction, Ensemble, PATIENCE, Proxy, eventually};
use zookeeper_election::Session;

/// A proxy before each server.
pub(crate) struct Doors(Vec<Proxy>);

impl Doors {
    pub(crate) async fn to(ensemble: &Ensemble) -> Self {
        let mut doors = Vec::new();
        for server in ensemble.servers() {
            doors.push(Proxy::start(server.address()).await);
        }
        Self(doors)
    }

    /// The addresses of all of them, as a client takes them.
    pub(crate) fn connect_string(&self) -> String {
        self.0.iter().map(Proxy::address).collect::<Vec<_>>().join(",")
    }

    /// The way to the server with this index.
    pub(crate) fn door(&self, server: usize) -> &Proxy {
        &self.0[server]
    }

    /// Closes all ways, and what was held back on them is lost.
    pub(crate) fn close(&self) {
        for door in &self.0 {
            door.refuse(true);
            door.cut_all();
            door.hold(Direction::Both, false);
        }
    }

    /// Closes all ways but that to the server with this index.
    pub(crate) fn open_only(&self, server: usize) {
        let others = self.0.iter().enumerate().filter(|(i, _)| *i != server);
        for (_, door) in others {
            door.refuse(true);
            door.cut_all();
            door.hold(Direction::Both, false);
        }
        self.0[server].refuse(false);
    }

    /// Sends a session that is connected elsewhere to the server with this index, and waits until it is there.
    pub(crate) async fn lead(&self, session: &Session, server: usize) {
        self.open_only(server);
        self.door(server).clear_requests();
        let there = async || {
            // The connection is used by the session, not only opened by its client.
            (session.id().is_some() && !self.door(server).requests().is_empty()).then_some(())
        };
        eventually("the session is at the other server", PATIENCE, there).await;
    }
}

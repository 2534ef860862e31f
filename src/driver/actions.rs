//! What the machine says is to be done, carried out.

use std::future::ready;

use super::Driver;
use super::requests::{from_prefetched, send};
use crate::error::Error;
use crate::machine::{Action, Event, ProofDemand, Request, Ticket};
use crate::mistakes::mistake;
use crate::runtime;
use crate::telemetry;

impl Driver {
    /// Feeds an event to the machine, and carries out all actions that follow. The standing is published when nothing
    /// follows any more: nobody sees one in between.
    pub(super) fn feed(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            self.machine.handle(runtime::now(), event);
            while let Some(action) = self.machine.poll_action() {
                self.act(action);
            }
            next = self.follow_up.take();
        }
        if let Some(standing) = self.reported.take() {
            self.standing.send_replace(standing.clone());
            telemetry::standing(&standing);
        }
        self.subscribe_to_proofs();
        if !self.machine.has_leftovers() {
            self.former_znode = None;
            self.former_sessions.clear();
        }
        if self.is_idle() {
            self.on_idle();
        }
    }

    /// No znode of this contender is left, or none that anybody will remove.
    fn on_idle(&mut self) {
        self.refused = false;
        self.claimed.clear();
        self.removed.set(!self.unconfirmed);
        let outcome = self.ended.take().map_or(Ok(()), |ended| ended.outcome());
        let outcome = if self.unconfirmed { Err(Error::RemovalUnconfirmed) } else { outcome };
        for reply in self.removals.drain(..) {
            let _ = reply.send(outcome.clone());
        }
        self.start_campaign();
    }

    /// Subscribes to proofs of the session while the machine wants them.
    fn subscribe_to_proofs(&mut self) {
        match (self.machine.proving(runtime::now()), &self.proofs) {
            (Some(ProofDemand { node, at_once }), None) => {
                self.proofs = Some(self.shared.heartbeat().prove(&node.path, at_once));
            }
            (None, Some(_)) => self.proofs = None,
            _ => {}
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Ask(ticket, request) => self.ask(ticket, request),
            Action::Unwatch => (self.own_watch, self.ahead_watch) = (None, None),
            Action::Lead(node, lease) => self.lead(node, lease),
            Action::Extend(lease) => self.extend(lease),
            Action::Shorten(lease) => self.shorten(lease),
            Action::Forget(node) => {
                if let Some(client) = &self.client {
                    client.release(&node);
                }
            }
            Action::StepDown(reason) => self.step_down(reason),
            Action::GiveUp(error) => self.fail_campaign(error),
            Action::RemovalFailed(error) => self.removal_failed(error),
            Action::Left(error) => {
                self.unconfirmed = !mistake!(LeftForgotten);
                self.removal_failed(error);
            }
            Action::Report(standing) => self.reported = Some(standing),
        }
    }

    /// Ends the campaign, if there is one, with this error.
    pub(super) fn fail_campaign(&mut self, error: Error) {
        self.deferred = false;
        if let Some(reply) = self.campaign.take() {
            let _ = reply.send(Err(error.clone()));
            telemetry::campaign_ended(&error);
        }
    }

    fn removal_failed(&mut self, error: Error) {
        telemetry::removal_failed(&error);
        for reply in self.removals.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
        if !matches!(error, Error::RemovalUnconfirmed) {
            self.refused = true;
            // A deferred campaign would wait for as long as the removal fails.
            if self.deferred {
                self.fail_campaign(error);
            }
        }
    }

    /// Sends a request, unless the reply was prefetched.
    fn ask(&mut self, ticket: Ticket, request: Request) {
        let client = self.client.clone().expect("the machine asks only while it is connected");
        if let Some(outcome) = from_prefetched(&client, &request, &mut self.prefetched) {
            return self.requests.push(Box::pin(ready((ticket, outcome))));
        }
        let (config, former_sessions) = (self.config.clone(), self.former_sessions.clone());
        // The leader's work has to end before its znode is removed. `FindOwn` waits as well, because after a panic the znode
        // that it finds is removed at once.
        let before_panic =
            matches!(request, Request::FindOwn(_)).then(|| std::mem::take(&mut self.before_panic));
        let removes = before_panic.is_some() || matches!(request, Request::Remove { .. });
        let ended = self.ended.clone().filter(|_| removes && !mistake!(RemovedUnderWork));
        self.requests.push(Box::pin(async move {
            let mut request = request;
            if let Some(ended) = ended
                && ended.work_ends().await
                && let Request::Remove { verify, .. } = &mut request
            {
                // Waiting took time: the znode may be another contender's by now.
                *verify = true;
            }
            if let Some(before_panic) = before_panic {
                before_panic.clear(&client).await;
            }
            (ticket, send(&config, client, ticket, request, &former_sessions).await)
        }));
    }
}

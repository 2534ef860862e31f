//! Mistakes (mutations) that tests make on purpose. The simulation has to notice each, or it would not notice the same
//! mistake made by accident.
//!
//! A mistake is one condition, [`mistake!`], at the line that is right without it. It is false in all builds but that of
//! the unit tests, and there unless the [simulation](crate::simulation) makes it.

/// Whether a test makes this mistake.
macro_rules! mistake {
    ($name:ident) => {{
        #[cfg(test)]
        let made = crate::mistakes::is_made(crate::mistakes::Mistake::$name);
        #[cfg(not(test))]
        let made = crate::mistakes::is_made();
        made
    }};
}
pub(crate) use mistake;

/// Programs make none.
#[cfg(not(test))]
pub(crate) const fn is_made() -> bool {
    false
}

#[cfg(test)]
pub(crate) use self::made::{Mistake, is_made, make};

#[cfg(test)]
mod made {
    use std::cell::Cell;

    thread_local! {
        static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
    }

    /// Whether the current thread makes this mistake.
    pub(crate) fn is_made(mistake: Mistake) -> bool {
        MADE.get() == Some(mistake)
    }

    /// Makes this mistake, and no other, while `act` runs.
    pub(crate) fn make<T>(mistake: Option<Mistake>, act: impl FnOnce() -> T) -> T {
        struct Restore(Option<Mistake>);
        impl Drop for Restore {
            fn drop(&mut self) {
                MADE.set(self.0);
            }
        }
        let _restore = Restore(MADE.replace(mistake));
        act()
    }

    /// A mistake.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Mistake {
        // Leases.
        /// A proof is good for a session timeout from when it was sent.
        WholeTimeout,
        /// A lease lasts until the session can expire, to the moment.
        NoMargin,
        /// A request counts as known to the leader server as soon as it is answered.
        NoRelay,
        /// A lease is counted from the answer, and not from the request.
        CountedFromTheAnswer,
        /// A proof is good for half of the session timeout, without any evidence of an earlier request.
        NoEvidence,
        /// A leadership lasts until something speaks against it.
        EndlessLease,
        /// Leads before the first proof has come back.
        NoFirstProof,
        /// The proofs are reads, which a server answers by itself.
        ProofByReading,
        /// The proofs are syncs, which a leader server answers without asking anybody.
        ProofBySync,
        /// A session that was taken up was heard of, though it may be closing.
        NoClosingWindow,
        /// Whether a session is kept is counted without the margin.
        KeptWithoutMargin,
        /// What an earlier connection was answered counts as evidence.
        OlderConnectionCounts,
        /// A connection counts for transactions that were sent before it was answered.
        AttachCountsAtOnce,
        /// Leases are measured with the first session timeout that was negotiated, and not with the least.
        FirstTimeout,
        /// An attempt to resume that was not answered is thought to have changed nothing.
        UnansweredAttemptForgotten,
        /// When the session timeout shrinks, leases that run do not.
        NotShortened,

        // The own znode.
        /// After a lost answer, a znode with the right name and data is claimed without a check of its owner.
        NoOwnerCheck,
        /// After a lost answer, a look tells what became of the create, though it may yet be carried out.
        NoTombstone,
        /// After a lost answer, the create is repeated.
        NoSearch,
        /// The znode of another contender of the session is taken for the own one.
        TwinsZnode,
        /// A claim is kept of a znode that was not taken after all.
        LeakedClaim,
        /// What a server shows is taken for the present, without a transaction before the look, and a znode ahead that is
        /// the session's own for somebody else's.
        NoFlush,
        /// The same, and an own znode that is not shown is forgotten.
        LaggingServerBelieved,
        /// The own znode is not watched.
        NoOwnWatch,

        // Removals.
        /// A znode is deleted by its name, whosever it has become.
        RemovesUnseen,
        /// A master's znode is deleted by its name, after a look.
        UnboundRemoval,
        /// The znodes of a session that is said to be over are forgotten.
        FormerZnodesForgotten,
        /// That a znode may be left is forgotten when a create was under way at the end of its session.
        LeftForgotten,
        /// After the contender's task has ended, the removal is said to be done.
        AlwaysRemoved,

        // Leading.
        /// When the znode ahead has gone, it is our turn.
        LeadsWithoutLooking,
        /// Everybody watches the first.
        WatchesTheFirst,
        /// Numbers leaderships by itself, beginning with 1.
        OwnNumbers,
        /// A guarded write of a master does not check which master's it is.
        UnboundGuardedWrite,
        /// A leadership that nobody has received is left to the command behind the next campaign.
        UndeliveredLeadershipKept,
        /// That a campaign was dropped is found out after the next command.
        DroppedCampaignUnnoticed,
        /// The znode is removed while the leader's work goes on.
        RemovedUnderWork,
        /// Beats twice as often as there is a reason for.
        BeatsTooOften,

        // Closing.
        /// A client that is replaced closes its session.
        ReplacedClientCloses,
        /// The session is closed while a leader's work goes on.
        ClosedUnderWork,
        /// Closing a session that has ended is confirmed, though its end may not be known to the ensemble.
        ClosedWhileConnecting,
        /// That the client takes the session for expired confirms that it is closed.
        ExpiredIsClosed,
        /// The end of a session is thought to remove the znodes of the one before.
        FormerZnodesAtClose,
        /// A contender that leaves without confirmation does not say so.
        LeavesSilently,
        /// Contenders hear of the closing only by the state of the connection, which may be overtaken.
        ClosingOvertaken,
        /// Contenders that are told of the closing are told of no client.
        ClosingWithoutClient,
        /// On the application's own session, removals end with the closing.
        RemovalsEndWithClosing,
        /// Closing a second time returns `Ok`.
        SecondCloseIsOk,
    }
}

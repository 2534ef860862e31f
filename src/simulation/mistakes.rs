//! Mistakes (mutations) that the shipped code does not make: they show that the invariants notice.
//!
//! Each is made where the simulated client and the driver of a contender meet the library's own code, which is left as it
//! is.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A proof is good for a session timeout from when it was sent.
    WholeTimeout,
    /// A lease lasts until the session can expire, to the moment.
    NoMargin,
    /// A request counts as known to the leader server as soon as it is answered.
    NoRelay,
    /// A lease is counted from the answer, and not from the request.
    CountedFromTheAnswer,
    /// A proof is good for half of the session timeout, whatever was heard of the session before.
    NoEvidence,
    /// A leadership lasts until something speaks against it.
    EndlessLease,
    /// Leads before the first proof has come back.
    NoFirstProof,
    /// The proofs are reads, which a server answers by itself.
    ProofByReading,
    /// The proofs are syncs, which a leader server answers without asking anybody.
    ProofBySync,
    /// After a lost answer, whatever znode has the right name and data is taken for the own one.
    NoOwnerCheck,
    /// After a lost answer, a look tells what became of the create, though it may yet be carried out.
    NoTombstone,
    /// After a lost answer, the create is repeated.
    NoSearch,
    /// A znode is deleted by its name, whosever it has become.
    RemovesUnseen,
    /// What a server shows is taken for the present, without a transaction before the look, and a znode ahead that is the
    /// session's own for somebody else's.
    NoFlush,
    /// A master's znode is deleted by its name, after a look.
    UnboundRemoval,
    /// A session that was taken up was heard of, though it may be closing.
    NoClosingWindow,
    /// What an earlier connection was answered counts as evidence.
    OlderConnectionCounts,
    /// Leases are measured with the session timeout that was negotiated last, and not with the least.
    NewestTimeout,
    /// When the session timeout shrinks, leases that run do not.
    NotShortened,
    /// The own znode is not watched.
    NoOwnWatch,
    /// When the znode ahead has gone, it is our turn.
    LeadsWithoutLooking,
    /// Everybody watches the first.
    WatchesTheFirst,
    /// Beats twice as often as there is a reason for.
    BeatsTooOften,
    /// Numbers leaderships by itself, beginning with 1.
    OwnNumbers,
}

impl Mistake {
    /// Mistakes that no seed has shown so far: other conditions make up for each. `SIMULATION_MISTAKE` runs them, too.
    ///
    /// Without a flush a client that takes over may look at a server that lags. What it decides then is bound by the
    /// counter, by names that are given out once, and by tombstones, and own znodes that seem to be gone are removed.
    pub(super) const UNNOTICED: [Self; 1] = [Self::NoFlush];

    /// The lowest seed that notices each mistake.
    pub(super) const NOTICED_AT: [(Self, u64); 23] = [
        (Self::WholeTimeout, 1),
        (Self::NoMargin, 2693),
        (Self::NoRelay, 10821),
        (Self::CountedFromTheAnswer, 819),
        (Self::NoEvidence, 20),
        (Self::EndlessLease, 1),
        (Self::NoFirstProof, 1),
        (Self::ProofByReading, 9),
        (Self::ProofBySync, 623),
        (Self::NoOwnerCheck, 0),
        (Self::NoTombstone, 706),
        (Self::NoSearch, 0),
        (Self::RemovesUnseen, 0),
        (Self::UnboundRemoval, 13),
        (Self::NoClosingWindow, 1),
        (Self::OlderConnectionCounts, 155),
        (Self::NewestTimeout, 92),
        (Self::NotShortened, 473),
        (Self::NoOwnWatch, 4),
        (Self::LeadsWithoutLooking, 0),
        (Self::WatchesTheFirst, 0),
        (Self::BeatsTooOften, 0),
        (Self::OwnNumbers, 0),
    ];
}

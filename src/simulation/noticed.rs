//! Which seed notices each [mistake](crate::mistakes).

use crate::mistakes::Mistake;

/// Mistakes that no seed has shown so far: other conditions make up for each. `SIMULATION_MISTAKE` runs them, too.
///
/// Without a flush a client that takes over may look at a server that lags. What it decides then is bound by the
/// counter, by names that are given out once, and by tombstones, and own znodes that seem to be gone are removed.
pub(super) const UNNOTICED: [Mistake; 1] = [Mistake::NoFlush];

/// The lowest seed that notices each mistake.
pub(super) const NOTICED_AT: [(Mistake, u64); 46] = [
    (Mistake::WholeTimeout, 0),
    (Mistake::NoMargin, 0),
    (Mistake::NoRelay, 0),
    (Mistake::CountedFromTheAnswer, 0),
    (Mistake::NoEvidence, 0),
    (Mistake::EndlessLease, 0),
    (Mistake::NoFirstProof, 0),
    (Mistake::ProofByReading, 0),
    (Mistake::ProofBySync, 0),
    (Mistake::NoClosingWindow, 0),
    (Mistake::KeptWithoutMargin, 0),
    (Mistake::OlderConnectionCounts, 0),
    (Mistake::AttachCountsAtOnce, 0),
    (Mistake::NewestTimeout, 0),
    (Mistake::UnansweredAttemptForgotten, 0),
    (Mistake::NotShortened, 0),
    (Mistake::NoOwnerCheck, 0),
    (Mistake::NoTombstone, 0),
    (Mistake::NoSearch, 0),
    (Mistake::TwinsZnode, 0),
    (Mistake::LeakedClaim, 0),
    (Mistake::LaggingServerBelieved, 0),
    (Mistake::NoOwnWatch, 0),
    (Mistake::RemovesUnseen, 0),
    (Mistake::UnboundRemoval, 0),
    (Mistake::FormerZnodesForgotten, 0),
    (Mistake::LeftForgotten, 0),
    (Mistake::AlwaysRemoved, 0),
    (Mistake::LeadsWithoutLooking, 0),
    (Mistake::WatchesTheFirst, 0),
    (Mistake::OwnNumbers, 0),
    (Mistake::UnboundGuardedWrite, 0),
    (Mistake::UndeliveredLeadershipKept, 0),
    (Mistake::DroppedCampaignUnnoticed, 0),
    (Mistake::RemovedUnderWork, 0),
    (Mistake::BeatsTooOften, 0),
    (Mistake::ReplacedClientCloses, 0),
    (Mistake::ClosedUnderWork, 0),
    (Mistake::ClosedWhileConnecting, 0),
    (Mistake::ExpiredIsClosed, 0),
    (Mistake::FormerZnodesAtClose, 0),
    (Mistake::LeavesSilently, 0),
    (Mistake::ClosingOvertaken, 0),
    (Mistake::ClosingWithoutClient, 0),
    (Mistake::RemovalsEndWithClosing, 0),
    (Mistake::SecondCloseIsOk, 0),
];

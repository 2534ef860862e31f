//! Which seed notices each [mistake](crate::mistakes).

use crate::mistakes::Mistake;

/// Mistakes that no seed has shown so far. `SIMULATION_MISTAKE` runs them, too.
///
/// - `NoFlush`: a client that takes over may read from a server that lags. Its decisions stay safe, because the
///   counter, unique names and tombstones bind them, and because own znodes that seem to be gone are removed.
/// - `TwinsZnode`: needs two lost replies within one round trip.
/// - `KeptWithoutMargin`, `AttachCountsAtOnce`: two leaders, but in fewer than one of ten thousand seeds.
/// - `UndeliveredLeadershipKept`, `ClosingOvertaken`: need two threads.
/// - `LeavesSilently`: another part of closing compensates for it.
/// - `ClosingWithoutClient`, `RemovalsEndWithClosing`: need a close of the application's own session that fails in an
///   outage which the session survives. This is too rare.
pub(super) const UNNOTICED: [Mistake; 9] = [
    Mistake::NoFlush,
    Mistake::TwinsZnode,
    Mistake::KeptWithoutMargin,
    Mistake::AttachCountsAtOnce,
    Mistake::UndeliveredLeadershipKept,
    Mistake::LeavesSilently,
    Mistake::ClosingOvertaken,
    Mistake::ClosingWithoutClient,
    Mistake::RemovalsEndWithClosing,
];

/// The lowest seed that notices each mistake.
pub(super) const NOTICED_AT: [(Mistake, u64); 38] = [
    (Mistake::WholeTimeout, 88),
    (Mistake::NoMargin, 17821),
    (Mistake::NoRelay, 1558),
    (Mistake::CountedFromTheAnswer, 779),
    (Mistake::NoEvidence, 88),
    (Mistake::EndlessLease, 0),
    (Mistake::NoFirstProof, 1),
    (Mistake::ProofByReading, 0),
    (Mistake::ProofBySync, 0),
    (Mistake::NoClosingWindow, 38),
    (Mistake::OlderConnectionCounts, 682),
    (Mistake::FirstTimeout, 83),
    (Mistake::UnansweredAttemptForgotten, 5415),
    (Mistake::NotShortened, 1198),
    (Mistake::NoOwnerCheck, 2),
    (Mistake::NoTombstone, 214),
    (Mistake::NoSearch, 15),
    (Mistake::LeakedClaim, 119),
    (Mistake::LaggingServerBelieved, 8964),
    (Mistake::NoOwnWatch, 2),
    (Mistake::RemovesUnseen, 0),
    (Mistake::UnboundRemoval, 11),
    (Mistake::FormerZnodesForgotten, 0),
    (Mistake::LeftForgotten, 48),
    (Mistake::AlwaysRemoved, 48),
    (Mistake::LeadsWithoutLooking, 0),
    (Mistake::WatchesTheFirst, 0),
    (Mistake::OwnNumbers, 0),
    (Mistake::UnboundGuardedWrite, 245),
    (Mistake::DroppedCampaignUnnoticed, 0),
    (Mistake::RemovedUnderWork, 50),
    (Mistake::BeatsTooOften, 0),
    (Mistake::ReplacedClientCloses, 172),
    (Mistake::ClosedUnderWork, 445),
    (Mistake::ClosedWhileConnecting, 214),
    (Mistake::ExpiredIsClosed, 4),
    (Mistake::FormerZnodesAtClose, 2257),
    (Mistake::SecondCloseIsOk, 4),
];

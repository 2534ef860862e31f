//! Shows how ZooKeeper's servers elect their leader, vote by vote:
//!
//! ```text
//! cargo run -p zookeeper-fle --example ensemble_election                     # all stories
//! cargo run -p zookeeper-fle --example ensemble_election -- --list           # the names of the stories
//! cargo run -p zookeeper-fle --example ensemble_election -- five             # one of them
//! cargo run -p zookeeper-fle --example ensemble_election -- five --seed 7    # random delays in place of 10 ms
//! cargo run -p zookeeper-fle --example ensemble_election -- --figures        # the time that elections take
//! ```
//!
//! The ensembles are simulated with `zookeeper_fle::simulator`; no server runs. A part of the output:
//!
//! ```text
//!    10000 ms  Server 3 starts without any history. It begins round 1 and votes for itself.
//!    10010 ms  Server 1 hears 3 vote for 3: as good a history, and the greater id. It votes for 3 too.
//!    10020 ms  Server 1 hears 2 for 3. 1, 2 and 3 want 3: a quorum. It waits 200 ms for a better vote.
//!    10220 ms  Server 1 has heard nothing better: it follows 3.
//!    10220 ms  Server 3 has heard nothing better: it leads.
//!
//!   Round 1
//!     ms        |     0 |  5000 |  5010 | 10000 | 10010 | 10220
//!     server 1  |     1 |     1 |     2 |     2 |     3 |    =3
//!     server 2  |       |     2 |     2 |     2 |     3 |    =3
//!     server 3  |       |       |       |     3 |     3 |    =3
//! ```
//!
//! A row is a server, a column a time at which a vote changed, a number the server voted for.

mod figures;
mod narration;
mod stories;
mod table;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use stories::STORIES;

/// Shows how ZooKeeper's servers elect their leader, vote by vote, in simulated ensembles.
///
/// cargo run -p zookeeper-fle --example ensemble_election -- five
#[derive(Parser)]
#[command(about, verbatim_doc_comment)]
struct Options {
    /// The story to tell; without it, all of them.
    story: Option<String>,
    /// Print the names of the stories.
    #[arg(long)]
    list: bool,
    /// The seed for random delays of 1 to 30 ms, instead of 10 ms for every message. The story two-leaders has fixed delays.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the time that elections take.
    #[arg(long)]
    figures: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.story.as_ref().is_some_and(|name| STORIES.iter().all(|it| it.name != name)) {
        eprintln!("no such story: --list names them");
        return ExitCode::FAILURE;
    }
    match run(&options, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the output.
fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let Options { story, list, seed, figures } = options;
    if *figures {
        return out.write_all(figures::table().as_bytes());
    }
    if !list && story.is_none() {
        writeln!(out, "{}", stories::INTRODUCTION)?;
    }
    for it in STORIES.iter().filter(|it| story.as_ref().is_none_or(|name| name == it.name)) {
        if *list {
            writeln!(out, "{:<12} {}", it.name, it.title)?;
        } else {
            writeln!(out, "{}", it.tell(*seed))?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, seed: Option<u64>) -> String {
        let story = STORIES.iter().find(|it| it.name == name).expect("the story");
        // Without the breaks of long lines.
        story.tell(seed).replace("\n             ", " ")
    }

    /// The last row of each server in the last table.
    fn outcome(story: &str) -> Vec<(&str, &str)> {
        let lines: Vec<&str> = story.lines().collect();
        let last = lines.iter().rposition(|it| it.trim_start().starts_with("Round")).expect("a table");
        let rows = lines[last..].iter().filter_map(|it| it.trim_start().strip_prefix("server "));
        rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[0], *cells.last().expect("a cell"))
        })
        .collect()
    }

    #[test]
    fn of_five_servers_the_third_leads_and_the_table_shows_the_votes() {
        let story = told("five", None);
        for line in [
            "Server 1 starts without any history. It begins round 1 and votes for itself.",
            "Server 1 hears 2 vote for 2: as good a history, and the greater id. It votes for 2 too.",
            "1, 2 and 3 want 3: a quorum. It waits 200 ms for a better vote.",
            "Server 3 has heard nothing better: it leads.",
        ] {
            assert!(story.contains(line), "{line} is missing:\n{story}");
        }
        assert_eq!(outcome(&story), ["1", "2", "3", "4", "5"].map(|id| (id, "=3")));
        let first = story.lines().find(|it| it.trim_start().starts_with("server 1")).unwrap();
        let cells: Vec<&str> = first.split('|').skip(1).map(str::trim).collect();
        let mut votes = cells.clone();
        votes.dedup();
        assert_eq!(votes, ["1", "2", "3", "=3"], "{first}");
    }

    #[test]
    fn the_other_stories_end_as_they_should_with_whatever_delays() {
        for seed in [None, Some(1), Some(2), Some(3)] {
            assert_eq!(outcome(&told("three", seed)), ["1", "2", "3"].map(|id| (id, "=2")), "{seed:?}");
            let history = told("history", seed);
            for reason in ["a later transaction", "a later epoch"] {
                assert!(history.contains(reason), "{reason} is missing:\n{history}");
            }
            let (before, after) = history.split_once("Round 1, after the restart").expect("a new table");
            assert_eq!(outcome(before), ["1", "2", "3"].map(|id| (id, "x")), "{seed:?}");
            assert_eq!(outcome(&history), ["1", "2", "3"].map(|id| (id, "=1")), "{seed:?}");
            let first = after.lines().find_map(|it| it.trim_start().strip_prefix("server 1")).expect("a row");
            assert_eq!(first.split('|').nth(1).map(str::trim), Some("1"), "it begins anew: {first}");
            let old_round = told("old-round", seed);
            assert!(old_round.contains("is in round 2 already"), "{old_round}");
            assert_eq!(outcome(&old_round), ["1", "2", "3"].map(|id| (id, "=1")), "{seed:?}");
            let partition = told("partition", seed);
            assert_eq!(outcome(&partition), ["1", "2", "3", "4", "5"].map(|id| (id, "=3")), "{seed:?}");
        }
    }

    #[test]
    fn that_a_server_tries_again_is_told_once_in_its_search() {
        let mut tries_again = 0;
        for (name, seed) in
            STORIES.iter().flat_map(|it| [None, Some(1), Some(2), Some(3)].map(|seed| (it.name, seed)))
        {
            let story = told(name, seed);
            let of = |id: &str, what: &str| {
                let name = format!(" ms  Server {id} ");
                story.lines().filter(|it| it.contains(&name) && it.contains(what)).count()
            };
            for id in ["1", "2", "3", "4", "5"] {
                let (searches, silences) = (of(id, "begins round"), of(id, "tries again"));
                assert!(silences <= searches, "{name} {seed:?}: server {id}\n{story}");
                tries_again += silences;
            }
            assert!(!story.contains("less often. It"), "{name} {seed:?}\n{story}");
        }
        assert!(tries_again >= 20, "{tries_again}");
    }

    #[test]
    fn two_servers_lead_in_one_round_and_one_gives_up() {
        let story = told("two-leaders", None);
        for line in
            ["Server 3 has heard nothing better: it leads.", "Server 5 has heard nothing better: it leads."]
        {
            assert!(story.contains(line), "{line} is missing:\n{story}");
        }
        assert!(story.contains("Server 3 gives up"), "{story}");
        assert!(!story.contains("a seed changes nothing"), "{story}");
        let seeded = told("two-leaders", Some(7));
        let (remark, rest) = seeded.split_once("changes nothing here.)\n").expect("a remark");
        assert!(remark.ends_with("a seed ") && story.ends_with(rest), "{seeded}");
    }

    #[test]
    fn an_election_takes_at_least_the_wait_for_a_better_vote() {
        for row in figures::rows() {
            assert!(row.from_start > zookeeper_fle::FINALIZE_WAIT, "{row:?}");
            assert!(row.from_loss >= zookeeper_fle::FINALIZE_WAIT, "{row:?}");
        }
    }

    #[test]
    fn when_nobody_reads_any_more_it_stops() {
        /// Takes so many bytes.
        struct Pipe(usize);

        impl Write for Pipe {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0);
                self.0 -= taken;
                if taken == 0 { Err(ErrorKind::BrokenPipe.into()) } else { Ok(taken) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        for arguments in [&["--figures"][..], &["--list"], &["five"], &[]] {
            let options = Options::parse_from(["ensemble_election"].iter().chain(arguments));
            let error = run(&options, &mut Pipe(100)).expect_err("no place");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{arguments:?}");
            run(&options, &mut Pipe(usize::MAX)).expect("place enough");
        }
    }
}

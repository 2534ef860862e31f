//! What the terminal shows: a picture that is drawn again in its place, or a line for each change.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use crate::contender::{Contender, State};
use crate::record::Record;

/// The rows that the picture and the summary's first lines take.
const ROWS: u16 = 16;
/// The columns of the time line.
const COLUMNS: u32 = 64;
/// The time that a column stands for, as long as all fits.
const COLUMN: Duration = Duration::from_millis(250);

pub(crate) struct Picture {
    started: Duration,
    /// Whether the picture is drawn in its place; otherwise lines are printed.
    live: bool,
    color: bool,
    /// How many lines were drawn the last time.
    drawn: usize,
}

impl Picture {
    pub(crate) fn new(plain: bool, started: Duration) -> Self {
        // A picture that scrolls is none.
        let high = tcgetwinsize(io::stdout()).is_ok_and(|size| size.ws_row >= ROWS);
        let live = !plain && io::stdout().is_terminal() && high;
        let color = live && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        Self { started, live, color, drawn: 0 }
    }

    pub(crate) fn title(&self, title: &str) {
        say(&format!("{title}\n"));
    }

    /// Tells of a change; the picture shows it by itself.
    pub(crate) fn note(&self, at: Duration, who: &str, what: &str) {
        if !self.live {
            say(&format!("{:>7.3} s  {who} {what}\n", self.since_start(at)));
        }
    }

    /// Draws the queue and the time line in the place of the last ones.
    pub(crate) fn draw(&mut self, now: Duration, contenders: &[Contender], record: &Record) {
        if !self.live {
            return;
        }
        let mut lines = vec![String::new()];
        let mut queue: Vec<_> = contenders.iter().collect();
        // Whoever has no znode yet will have the last one.
        queue.sort_by_key(|it| (it.node().is_none(), it.node()));
        lines.extend(queue.into_iter().map(|it| {
            let place = match &it.state {
                State::Joining => "joins".into(),
                State::Waiting { behind, .. } => format!("waits behind {behind}"),
                State::Leading { token, since, .. } => {
                    let led = now.saturating_sub(*since).as_secs_f64();
                    self.paint("1", &format!("leads with token {token} for {led:.1} s"))
                }
                State::Killed { at, .. } => {
                    let dead = now.saturating_sub(*at).as_secs_f64();
                    self.paint("31", &format!("killed {dead:.1} s ago, its session lives on"))
                }
            };
            let node = it.node().and_then(|node| node.rsplit('/').next()).unwrap_or_default();
            format!("  {}  {node:<16} {place}", self.paint(lane_color(&it.name), &it.name))
        }));
        // Places for four contenders, so that the time line stays where it is.
        lines.resize(lines.len().max(6), String::new());
        lines.extend(self.time_line(now, record));

        let mut out = String::from("\x1b[?7l");
        if self.drawn > 0 {
            out += &format!("\x1b[{}A", self.drawn);
        }
        for line in &lines {
            out += &format!("{line}\x1b[K\n");
        }
        out += "\x1b[J\x1b[?7h";
        self.drawn = lines.len();
        say(&out);
    }

    /// A lane for each of the three contenders, and the seconds beneath.
    fn time_line(&self, now: Duration, record: &Record) -> Vec<String> {
        let (now, mut column) = (now.saturating_sub(self.started), COLUMN);
        while now > column * COLUMNS {
            column *= 2;
        }
        let mut lines = Vec::new();
        for lane in ["a", "b", "c"] {
            let leaderships = record.leaderships().iter().filter(|it| it.who.starts_with(lane));
            let of = |at: Duration| (at.saturating_sub(self.started).as_nanos() / column.as_nanos()) as usize;
            let mut marks = vec![' '; COLUMNS as usize + 1];
            for it in leaderships {
                let end = of(it.ended.unwrap_or(now + self.started));
                marks[of(it.began)..=end].fill('━');
                if it.killed.is_some() {
                    marks[end] = '✗';
                }
            }
            let marks: String = marks.into_iter().collect();
            let lane = format!("  {lane}  {}", self.paint(lane_color(lane), marks.trim_end()));
            lines.push(lane.trim_end().to_owned());
        }
        let seconds =
            (0..COLUMNS).step_by(8).map(|at| format!("{:<8}", format!("{} s", (column * at).as_secs())));
        lines.push(format!("     {}", seconds.collect::<String>().trim_end()));
        lines
    }

    /// Tells of each fail-over, and that all was as it must be, or what was not.
    pub(crate) fn summary(&self, now: Duration, record: &Record) -> Result<(), String> {
        if record.leaderships().is_empty() {
            return Ok(());
        }
        if !self.live {
            say("\n");
            self.time_line(now, record).iter().for_each(|line| say(&format!("{line}\n")));
        }
        say("\n");
        for (leader, next) in record.fail_overs() {
            let killed = leader.killed.unwrap_or_default();
            say(&format!(
                "{:>7.3} s  {} killed, {} led {:.3} s later: token {} after {}\n",
                self.since_start(killed),
                leader.who,
                next.who,
                next.began.saturating_sub(killed).as_secs_f64(),
                next.token,
                leader.token,
            ));
        }
        if let Some(violation) = record.violation() {
            return Err(violation);
        }
        let (fail_overs, leaderships) = (record.fail_overs().count(), record.leaderships().len());
        let verdict = if leaderships > 1 { ", never two at once, tokens growing" } else { "" };
        say(&format!("fail-overs: {fail_overs}; leaderships: {leaderships}{verdict}\n"));
        Ok(())
    }

    fn since_start(&self, at: Duration) -> f64 {
        at.saturating_sub(self.started).as_secs_f64()
    }

    fn paint(&self, color: &str, text: &str) -> String {
        if self.color && !text.is_empty() { format!("\x1b[{color}m{text}\x1b[0m") } else { text.into() }
    }
}

/// The color of a contender, by its letter.
fn lane_color(name: &str) -> &'static str {
    match name.as_bytes().first() {
        Some(b'a') => "36",
        Some(b'b') => "33",
        _ => "35",
    }
}

/// Writes at once. Fails when nobody reads any longer; the contenders are to be stopped all the same.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

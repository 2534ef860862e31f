//! The end of a connection, and what it says about the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Direction, Ensemble, PATIENCE, unique_path};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use zookeeper_election::{Leadership, Mode};

use crate::doors::Doors;
use crate::session;

const T: Duration = Duration::from_secs(12);
/// How long A is paused: less than 0.4 of that, after which its client gives the connection up.
const PAUSE: Duration = Duration::from_millis(4400);

/// A's process stands still, goes on for a moment, hears an answer, takes the lead of another path by a create whose answer
/// is there together with the end of the connection, and has no connection any more. The follower that it was connected to
/// is stopped before it tells the leader server that it has heard of A.
///
/// `Live::note_moves` takes the end of the connection for a new one, and the lease is counted from the last answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_end_of_a_connection_is_not_the_beginning_of_another() {
    let mut ensemble = Ensemble::builder(3).tick(Duration::from_secs(2)).start().await;
    let leading = ensemble.leader().await;
    let [follower, other] = [(leading + 1) % 3, (leading + 2) % 3];
    let b = session(&ensemble.server(other).address(), Duration::from_secs(20)).await;
    for attempt in 0..2 {
        let (lead, path) = (unique_path("moved-lead"), unique_path("moved"));
        let doors = Arc::new(Doors::to(&ensemble).await);
        doors.open_only(follower);
        let connect_string = doors.connect_string();
        let blocked = Arc::new(AtomicBool::new(false));
        let (ready_tx, ready) = oneshot::channel();
        let (go_tx, go) = oneshot::channel::<()>();
        let (awake_tx, awake) = oneshot::channel::<Instant>();
        let (campaign_tx, campaign) = oneshot::channel::<()>();
        let (won_tx, won) = oneshot::channel::<Arc<Leadership>>();
        let (end_tx, end) = oneshot::channel::<()>();
        let a_path = path.clone();
        let a_blocked = blocked.clone();
        let process = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let session = session(&connect_string, T).await;
                let first = session.election(&lead).identity("A").build().unwrap();
                let _first = first.campaign().await.unwrap();
                let second = session.election(&a_path).mode(Mode::Master).identity("A").build().unwrap();
                // Now the counter is known.
                second.campaign().await.unwrap().resign().await.unwrap();
                sleep(T / 2).await;
                ready_tx.send(()).unwrap();
                go.await.unwrap();
                // The client has heard something a moment ago.
                first.leader().await.unwrap();
                thread::sleep(PAUSE);
                let began = Instant::now();
                // One answer.
                let one = first.leader().await;
                println!("awake; an answer after {:?}: {}, {:?}", began.elapsed(), one.is_ok(), _first);
                let _ = awake_tx.send(began);
                let campaigning = async { second.campaign().await.ok() };
                campaign.await.unwrap();
                let blocking = async {
                    // The requests leave.
                    sleep(Duration::from_millis(30)).await;
                    a_blocked.store(true, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(120));
                };
                let (leadership, ()) = tokio::join!(
                    async { timeout(Duration::from_secs(2), campaigning).await.ok().flatten() },
                    blocking
                );
                if let Some(leadership) = leadership {
                    let _ = won_tx.send(Arc::new(leadership));
                } else {
                    drop(won_tx);
                }
                let _ = end.await;
            });
        });
        ready.await.unwrap();
        go_tx.send(()).unwrap();
        let door = doors.door(follower);
        let woke = awake.await.unwrap();
        door.hold(Direction::ToClient, true);
        let _ = campaign_tx.send(());
        while !blocked.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(1)).await;
        }
        door.hold(Direction::ToClient, false);
        sleep(Duration::from_millis(20)).await;
        doors.close();
        ensemble.server_mut(follower).stop();
        println!("attempt {attempt}: stopped {:?} after the answer", woke.elapsed());
        let leadership = timeout(Duration::from_secs(5), won).await.ok().and_then(Result::ok);
        match leadership {
            None => println!("attempt {attempt}: A does not lead"),
            Some(leadership) => {
                let election = b.election(&path).mode(Mode::Master).identity("B").build().unwrap();
                let led = timeout(PATIENCE, async {
                    let mut campaign = Box::pin(election.campaign());
                    let mut ended = None;
                    loop {
                        tokio::select! {
                            led = &mut campaign => break (led.unwrap(), ended),
                            () = sleep(Duration::from_millis(5)) => {
                                if ended.is_none() && !leadership.is_valid() {
                                    ended = Some(woke.elapsed());
                                    println!("attempt {attempt}: A ends {:?} after waking", woke.elapsed());
                                }
                            }
                        }
                    }
                })
                .await
                .expect("B leads");
                println!("attempt {attempt}: B leads {:?} after A woke; A ended {:?}", woke.elapsed(), led.1);
                let began = Instant::now();
                let mut overlap = Duration::ZERO;
                while leadership.is_valid() && led.0.is_valid() {
                    overlap = began.elapsed();
                    sleep(Duration::from_millis(1)).await;
                }
                assert!(overlap.is_zero(), "two leaderships were valid for {overlap:?}");
                led.0.resign().await.unwrap();
            }
        }
        drop(end_tx);
        ensemble.server_mut(follower).cont();
        ensemble.server_mut(follower).kill();
        ensemble.server_mut(follower).restart().await;
        let _ = process.join();
    }
}

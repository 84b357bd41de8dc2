use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

/// A limit that only a hanging test reaches.
const SOON: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(10);

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

/// Look-ups that a test answers, and the count of those that began.
struct Script {
    names: Names,
    answers: mpsc::Sender<io::Result<Vec<IpAddr>>>,
    begun: Arc<AtomicUsize>,
}

impl Script {
    /// Every look-up of `hangs.example` waits for the next answer; other names resolve at once.
    fn new(fresh: Duration) -> Self {
        let (answers, next) = mpsc::channel();
        let next = Mutex::new(next);
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let look_up = move |name: &str| {
            if name != "hangs.example" {
                return Ok(vec![ip(1)]);
            }
            count.fetch_add(1, Ordering::SeqCst);
            let next = next.lock().unwrap_or_else(PoisonError::into_inner);
            next.recv().unwrap_or_else(|_| Err(io::Error::other("the test has ended")))
        };
        Self { names: Names::looked_up_by(look_up, fresh, SOON), answers, begun }
    }

    fn answer(&self, addresses: &[u8]) {
        self.answers.send(Ok(addresses.iter().copied().map(ip).collect())).unwrap();
    }

    fn fail(&self) {
        self.answers.send(Err(io::Error::other("no server answers"))).unwrap();
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    async fn wanted(&self) -> Result<Vec<IpAddr>, LookUpError> {
        self.names.addresses("hangs.example").await.map(|addresses| addresses.to_vec())
    }
}

#[tokio::test]
async fn a_name_has_one_look_up_however_many_give_it_up_and_all_share_its_result() {
    let script = Script::new(FRESH);
    let impatient = script.names.clone().patience(SHORT);
    for _ in 0..20 {
        let late = impatient.addresses("hangs.example").await;
        assert!(matches!(late, Err(LookUpError::Late { .. })), "{late:?}");
    }
    assert_eq!(script.begun(), 1);
    let (one, other, ()) = tokio::join!(script.wanted(), script.wanted(), async {
        script.answer(&[7, 8]);
    });
    assert_eq!(one.unwrap(), [ip(7), ip(8)]);
    assert_eq!(other.unwrap(), [ip(7), ip(8)]);
    assert_eq!(script.wanted().await.unwrap(), [ip(7), ip(8)], "kept");
    assert_eq!(script.begun(), 1);
}

#[tokio::test]
async fn a_name_that_hangs_delays_no_other() {
    let script = Script::new(FRESH);
    let impatient = script.names.clone().patience(SHORT);
    assert!(impatient.addresses("hangs.example").await.is_err());
    assert_eq!(*script.names.addresses("other.example").await.unwrap(), [ip(1)]);
}

#[test]
fn a_look_up_needs_no_thread_of_the_runtime_which_ends_without_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (ended, end) = mpsc::channel::<()>();
    let (taken, is_taken) = mpsc::channel();
    runtime.spawn_blocking(move || {
        taken.send(()).unwrap();
        let _ = end.recv();
    });
    is_taken.recv_timeout(SOON).unwrap();
    let script = Script::new(FRESH);
    let (names, impatient) = (script.names.clone(), script.names.clone().patience(SHORT));
    runtime.block_on(async {
        assert_eq!(*names.addresses("other.example").await.unwrap(), [ip(1)]);
        assert!(impatient.addresses("hangs.example").await.is_err());
    });
    drop(ended);
    let (dropped, is_dropped) = mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        dropped.send(()).unwrap();
    });
    is_dropped.recv_timeout(SOON).unwrap();
}

#[tokio::test]
async fn an_old_result_is_served_while_the_new_one_is_late_or_fails() {
    let script = Script::new(Duration::ZERO);
    script.answer(&[1]);
    assert_eq!(script.wanted().await.unwrap(), [ip(1)]);
    assert_eq!(script.wanted().await.unwrap(), [ip(1)], "late");
    script.fail();
    while script.begun() == 2 {
        assert_eq!(script.wanted().await.unwrap(), [ip(1)], "failed");
    }
    script.answer(&[2]);
    assert_eq!(script.wanted().await.unwrap(), [ip(2)], "a new address is taken up");
}

#[tokio::test]
async fn a_result_is_served_for_a_bounded_time_only() {
    let script = Script::new(Duration::ZERO);
    script.answer(&[1]);
    assert_eq!(script.wanted().await.unwrap(), [ip(1)]);
    script.names.hosts.host("hangs.example").grow_older(STALE);
    script.fail();
    let failed = script.wanted().await.unwrap_err();
    assert_eq!(failed.to_string(), "the name hangs.example does not resolve: no server answers");
}

#[tokio::test]
async fn a_fresh_result_is_looked_up_again_on_demand() {
    let script = Script::new(FRESH);
    script.answer(&[1]);
    assert_eq!(script.wanted().await.unwrap(), [ip(1)]);
    script.names.refresh("hangs.example");
    script.answer(&[2]);
    assert_eq!(script.wanted().await.unwrap(), [ip(2)]);
}

#[tokio::test]
async fn a_look_up_that_panics_or_finds_nothing_is_a_failure_and_the_next_one_begins() {
    let calls = AtomicUsize::new(0);
    let look_up = move |_: &str| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("a planted bug"),
        1 => Ok(Vec::new()),
        _ => Ok(vec![ip(3)]),
    };
    let names = Names::looked_up_by(look_up, FRESH, SOON);
    for _ in 0..2 {
        let failed = names.addresses("shop.example").await;
        assert!(matches!(failed, Err(LookUpError::Failed { .. })), "{failed:?}");
    }
    assert_eq!(*names.addresses("shop.example").await.unwrap(), [ip(3)]);
}

#[tokio::test]
async fn unused_hosts_are_forgotten() {
    let script = Script::new(FRESH);
    for name in ["one.example", "two.example"] {
        script.names.addresses(name).await.unwrap();
    }
    script.names.hosts.host("one.example").grow_older(STALE);
    script.names.addresses("three.example").await.unwrap();
    let known = script.names.hosts.known.lock().unwrap();
    let mut known: Vec<_> = known.keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(known, ["three.example", "two.example"]);
}
